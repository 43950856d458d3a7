"""Steps of a pipeline that are for red, green and blue, refused where ``LoadImage`` gives other bands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mmcv.transforms import Normalize, Pad
from mmseg.datasets.transforms import PhotoMetricDistortion, RandomCutOut, RGB2Gray

from swinseg.datasets.transforms.loading import LoadImage
from swinseg.datasets.transforms.photometric import TablePhotoMetricDistortion
from swinseg.errors import ConfigError

_COLORS = 3
# OpenCV takes a color of as many numbers.
_MOST_PADDED = 4


def check_bands(steps: Sequence[Any]) -> None:
    """Check each step behind a ``LoadImage`` with ``bands`` that are not three.

    Brightness, contrast, gamma, CLAHE, flips, rotations, scales and crops are for any number of bands.

    Args:
        steps: of a pipeline, those inside of others among them.

    Raises:
        ConfigError: one is for colors.
    """
    for count, step in _behind_bands(steps):
        reason = None if count == _COLORS else _objection(step, count)
        if reason is not None:
            raise ConfigError(
                f'{type(step).__name__} follows LoadImage with {count} bands, but {reason}'
            )


def _behind_bands(steps: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    count = None
    for step in steps:
        if isinstance(step, LoadImage):
            count = None if step.bands is None else len(step.bands)
        elif count is not None:
            yield count, step


def _objection(step: Any, count: int) -> str | None:
    """Return what a step has against as many bands, and what to do, or None."""
    if isinstance(step, TablePhotoMetricDistortion):
        if not step.changes_colors:
            return None
        return (
            'hue and saturation are of red, green and blue; set saturation_range=None and hue_delta=None of it, '
            'which leaves brightness and contrast'
        )
    if isinstance(step, PhotoMetricDistortion):
        return (
            'hue and saturation are of red, green and blue; take TablePhotoMetricDistortion with '
            'saturation_range=None and hue_delta=None, which leaves brightness and contrast'
        )
    if isinstance(step, RGB2Gray):
        return 'gray is made of red, green and blue; leave it out'
    if isinstance(step, Normalize):
        return 'it is for colors; give mean and std, one number for each band, to data_preprocessor instead'
    if isinstance(step, RandomCutOut) and _length(step.fill_in) not in (1, count):
        return f'fills holes with {_length(step.fill_in)} numbers; set fill_in={(0,) * count}, one for each band'
    if isinstance(step, Pad) and count > _MOST_PADDED:
        return (
            f'pads up to {_MOST_PADDED} bands; set size of data_preprocessor, which pads any number'
        )
    return None


def _length(value: Any) -> int:
    return len(value) if isinstance(value, Sequence) else 1
