"""Value range of images of more than 8 bits: what becomes 0 to 255 in each band, in training as in use.

Shapes: H, W = size of an image; C = bands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swinseg.errors import DataError, shown

Setting = str | Sequence[float] | Sequence[Sequence[float]]
"""What a config may say: ``[low, high]`` for all bands, a pair for each, ``'high_byte'`` or ``'per_image'``."""

HIGH_BYTE = 'high_byte'
PER_IMAGE = 'per_image'

_PERCENTILES = (2.0, 98.0)
_TABLE_ENTRIES = 2**16
VIEW_SIDE = 1024
"""Pixels of the longer side of a coarse view, at most, from which the range of an image is taken."""


@dataclass(frozen=True)
class ValueRange:
    """The values that become 0 and 255.

    Attributes:
        bands: lowest and highest value of each band, in the order of the file (red, green, blue where there are
            three); one pair stands for all bands. None where ``rule`` says it.
        rule: ``'high_byte'``: unsigned 16-bit values are divided by 256 and rounded down, as OpenCV, mmcv and
            mmsegmentation do when they load a 16-bit file in color. ``'per_image'``: the 2nd and 98th percentile
            of each band of each image, which makes images of unknown ranges visible, and loses what is brighter in
            one than in another.
    """

    bands: tuple[tuple[float, float], ...] | None = None
    rule: str | None = None

    @classmethod
    def of(cls, setting: Any) -> ValueRange:
        """Return what a config's ``value_range`` says.

        Raises:
            DataError: it is neither of the names, nor one or several pairs of increasing finite numbers.
        """
        if isinstance(setting, str):
            if setting in (HIGH_BYTE, PER_IMAGE):
                return cls(rule=setting)
        elif isinstance(setting, Sequence) and len(setting):
            pairs: Sequence[Any] = (
                [setting] if all(_is_number(value) for value in setting) else setting
            )
            if all(_is_range(pair) for pair in pairs):
                return cls(tuple((float(low), float(high)) for low, high in pairs))
        raise DataError(
            f"value_range must be [low, high], one such pair for each band, '{HIGH_BYTE}' or '{PER_IMAGE}', "
            f'but is {shown(setting)}; swinseg check measures the range of a dataset'
        )

    @property
    def setting(self) -> Setting:
        """What a config says for it."""
        if self.bands is None:
            return self.rule or ''
        return [list(pair) for pair in self.bands]

    @classmethod
    def measured(
        cls, pixels: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None = None
    ) -> ValueRange:
        """Return the range from the 2nd to the 98th percentile of each band of an image.

        Args:
            pixels: (H, W) or (H, W, C) numbers.
            valid: (H, W), where there is data; None for everywhere. What is no finite number never counts.
        """
        step = max(1, math.ceil(max(pixels.shape[:2]) / VIEW_SIDE))
        seen = pixels[::step, ::step]
        layers = (seen[..., None] if seen.ndim == 2 else seen).astype(np.float64)
        counts = np.isfinite(layers)
        if valid is not None:
            counts &= valid[::step, ::step, None]
        chosen = (layers[..., band][counts[..., band]] for band in range(layers.shape[-1]))
        ends = [
            np.percentile(band, _PERCENTILES).tolist() if band.size else (0, 0) for band in chosen
        ]
        return cls(tuple((low, high) for low, high in ends))

    def to_8_bits(
        self,
        pixels: npt.NDArray[Any],
        *,
        is_bgr: bool = False,
        valid: npt.NDArray[np.bool_] | None = None,
        name: str = 'the image',
    ) -> npt.NDArray[np.uint8]:
        """Map values to 0 to 255, rounded to the nearest; those beyond the range become its ends.

        Args:
            pixels: (H, W) or (H, W, C) numbers. Bytes are returned as they are.
            is_bgr: whether three bands lie in OpenCV's order.
            valid: (H, W), where there is data, of which ``'per_image'`` takes the range; None for everywhere.
            name: of the file, for the message.

        Returns:
            uint8 of the same shape; what is no finite number is 0, and so is a band of one value.

        Raises:
            DataError: the range is that of another number of bands, or ``'high_byte'`` meets other than
                unsigned 16-bit values.
        """
        if pixels.dtype == np.uint8:
            return pixels
        if self.rule == HIGH_BYTE:
            if pixels.dtype != np.uint16:
                raise DataError(
                    f"image {name} holds {_kind(pixels.dtype)} values, of which value_range='{HIGH_BYTE}' knows "
                    'nothing; say their lowest and highest value, which swinseg check measures'
                )
            return (pixels >> 8).astype(np.uint8)
        layers = pixels[..., None] if pixels.ndim == 2 else pixels
        count = layers.shape[-1]
        ranges = self.bands
        if ranges is None:
            ranges = ValueRange.measured(pixels, valid).bands or ()
        elif len(ranges) == 1:
            ranges *= count
        elif len(ranges) != count:
            raise DataError(
                f'image {name} has {count} bands, but value_range has {len(ranges)} pairs of lowest and '
                'highest value; give one pair for each band, or one for all'
            )
        elif is_bgr and count == 3:
            ranges = ranges[::-1]
        mapped = np.empty(layers.shape, np.uint8)
        for band, (low, high) in enumerate(ranges):
            _map_band(layers[..., band], low, high, mapped[..., band])
        return mapped.reshape(pixels.shape)


def too_deep(name: str, dtype: np.dtype[Any]) -> DataError:
    """Return the error that says of an image that nobody has said what its values mean."""
    return DataError(
        f'image {name} holds {_kind(dtype)} values, and nothing says which of them are dark and which are bright: '
        'a model learns and sees 0 to 255; say value_range=[low, high] of LoadImage in the config that it is '
        'trained with (swinseg check measures it), or --value-range to segment with a model that was '
        'trained on 8 bits'
    )


def _kind(dtype: np.dtype[Any]) -> str:
    return f'{dtype.itemsize * 8}-bit' + (' floating-point' if dtype.kind == 'f' else '')


def _map_band(
    values_HW: npt.NDArray[Any], low: float, high: float, out_HW: npt.NDArray[np.uint8]
) -> None:
    table = None
    if values_HW.dtype == np.uint16 and values_HW.size > _TABLE_ENTRIES:
        table = _mapped(np.arange(_TABLE_ENTRIES), low, high)
    # Row by row: the numbers between would take several times the memory of the image.
    for values, out in zip(values_HW, out_HW, strict=True):
        out[:] = _mapped(values, low, high) if table is None else table[values]


def _mapped(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    numbers = values.astype(np.float64)
    numbers[~np.isfinite(numbers)] = low
    # A band of one value becomes 0 instead of a division by zero.
    scaled = (numbers - low) / ((high - low) or math.inf) * 255
    mapped: npt.NDArray[np.uint8] = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    return mapped


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_range(pair: object) -> bool:
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
        return False
    return all(_is_number(value) for value in pair) and pair[0] < pair[1]
