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


def ellipse_mask(
    center: tuple[float, float],
    radii: tuple[float, float],
    size: tuple[int, int],
    *,
    degrees: float = 0.0,
) -> NDArray[np.bool_]:
    """Return the inside of an ellipse, (height, width) bool.

    Args:
        center: (x, y).
        radii: along x and y, before it is turned.
        size: (height, width) of the image.
        degrees: by which it is turned about its centre, clockwise as one sees it.
    """
    rows, columns = np.ogrid[: size[0], : size[1]]
    x, y = columns + 0.5 - center[0], rows + 0.5 - center[1]
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    across, down = x * cosine + y * sine, y * cosine - x * sine
    return (across * radii[1]) ** 2 + (down * radii[0]) ** 2 <= (radii[0] * radii[1]) ** 2


def turned_box(
    left: float, top: float, right: float, bottom: float, *, degrees: float = 0.0
) -> NDArray[np.float64]:
    """Return the (4, 2) corners of a box that is turned about its centre, clockwise as one sees it."""
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float64)
    center = np.array([(left + right) / 2, (top + bottom) / 2])
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (corners - center) @ np.array([[cosine, sine], [-sine, cosine]]) + center


def pasted(
    mask: NDArray[np.bool_], top: int, left: int, size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return a mask of a part of an image as one of the whole, (height, width) bool.

    Raises:
        ValueError: the part leads out of the image.
    """
    bottom, right = top + mask.shape[0], left + mask.shape[1]
    if top < 0 or left < 0 or bottom > size[0] or right > size[1]:
        raise ValueError(
            f'rows {top} to {bottom} and columns {left} to {right} lead out of {size[0]} x {size[1]} pixels'
        )
    whole = np.zeros(size, bool)
    whole[top:bottom, left:right] = mask
    return whole
