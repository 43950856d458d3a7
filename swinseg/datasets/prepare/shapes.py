"""From shapes to pixels: a pixel belongs to a shape when its center does.

Coordinates are (x, y) in pixels, and the upper left corner of the image is (0, 0), as in COCO and Labelme.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# That many are worked on at a time, and any polygon may have as many.
_CROSSINGS = 2**20


def polygon_mask(polygon: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the inside of a polygon by the even-odd rule; what lies outside of the image is cut off.

    Args:
        polygon: (N, 2) corners; the last is joined to the first.
        size: (height, width) of the image.

    Returns:
        (height, width) bool.

    Raises:
        ValueError: its edges cross the rows of the image more often than there are pixels.
    """
    height, width = size
    (x0, y0), (x1, y1) = polygon.T, np.roll(polygon, -1, axis=0).T
    first, end = (
        np.clip(np.ceil(end_of(y0, y1) - 0.5), 0, height).astype(np.intp)
        for end_of in (np.minimum, np.maximum)
    )
    lengths = np.maximum(end - first, 0)
    crossings = int(lengths.sum())
    if crossings > max(height * (width + 1), _CROSSINGS):
        raise ValueError(
            f'a polygon of {len(polygon)} corners crosses the rows of {height} x {width} pixels {crossings} '
            'times, which is more than there are; draw it with fewer corners'
        )
    crossed = np.zeros((height, width + 1), np.uint8)
    splits = np.searchsorted(np.cumsum(lengths), np.arange(_CROSSINGS, crossings, _CROSSINGS))
    for edges in np.split(
        np.flatnonzero(lengths), np.searchsorted(np.flatnonzero(lengths), splits)
    ):
        # One entry for each row that one of the edges crosses.
        counts = lengths[edges]
        edge = np.repeat(edges, counts)
        rows = np.arange(len(edge)) + np.repeat(first[edges] - (np.cumsum(counts) - counts), counts)
        x = x0[edge] + (rows + 0.5 - y0[edge]) * (x1 - x0)[edge] / (y1 - y0)[edge]
        # The first pixel in the row whose center is on the right of the edge, or on it.
        columns = np.clip(np.ceil(x - 0.5), 0, width).astype(np.intp)
        np.bitwise_xor.at(crossed, (rows, columns), 1)
    return np.bitwise_xor.accumulate(crossed, axis=1)[:, :width].view(bool)


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
        degrees: by which it is turned about its center, clockwise as one sees it.
    """
    rows, columns = np.ogrid[: size[0], : size[1]]
    x, y = columns + 0.5 - center[0], rows + 0.5 - center[1]
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    across, down = x * cosine + y * sine, y * cosine - x * sine
    return (across * radii[1]) ** 2 + (down * radii[0]) ** 2 <= (radii[0] * radii[1]) ** 2


def rotated_box(
    left: float, top: float, right: float, bottom: float, *, degrees: float = 0.0
) -> NDArray[np.float64]:
    """Return the (4, 2) corners of a box that is turned about its center, clockwise as one sees it."""
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float64)
    center = np.array([(left + right) / 2, (top + bottom) / 2])
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (corners - center) @ np.array([[cosine, sine], [-sine, cosine]]) + center


def check_inside(height: int, width: int, top: int, left: int, size: tuple[int, int]) -> None:
    """Refuse a part of an image that leads out of it, before it is built.

    Args:
        height: of the part.
        width: of the part.
        top: its first row.
        left: its first column.
        size: (height, width) of the image.

    Raises:
        ValueError: it does.
    """
    bottom, right = top + height, left + width
    if min(height, width, top, left) < 0 or bottom > size[0] or right > size[1]:
        raise ValueError(
            f'rows {top} to {bottom} and columns {left} to {right} lead out of {size[0]} x {size[1]} pixels'
        )


def pasted(
    mask: NDArray[np.bool_], top: int, left: int, size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return a mask of a part of an image as one of the whole, (height, width) bool.

    Raises:
        ValueError: the part leads out of the image.
    """
    height, width = mask.shape
    check_inside(height, width, top, left, size)
    whole = np.zeros(size, bool)
    whole[top : top + height, left : left + width] = mask
    return whole


def paint_below_smaller(
    label: NDArray[np.uint8], areas: NDArray[np.int64], mask: NDArray[np.bool_], value: int
) -> None:
    """Give a mask's pixels a value, save those that a smaller one before it has.

    No mask is kept: a file can name more of them than the memory holds.

    Args:
        label: (H, W), changed.
        areas: (H, W) of the mask that each pixel has its value from; at first larger than any. Changed.
        mask: (H, W).
        value: of its pixels.
    """
    area = np.count_nonzero(mask)
    visible = mask & (areas >= area)
    label[visible] = value
    areas[visible] = area
