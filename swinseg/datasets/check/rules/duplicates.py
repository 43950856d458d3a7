"""Images that are there twice, by what their pixels are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from swinseg.datasets.check.findings import Finding, Severity, percent, some, some_files
from swinseg.datasets.check.pair import PairFacts

_MEANINGLESS = 0.5
"""Share of the validation images in the training set from which on a validation says nothing."""


def duplicate_findings(train: Sequence[PairFacts], val: Sequence[PairFacts]) -> list[Finding]:
    """Say which validation images are in the training set too.

    Images are the same where their decoded pixels are: names, dates and lossless formats make no difference; a
    picture that was scaled or compressed again is another one.
    """
    trained = _by_digest(train)
    readable = [pair for pair in val if pair.image is not None]
    twice = [pair for pair in readable if pair.image and pair.image.digest in trained]
    if not twice:
        return []
    examples = [
        f'{pair.job.image} is {trained[pair.image.digest][0].job.image}'
        for pair in twice
        if pair.image
    ]
    share = len(twice) / len(readable)
    sentence = (
        f'{len(twice)} of {len(readable)} validation images ({percent(share)}) are training images too, by '
        f'their pixels ({some(examples, limit=1)}), so the validation measures memory; remove them from one '
        'of the two sets'
    )
    severity: Severity = 'error' if share > _MEANINGLESS else 'warning'
    files = tuple(pair.job.image for pair in twice)
    return [Finding('duplicates', severity, 'train, val', sentence, files)]


def contradiction_findings(split: str, facts: Sequence[PairFacts]) -> list[Finding]:
    """Say which images are in a split more than once with different labels."""
    files = []
    for pairs in _by_digest(facts).values():
        if len({pair.label.digest for pair in pairs if pair.label is not None}) > 1:
            files += [pair.job.image for pair in pairs]
    if not files:
        return []
    sentence = (
        f'{len(files)} images are the same as another, by their pixels, but have another label '
        f'({some_files(files)}); keep the right label of each'
    )
    return [Finding('contradicting-labels', 'warning', split, sentence, tuple(files))]


def _by_digest(facts: Sequence[PairFacts]) -> dict[bytes, list[PairFacts]]:
    found: dict[bytes, list[PairFacts]] = defaultdict(list)
    for pair in facts:
        if pair.image is not None:
            found[pair.image.digest].append(pair)
    return dict(found)
