"""Images and scores: reading and resizing them with NumPy and Pillow.

Shapes: H, W = size of the given image; h, w = size of what goes into the graph; K = classes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from swinseg_runtime.errors import ModelFileError

ImageLike: TypeAlias = 'str | os.PathLike[str] | NDArray[np.uint8] | Image.Image'
"""A path, an (H, W, 3) uint8 RGB array, or a PIL image."""


def read_pixels(image: ImageLike) -> NDArray[np.uint8]:
    """Return an image as (H, W, 3) uint8 RGB.

    Raises:
        ModelFileError: it is none, or has more than 8 bits.
    """
    if isinstance(image, str | os.PathLike):
        try:
            with Image.open(image) as opened:
                return _from_pil(opened, os.fspath(image))
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise ModelFileError(
                f'cannot read the image {os.fspath(image)}: {getattr(error, "strerror", None) or error}; give '
                'another file'
            ) from error
    if isinstance(image, Image.Image):
        return _from_pil(image, 'the PIL image')
    is_array = isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3
    if not is_array or image.dtype != np.uint8 or not image.size:
        found = (
            f'{image.shape} {image.dtype}'
            if isinstance(image, np.ndarray)
            else type(image).__name__
        )
        raise ModelFileError(
            f'an image must be a path, a PIL image or an (H, W, 3) uint8 RGB array, found {found}'
        )
    return image


def _from_pil(image: Image.Image, name: str) -> NDArray[np.uint8]:
    if image.mode.startswith(('I', 'F')):
        raise ModelFileError(
            f'{name} must have 8 bits per channel, but its mode is {image.mode}; scale its values to 0..255'
        )
    return np.asarray(ImageOps.exif_transpose(image).convert('RGB'))


def resized_size(
    size: tuple[int, ...], *, scale: Sequence[int], keep_ratio: bool
) -> tuple[int, int]:
    """Return width and height as mmcv's Resize has them for an image of a height and width."""
    height, width = size
    if not keep_ratio:
        return scale[0], scale[1]
    factor = min(max(scale) / max(size), min(scale) / min(size))
    return max(1, int(width * factor + 0.5)), max(1, int(height * factor + 0.5))


def resize_pixels(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize (h, w, C) uint8 bilinearly in the fixed-point numbers of OpenCV, whose bits these are."""
    if pixels.shape[:2] == (height, width):
        return pixels
    low, high, low_weights, high_weights = _taps(pixels.shape[1], width, ends_are_whole=True)
    wide = pixels[:, low].astype(np.int32)
    wide *= low_weights[:, None]
    wide += pixels[:, high] * high_weights[:, None]
    wide >>= 4
    low, high, low_weights, high_weights = _taps(pixels.shape[0], height, ends_are_whole=False)
    tall = (wide[low] * low_weights[:, None, None]) >> 16
    tall += (wide[high] * high_weights[:, None, None]) >> 16
    return ((tall + 2) >> 2).astype(np.uint8)


def _taps(
    length: int, target: int, *, ends_are_whole: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Return the two neighbors of each target, and their weights in parts of 2,048."""
    place = ((np.arange(target) + 0.5) * (length / target) - 0.5).astype(np.float32)
    low = np.floor(place).astype(np.int64)
    weight = place - low.astype(np.float32)
    if ends_are_whole:
        weight[(low < 0) | (low >= length - 1)] = 0
    low_weights, high_weights = (
        np.rint(each * 2048).astype(np.int32) for each in (1 - weight, weight)
    )
    return low.clip(0, length - 1), (low + 1).clip(0, length - 1), low_weights, high_weights


def resize_scores(scores: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Resize (K, h, w) bilinearly, as PyTorch does with ``align_corners=False``."""
    for axis, target in ((2, width), (1, height)):
        length = scores.shape[axis]
        if length == target:
            continue
        place = ((np.arange(target, dtype=np.float32) + 0.5) * (length / target) - 0.5).clip(
            0, length - 1
        )
        low = place.astype(np.int64)
        weight = (place - low).astype(np.float32).reshape((-1, 1) if axis == 1 else -1)
        first = scores.take(low, axis)
        scores = first + (scores.take(np.minimum(low + 1, length - 1), axis) - first) * weight
    return scores


def nearest(length: int, target: int) -> NDArray[np.int64]:
    """Return which of the places along an axis is the nearest to each of ``target`` ones."""
    return ((np.arange(target) + 0.5) * (length / target)).astype(np.int64)
