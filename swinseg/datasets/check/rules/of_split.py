"""The rules by which a dataset is refused: which there are, and what each must have seen to be right.

Training (on a sample) and ``swinseg check`` (on every file) apply the same ones, each written once:

- What is wrong with a file, or with a label beside its image, is known as soon as it is read, and so is what the
  images' values and channels are: of a sample these findings are reported as they are of everything.
- :data:`ABSENCE_RULES` say that something occurs in no label. A sample in which it does not occur is too small:
  labels are read on until it is found, at most all of them. In a good set the first few labels decide.
- :data:`WHOLE_SET_RULES` compare files with each other, or are of no use before everything has been read.
"""

from __future__ import annotations

from collections.abc import Sequence

from swinseg.datasets.check.findings import Finding
from swinseg.datasets.check.listing import Split
from swinseg.datasets.check.pair import PairFacts
from swinseg.datasets.check.rules.colors import color_findings
from swinseg.datasets.check.rules.depth import depth_findings
from swinseg.datasets.check.rules.duplicates import contradiction_findings
from swinseg.datasets.check.rules.files import (
    file_findings,
    odd_image_findings,
    several_picture_findings,
)
from swinseg.datasets.check.rules.labels import label_findings
from swinseg.datasets.check.rules.no_data import no_data_findings
from swinseg.datasets.check.rules.normalization import Normalization, normalization_findings
from swinseg.datasets.check.statistics import class_statistics, image_statistics

ABSENCE_RULES = frozenset({'all-empty', 'all-ignored', 'one-class', 'zero-is-a-class'})
"""Findings that are right only where all labels have been read."""

WHOLE_SET_RULES = frozenset(
    {'absent-classes', 'classes-not-trained', 'contradicting-labels', 'duplicates'}
)
"""Findings that need every file; only ``'duplicates'`` can be an error. Training goes without."""


def split_findings(
    split: Split,
    facts: Sequence[PairFacts],
    *,
    normalization: Normalization | None,
    training: Sequence[PairFacts] = (),
    is_whole: bool = True,
) -> list[Finding]:
    """Apply the rules about one split.

    Args:
        split: the split, with what was found while it was listed.
        facts: its pairs that were read.
        normalization: what the model does with the channels; None compares nothing.
        training: the pairs of the training split, whose range of values the others share.
        is_whole: whether all labels were read; without, findings of :data:`ABSENCE_RULES` are left out.
    """
    name = split.name
    findings = [
        *split.findings,
        *file_findings(name, facts),
        *color_findings(name, facts, palette=split.palette, is_whole=is_whole),
        *_label_findings(split, facts, is_whole=is_whole),
        *contradiction_findings(name, facts),
        *odd_image_findings(name, facts),
        *several_picture_findings(name, facts),
        *no_data_findings(name, facts),
        *depth_findings(name, facts, split.loading.value_range, training=training),
        *normalization_findings(
            name, image_statistics(facts), None if split.changes_values else normalization
        ),
    ]
    return [finding for finding in findings if is_whole or finding.code not in ABSENCE_RULES]


def is_undecided(split: Split, facts: Sequence[PairFacts]) -> bool:
    """Return whether a label that was not read may show that the set is not to be refused."""
    return any(
        finding.code in ABSENCE_RULES and finding.severity == 'error'
        for finding in _label_findings(split, facts, is_whole=False)
    )


def _label_findings(split: Split, facts: Sequence[PairFacts], *, is_whole: bool) -> list[Finding]:
    classes = class_statistics(facts, split.classes)
    return label_findings(split.name, facts, classes, is_whole=is_whole)
