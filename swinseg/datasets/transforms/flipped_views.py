"""Copying what NumPy has flipped: mmcv flips by a view, which NumPy then copies pixel by pixel."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

_FLIP_CODES = {(True, False): 0, (False, True): 1, (True, True): -1}


def copy_if_flipped(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array of the same values that OpenCV can read where it lies.

    OpenCV reads cut-outs of an image in place but has NumPy copy a flipped view first, which at
    512 x 512 x 3 bytes takes thirty times as long as OpenCV's own flip.

    Args:
        array: of any shape; (H, W) or (H, W, up to 4) uint8 or float32 where speed matters.

    Returns:
        ``array`` itself where no axis runs backwards, else a contiguous copy.
    """
    if all(stride >= 0 for stride in array.strides):
        return array
    image, code = _undo_flip(array)
    if code is None:
        return array.copy()
    flipped: npt.NDArray[Any] = cv2.flip(image, code)
    return flipped.reshape(array.shape)


def _undo_flip(array: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], int | None]:
    """Undo the flip in a view, and say how OpenCV calls it; None where there is none that it can do."""
    if array.ndim not in (2, 3) or array.dtype not in (np.uint8, np.float32):
        return array, None
    down, across = array.strides[0] < 0, array.strides[1] < 0
    image = array[:: -1 if down else 1, :: -1 if across else 1]
    channels = 1 if array.ndim == 2 else array.shape[2]
    dense = image.strides[1] == channels * array.itemsize and image.strides[-1] == array.itemsize
    return image, _FLIP_CODES.get((down, across)) if dense and channels <= 4 else None


def planes(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return an image with its channels one after the other.

    Args:
        image: (H, W, C) uint8, any view, C from 1 to 4.

    Returns:
        (C, H, W) uint8, a new contiguous array.
    """
    height, width, channels = image.shape
    result = np.empty((channels, height, width), np.uint8)
    cv2.split(copy_if_flipped(image), list(result))
    return result
