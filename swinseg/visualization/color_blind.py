"""Colors that stay apart for eyes with and without a deficiency of color vision.

Shapes: colors are (N, 3) RGB.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from swinseg.visualization.palette import Palette, PaletteLike, check_palette

# What full dichromats see, on linear RGB; Machado, Oliveira and Fernandes 2009 (IEEE TVCG 15(6)), severity 1.0.
DEFICIENCIES = {
    'protanopia': (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    'deuteranopia': (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    'tritanopia': (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}

# Blue of Okabe and Ito: the first class. The others follow from it.
_FIRST = (0, 114, 178)
# Neither nearly black, the color of ignored pixels, nor nearly white, that of rejected ones.
_LIGHTNESS = (25, 92)
_LEVELS = np.linspace(0, 255, 18).round().astype(np.uint8)


def color_blind_palette(num_classes: int) -> Palette:
    """Return ``num_classes`` different colors, each as far as can be from all before it for every kind of eye.

    The first ones do not depend on ``num_classes``. Up to about a dozen can be told apart at a glance; no palette
    does so for a hundred, where the borders of an overlay and its legend help.
    """
    return np.array(_colors(num_classes), np.uint8).reshape(num_classes, 3)


def distances(palette: PaletteLike) -> NDArray[np.float64]:
    """Return how different two colors look to the eye that tells them apart least.

    Args:
        palette: K colors.

    Returns:
        (K, K) distance in CIELAB (CIE76), the smallest over normal vision and :data:`DEFICIENCIES`.
    """
    seen = _seen(check_palette(palette))
    return np.linalg.norm(seen[:, :, None] - seen[:, None], axis=3).min(0)


@functools.lru_cache(maxsize=8)
def _colors(count: int) -> tuple[tuple[int, int, int], ...]:
    grid = np.stack(np.meshgrid(_LEVELS, _LEVELS, _LEVELS, indexing='ij'), -1).reshape(-1, 3)
    candidates = np.concatenate([np.array([_FIRST], np.uint8), grid])
    seen = _seen(candidates)
    lightness = seen[0, :, 0]
    is_allowed = (lightness >= _LIGHTNESS[0]) & (lightness <= _LIGHTNESS[1])
    candidates, seen = candidates[is_allowed], seen[:, is_allowed]
    nearest = np.full(len(candidates), np.inf)
    chosen: list[int] = []
    for _ in range(count):
        chosen.append(int(nearest.argmax()))
        gap = np.linalg.norm(seen - seen[:, chosen[-1], None], axis=2).min(0)
        nearest = np.minimum(nearest, gap)
    return tuple((int(r), int(g), int(b)) for r, g, b in candidates[chosen])


def _seen(colors: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return (4, N, 3) CIELAB of colors as seen by normal vision and with each deficiency."""
    encoded = colors / 255
    # sRGB, IEC 61966-2-1.
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    views = [linear, *(linear @ np.array(matrix).T for matrix in DEFICIENCIES.values())]
    stacked = np.stack(views).clip(0, 1).astype(np.float32)
    return cv2.cvtColor(stacked, cv2.COLOR_LRGB2Lab).astype(np.float64)
