"""Outcome of segmented files, as a table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from swinseg import files

# A longer table is of no use; those that were skipped are all in it.
_MOST_ROWS = 50


@dataclass(frozen=True)
class Done:
    """A file that was segmented.

    Attributes:
        path: the file.
        kind: ``'image'``, ``'scene'`` or ``'video'``, with the reason where it is a scene.
        size: of it, in words.
        seconds: that it took.
        found: the largest classes, or the number of frames.
    """

    path: Path
    kind: str
    size: str
    seconds: float
    found: str


@dataclass
class Outcome:
    """What became of all files.

    Attributes:
        done: in the order of the work.
        skipped: one sentence for each file that could not be segmented.
        interrupted: how to go on, where Ctrl-C has ended the work.
    """

    done: list[Done] = field(default_factory=list)
    skipped: dict[Path, str] = field(default_factory=dict)
    interrupted: str | None = None


def largest(areas: Mapping[str, float]) -> str:
    """Return the three largest classes with their shares."""
    return ', '.join(f'{name} {100 * share:.0f}%' for name, share in list(areas.items())[:3])


def table(outcome: Outcome) -> str:
    """Return a line for each file: its name, kind, size, seconds and largest classes, or why it was skipped."""
    rows = [('file', 'kind', 'size', 'seconds', 'result')]
    rows += [
        (done.path.name, done.kind, done.size, f'{done.seconds:.1f}', done.found)
        for done in outcome.done[:_MOST_ROWS]
    ]
    if len(outcome.done) > _MOST_ROWS:
        rows.append((f'and {len(outcome.done) - _MOST_ROWS} more', '', '', '', ''))
    rows += [(path.name, 'skipped', '', '', reason) for path, reason in outcome.skipped.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        '  '.join(
            [
                *(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=False)),
                row[3].rjust(widths[3]),
                row[4],
            ]
        ).rstrip()
        for row in rows
    ]
    return '\n'.join(lines)


def summary(outcome: Outcome, out: str | os.PathLike[str]) -> str:
    """Return one line: how many files were done and skipped, and where the results are."""
    done, skipped = len(outcome.done), len(outcome.skipped)
    line = f'{done} {"file" if done == 1 else "files"} segmented'
    if skipped:
        line += f', {skipped} skipped'
    return f'{line}; the results are in {files.make_folder(out)}'
