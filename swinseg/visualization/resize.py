"""An image and its labels at another size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from swinseg.visualization.areas import Labels


def fit(
    image: NDArray[np.uint8], labels: Labels, longer_side: int
) -> tuple[NDArray[np.uint8], Labels]:
    """Scale an image and its labels, which keep their shape, to a longer side.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) of any integer dtype.
        longer_side: of the results, in pixels.

    Returns:
        The image, its pixels averaged where it gets smaller, and the labels nearest to each of its pixels.
    """
    picture = fit_image(image, longer_side)
    return picture, resize_labels(labels, picture.shape[:2])


def fit_image(image: NDArray[np.uint8], longer_side: int) -> NDArray[np.uint8]:
    """Scale an (H, W, 3) image, which keeps its shape, to a longer side in pixels."""
    return resize_image(image, fitting_size(image.shape[:2], longer_side))


def fitting_size(size: tuple[int, ...], longer_side: int) -> tuple[int, int]:
    """Return the (height, width) of that shape whose longer side has as many pixels; no side has none."""
    scale = longer_side / max(size)
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def resize_image(image: NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return an (H, W, 3) image at a (height, width), pixels averaged where it gets smaller."""
    interpolation = cv2.INTER_AREA if size[1] <= image.shape[1] else cv2.INTER_LINEAR
    return cv2.resize(image, size[::-1], interpolation=interpolation)


def resize_labels(labels: Labels, size: tuple[int, ...]) -> Labels:
    """Return at a (height, width) those of (H, W) labels that are nearest to the middle of each pixel."""
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new)
        for new, old in zip(size, labels.shape, strict=True)
    )
    return labels[rows[:, None], columns]
