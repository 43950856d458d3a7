"""Images of more than 8 bits: whether the config says what their values mean, and what it should say."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from swinseg.datasets.check.findings import Finding, percent, some_files
from swinseg.datasets.check.pair import PairFacts
from swinseg.datasets.files.value_range import ValueRange

Values = npt.NDArray[np.float32]

_PERCENTILES = (0.1, 99.9)
"""Of the pixels of a band, between which its range is measured: a few bright ones must not darken all others."""

_CLIPPED = 0.05
_USED = 0.25


def depth_findings(
    split: str,
    facts: Sequence[PairFacts],
    used: ValueRange | None,
    *,
    training: Sequence[PairFacts] = (),
) -> list[Finding]:
    """Measure the range of the values of more than 8 bits, and compare it with that of the config.

    Args:
        split: its name.
        facts: its pairs.
        used: the ``value_range`` of the pipeline's ``LoadImage``; None without.
        training: the pairs of the training split, whose range the others share.
    """
    files, values = _deep(facts)
    if not files or (used is not None and not any(map(len, values))):
        return []
    measured = measured_range(_deep(training)[1] or values)
    # A pair of gray and a pair of color images are of one range.
    sampled = np.concatenate(values if len(measured) > 1 else [of.reshape(-1, 1) for of in values])
    advice = f'value_range={measured} of LoadImage in the training and the test pipeline'
    what = f'{len(files)} images have more than 8 bits ({some_files(files)})'
    if used is None:
        mapped = ValueRange.of(measured).to_8_bits(sampled[None])[0]
        mean, std = (_rounded(of) for of in (mapped.mean(axis=0), mapped.std(axis=0)))
        share = _PERCENTILES[1] - _PERCENTILES[0]
        sentence = (
            f'{what}, and nothing says which of their values are dark and which are bright; set {advice}, '
            f'between which {share:g}% of them lie (the channels then have mean {mean} and std {std})'
        )
        return [Finding('value-range', 'error', split, sentence, files)]
    mapped = used.to_8_bits(sampled[None])[0]
    if used.bands is not None and (clipped := _clipped_share(sampled, used.bands)) > _CLIPPED:
        sentence = (
            f'{what}, and {percent(clipped)} of their values lie beyond value_range; set {advice}'
        )
    elif np.ptp(mapped) < _USED * 255:
        low, high = int(mapped.min()), int(mapped.max())
        sentence = (
            f'{what}, and become nearly of one brightness, {low} to {high} of 255; set {advice}'
        )
    else:
        return []
    return [Finding('value-range', 'warning', split, sentence, files)]


def _deep(facts: Sequence[PairFacts]) -> tuple[tuple[str, ...], list[Values]]:
    """Return the images of more than 8 bits, and (n, C) values of each."""
    found = [
        (pair.job.image, pair.image.values)
        for pair in facts
        if pair.image is not None and pair.image.values is not None
    ]
    return tuple(image for image, _ in found), [values for _, values in found]


def measured_range(values: Sequence[Values]) -> list[list[float]]:
    """Return the range of each band, with few digits; of images that differ in their bands one for all."""
    if len({of.shape[1] for of in values}) > 1:
        values = [of.reshape(-1, 1) for of in values]
    pairs: list[list[float]] = []
    for band in np.concatenate(values).T:
        low, high = np.percentile(band, _PERCENTILES).tolist() if band.size else (0.0, 1.0)
        digits = 3 - math.floor(math.log10(max(high - low, 1e-6)))
        low, high = (round(end) if digits < 2 else round(end, digits) for end in (low, high))
        pairs.append([low, high if high > low else low + 1])
    return pairs


def _clipped_share(sampled: Values, ranges: Sequence[tuple[float, float]]) -> float:
    low, high = (np.array([pair[end] for pair in ranges], np.float32) for end in (0, 1))
    return float(((sampled < low) | (sampled > high)).mean())


def _rounded(values: npt.NDArray[np.floating]) -> list[float]:
    return [round(float(value), 2) for value in values]
