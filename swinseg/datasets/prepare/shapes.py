"""From shapes to pixels: a pixel belongs to a shape when its centre does.

Coordinates are (x, y) in pixels, and the upper left corner of the image is (0, 0), as in COCO and Labelme.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def polygon_mask(polygon: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the inside of a polygon by the even-odd rule; what lies outside of the image is cut off.

    Args:
        polygon: (N, 2) corners; the last is joined to the first.
        size: (height, width) of the image.

    Returns:
        (height, width) bool.
    """
    height, width = size
    crossed = np.zeros((height, width + 1), bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        top, bottom = sorted((y0, y1))
        first, end = (min(max(math.ceil(y - 0.5), 0), height) for y in (top, bottom))
        if first >= end:
            continue
        rows = np.arange(first, end)
        x = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
        # The first pixel in the row whose centre is on the right of the edge, or on it.
        columns = np.clip(np.ceil(x - 0.5), 0, width).astype(np.intp)
        crossed[rows, columns] ^= True
    return np.logical_xor.accumulate(crossed, axis=1)[:, :width]


def circle_mask(
    center: tuple[float, float], radius: float, size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return the inside of a circle, (height, width) bool."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    return (columns + 0.5 - center[0]) ** 2 + (rows + 0.5 - center[1]) ** 2 <= radius**2
