"""Check that the mean and standard deviation in the config suit the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swinseg.datasets.check.findings import Finding
from swinseg.datasets.check.statistics import ImageStatistics

_FAR = 2.0
"""Standard deviations that the mean, or times that the deviation, may be off; photographs stay below 1 and 2."""


@dataclass(frozen=True)
class Normalization:
    """What the model subtracts from each channel and divides it by, 0 to 255, RGB."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def normalization_findings(
    split: str, images: ImageStatistics | None, used: Normalization | None
) -> list[Finding]:
    """Compare the images' channels with the model's."""
    if images is None or images.mean is None or images.std is None or used is None:
        return []
    # A single number is for all channels, and a single channel becomes as many as there are numbers.
    channels = max(len(images.mean), len(used.mean))
    if len({len(images.mean), len(used.mean)} - {1}) > 1:
        sentence = (
            f'the images have {len(images.mean)} channels but data_preprocessor has {len(used.mean)} means; '
            f'give it mean={_rounded(images.mean)} and std={_rounded(images.std)}'
        )
        return [Finding('normalization', 'error', split, sentence)]
    # Values that fit images of 0 to 1 give inputs of several hundred with images of 0 to 255.
    is_none = not any(used.mean) and all(value == 1 for value in used.std)
    if not is_none and max(used.mean) <= 1 and max(used.std) <= 1 and max(images.mean) > 2:
        scaled = [[round(255 * value, 3) for value in of] for of in (used.mean, used.std)]
        sentence = (
            'the mean and std of data_preprocessor are for values from 0 to 1 but the images have 0 to 255; '
            f'multiply them by 255: mean={scaled[0]}, std={scaled[1]}'
        )
        return [Finding('normalization', 'error', split, sentence)]
    rows = [
        values * channels if len(values) == 1 else values
        for values in (images.mean, images.std, used.mean, used.std)
    ]
    columns = list(zip(*rows, strict=True))
    shift = max(abs(mean - used_mean) / used_std for mean, _, used_mean, used_std in columns)
    ratios = [std / used_std for _, std, _, used_std in columns]
    off = max(max(ratios), 1 / max(min(ratios), 1e-6))
    if shift <= _FAR and off <= 2 * _FAR:
        return []
    sentence = (
        f'the channels have mean {_rounded(images.mean)} and std {_rounded(images.std)}, far from the '
        f'{_rounded(used.mean)} and {_rounded(used.std)} of data_preprocessor; without pretrained weights '
        'put those of the images there, with them check that the images are right'
    )
    return [Finding('normalization', 'warning', split, sentence)]


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(float(value), 2) for value in values]
