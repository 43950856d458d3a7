"""Findings of a dataset check: severity, sentence and files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal['error', 'warning', 'note']
SEVERITIES: tuple[Severity, ...] = ('error', 'warning', 'note')


@dataclass(frozen=True)
class Finding:
    """One thing that a person should know about a dataset.

    Attributes:
        code: a name that stays the same, such as ``'label-values'``.
        severity: ``'error'`` where training would stop or be meaningless, ``'warning'`` where it is likely to
            be worse than it could be, ``'note'`` for what is only good to know.
        split: ``'train'``, ``'val'`` or ``'train, val'``.
        sentence: what was found and what to do, in one sentence.
        files: the files that it is about, all of them.
        paste: arguments of the dataset in the config that mend it, the likeliest first.
    """

    code: str
    severity: Severity
    split: str
    sentence: str
    files: tuple[str, ...] = ()
    paste: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return what goes into a JSON file."""
        return {
            'code': self.code,
            'severity': self.severity,
            'split': self.split,
            'sentence': self.sentence,
            'paste': list(self.paste),
            'files': list(self.files),
        }


def pasted(setting: str) -> tuple[str, ...]:
    """Return a setting as :attr:`Finding.paste` has it; none where it is empty."""
    return (setting,) if setting else ()


def by_severity(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings with the errors first, else in their order."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def some(names: Sequence[str], *, limit: int = 3) -> str:
    """Name a few of several."""
    shown = ', '.join(names[:limit])
    return shown if len(names) <= limit else f'{shown} and {len(names) - limit} more'


def some_files(paths: Sequence[str]) -> str:
    """Name a few of several files without their folders."""
    return some([os.path.basename(path) for path in paths])


def percent(share: float) -> str:
    """Write a share of 0 to 1 as a percentage."""
    return f'{share:.1%}' if share >= 0.0005 or share == 0 else '<0.1%'
