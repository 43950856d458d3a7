"""Borders between the classes of a label map."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from swinseg.visualization.areas import Labels

# A line is 1 px wide up to pictures of 600 x 600, and keeps its share of larger ones.
_SIDE_PER_PIXEL = 400


def line_width(pixels: int) -> int:
    """Return the width of the lines in a picture of so many pixels."""
    return max(1, round(math.sqrt(pixels) / _SIDE_PER_PIXEL))


def rim_of(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of an (H, W) mask next to those that are not in it; the rim of the picture is none."""
    width = line_width(mask.size)
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    inside = cv2.erode(mask.astype(np.uint8), kernel)
    return mask & (inside == 0)


def border_mask(labels: Labels, *, width: int | None = None) -> NDArray[np.uint8]:
    """Return the pixels along the borders between classes.

    Args:
        labels: (H, W), 0 to 65535.
        width: of the line in pixels, across the border; None lets it grow with the picture.

    Returns:
        (H, W) uint8, 1 on the lines and 0 elsewhere; the rim of the picture is no border.
    """
    if width is None:
        width = line_width(labels.size)
    values = labels if labels.dtype == np.uint8 else labels.astype(np.uint16)
    # The largest less the smallest label around a pixel: not 0 where there are two.
    kernel = np.ones((width + 1, width + 1), np.uint8)
    spread = cv2.morphologyEx(np.ascontiguousarray(values), cv2.MORPH_GRADIENT, kernel)
    return (spread != 0).view(np.uint8)
