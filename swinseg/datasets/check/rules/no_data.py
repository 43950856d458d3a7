"""Images in which no pixel has data, of which nothing can be learnt."""

from __future__ import annotations

from collections.abc import Sequence

from swinseg.datasets.check.findings import Finding, Severity, some_files
from swinseg.datasets.check.pair import PairFacts


def no_data_findings(split: str, facts: Sequence[PairFacts]) -> list[Finding]:
    """Name the images without a pixel that has data; an error where all that were read are."""
    read = [pair for pair in facts if pair.image is not None]
    empty = tuple(pair.job.image for pair in read if pair.image and pair.image.with_data == 0)
    if not empty:
        return []
    sentence = (
        f'{len(empty)} of {len(read)} images have no data in any pixel ({some_files(empty)}), as their nodata '
        f'value, mask or alpha says, or for their values are no finite numbers; correct that in the files, or '
        f'leave them out'
    )
    severity: Severity = 'error' if len(empty) == len(read) else 'warning'
    return [Finding('no-data', severity, split, sentence, empty)]
