"""Bands of an open TIFF that a model is shown, and how their numbers become pixels.

Shapes: h, w = size of a window; C = bands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.files.band_choice import Choice, chosen_numbers
from swinseg.errors import DecodingError

_COLORS = ('red', 'green', 'blue')


class TiffBands:
    """The bands of a file that rasterio has opened.

    Args:
        file: rasterio's dataset.
        chosen: numbers of the bands, from 1, or their names, in this order. None takes red, green and blue where
            the file names them, or its only three; a single band is widened to three, through its color table
            where it has one.

    Attributes:
        numbers: of the bands that are read, C of them.
        has_alpha: whether the file has a band for transparency, which is not among them unless it was chosen.
        bits: of a number that is used.

    Raises:
        DecodingError: the file has no such bands, which ones to take is unclear, or they hold complex numbers.
    """

    def __init__(self, file: Any, chosen: Choice | None = None) -> None:
        roles = [role.name for role in file.colorinterp]
        plain = tuple(band for band, role in enumerate(roles, 1) if role != 'alpha')
        self.has_alpha = chosen is None and len(plain) < len(roles)
        self._table: NDArray[np.uint8] | None = None
        if chosen is None:
            self.numbers = _numbers(roles, plain)
        else:
            alpha = [band for band in range(1, len(roles) + 1) if band not in plain]
            self.numbers = chosen_numbers(chosen, file.count, names=file.descriptions, alpha=alpha)
        first = self.numbers[0]
        if chosen is None and roles[first - 1] == 'palette':
            self._table = np.zeros((65536, 3), np.uint8)
            for value, color in file.colormap(first).items():
                self._table[value] = color[:3]
        if any(file.dtypes[band - 1].startswith('complex') for band in self.numbers):
            raise DecodingError(
                'holds complex numbers, as radar scenes do, but a model is shown real ones',
                fix='write their amplitude into a file',
            )
        structure = file.tags(first, ns='IMAGE_STRUCTURE') | file.tags(ns='IMAGE_STRUCTURE')
        dtype = np.dtype(file.dtypes[first - 1])
        self.bits = int(structure.get('NBITS', 8 * dtype.itemsize))
        self._is_unsigned = dtype.kind == 'u'
        self._is_inverted = structure.get('MINISWHITE') == 'YES'

    def pixels(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return (h, w, C) pixels of the file's type, white the highest, of the (C, h, w) numbers in the file.

        Those of less than 8 bits are scaled to 8.
        """
        if self._table is not None:
            return self._table[values[0]]
        pixels = np.ascontiguousarray(values.transpose(1, 2, 0))
        if self._is_unsigned and self._is_inverted:
            pixels = pixels.dtype.type((1 << self.bits) - 1) - pixels
        if self._is_unsigned and self.bits < 8:
            pixels = pixels * np.uint8(255 // ((1 << self.bits) - 1))
        return pixels


def any_band(masks: NDArray[Any], values: NDArray[Any] | None = None) -> NDArray[np.bool_]:
    """Return (h, w): where a band has data.

    Args:
        masks: (C, h, w), 0 where the file says that a band has none.
        values: (C, h, w) of a type that may have nan, which is no data, and infinity.
    """
    has_data = masks.astype(bool)
    if values is not None:
        has_data &= np.isfinite(values)
    return np.asarray(has_data.any(axis=0))


def _numbers(roles: Sequence[str], plain: tuple[int, ...]) -> tuple[int, ...]:
    if all(roles.count(color) == 1 for color in _COLORS):
        return tuple(roles.index(color) + 1 for color in _COLORS)
    if len(plain) == 1:
        return plain * 3
    if len(plain) == 3:
        return plain
    example = (1, 2, 3) if len(plain) > 3 else (1, 1, 1)
    raise DecodingError(
        f'has {len(plain)} bands and does not say which are red, green and blue',
        fix=f'choose three, --bands {",".join(map(str, example))} or bands={example}; to a model with '
        f'in_channels={len(plain)} LoadImage(bands={list(range(1, len(plain) + 1))}) gives all of them',
    )
