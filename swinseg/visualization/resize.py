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
        labels: (H, W) of any integer dtype that fits 16 bits.
        longer_side: of the results, in pixels.

    Returns:
        The image, its pixels averaged where it gets smaller, and the labels nearest to each of its pixels.
    """
    picture = fit_image(image, longer_side)
    values = labels if labels.dtype == np.uint8 else labels.astype(np.uint16)
    size = picture.shape[1::-1]
    return picture, cv2.resize(values, size, interpolation=cv2.INTER_NEAREST_EXACT)


def fit_image(image: NDArray[np.uint8], longer_side: int) -> NDArray[np.uint8]:
    """Scale an (H, W, 3) image, which keeps its shape, to a longer side in pixels."""
    scale = longer_side / max(image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=interpolation)
