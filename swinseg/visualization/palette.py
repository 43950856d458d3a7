"""Palettes: one RGB color per class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.labels.palettes import distinct_colors
from swinseg.errors import UserError

Palette = NDArray[np.uint8]
"""(K, 3) uint8 RGB, one row per class."""

PaletteLike = Sequence[Sequence[int]] | NDArray[np.integer]


class VisualizationError(UserError):
    """A palette, a label map or a log cannot be drawn."""


def default_palette(num_classes: int) -> Palette:
    """Return ``num_classes`` different colors, none black, the same ones every time."""
    return np.array(distinct_colors(num_classes), np.uint8).reshape(num_classes, 3)


def palette_or_default(palette: PaletteLike | None, *, num_classes: int) -> Palette:
    """Return the colors of classes: those given, or :func:`default_palette` where there are none.

    Raises:
        VisualizationError: as :func:`check_palette`, for given ones.
    """
    if palette is None or len(palette) == 0:
        return default_palette(num_classes)
    return check_palette(palette, num_classes=num_classes)


def check_palette(palette: PaletteLike, *, num_classes: int | None = None) -> Palette:
    """Return a palette as an array, or say what is wrong with it.

    Args:
        palette: one (red, green, blue) triple in [0, 255] per class.
        num_classes: the number of colors it must have; None accepts any.

    Returns:
        A new (K, 3) uint8 array.

    Raises:
        VisualizationError: not a list of triples, a value outside [0, 255], or the wrong number of
            colors.
    """
    try:
        colors = np.asarray(palette)
    except ValueError:
        colors = np.empty(0)
    if colors.ndim != 2 or colors.shape[1] != 3 or colors.dtype.kind not in 'iu':
        raise VisualizationError(
            'a palette must be a list of (red, green, blue) whole numbers, one per class, '
            f'but got {_shortened(palette)}'
        )
    outside = np.flatnonzero(((colors < 0) | (colors > 255)).any(axis=1))
    if outside.size:
        raise VisualizationError(
            f'a palette must hold values from 0 to 255, but the color of class {outside[0]} is '
            f'{colors[outside[0]].tolist()}'
        )
    if num_classes is not None and len(colors) != num_classes:
        raise VisualizationError(
            f'a palette must have one color per class, but there are {num_classes} classes and '
            f'{len(colors)} colors'
        )
    return colors.astype(np.uint8)


def _shortened(value: object) -> str:
    text = repr(value).replace('\n', ' ')
    return text if len(text) <= 60 else text[:57] + '...'
