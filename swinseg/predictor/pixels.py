"""Pixels of everything that a user may give as an image.

Shapes: H, W = size of the image. Users give RGB; mmseg's pipelines carry BGR.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from swinseg.datasets.files.banded import BandedImage
from swinseg.datasets.files.value_range import ValueRange
from swinseg.datasets.transforms.loading import LoadImage
from swinseg.errors import PredictorError

ImageLike = str | os.PathLike[str] | NDArray[Any] | Image.Image
"""A path, an (H, W, 3) RGB array, or a PIL image."""


def load_as(loader: LoadImage, image: NDArray[Any] | Image.Image) -> dict[str, Any]:
    """Return what ``loader`` makes of a file with this picture: ``img``, ``img_shape``, ``ori_shape``.

    Raises:
        DataError: an array of more than 8 bits, of which the loader's ``value_range`` says something else.
        PredictorError: it is no (H, W, 3) array, or (H, W, C) of the loader's ``bands``, of other than 8 bits
            though nothing says what they mean, or a PIL image that cannot be decoded or has other than 8 bits.
    """
    if loader.bands is not None and not isinstance(image, Image.Image):
        return _bands_as(loader, image)
    pixels: NDArray[Any] = _to_bgr(image, loader.value_range)
    if loader.color_type.startswith('grayscale'):
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    if loader.to_float32:
        pixels = pixels.astype(np.float32)
    return {'img': pixels, 'img_shape': pixels.shape[:2], 'ori_shape': pixels.shape[:2]}


def _bands_as(loader: LoadImage, image: NDArray[Any]) -> dict[str, Any]:
    """Return what the loader makes of a file with the bands of an array, which are in its order."""
    bands = loader.bands or ()
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.dtype.kind not in 'uif':
        found = f'{image.shape} {image.dtype}' if isinstance(image, np.ndarray) else 'none'
        raise PredictorError(
            f'an image array must be (height, width, {len(bands)}) numbers, but is {found}; give such an array, '
            f'or a path'
        )
    if image.shape[2] != len(bands) or not image.size:
        listed = ', '.join(map(str, bands))
        raise PredictorError(
            f'an image array must be (height, width, {len(bands)}) with the bands {listed}, but is {image.shape}; '
            'give it those bands, or a path'
        )
    valid = np.ones(image.shape[:2], np.bool_)
    if image.dtype.kind == 'f':
        valid = np.isfinite(image).any(axis=2)
    pixels = loader.as_shown(BandedImage(image, valid), 'the array')
    return {'img': pixels, 'img_shape': pixels.shape[:2], 'ori_shape': pixels.shape[:2]}


def to_rgb(pixels: NDArray[Any], *, is_bgr: bool = True) -> NDArray[np.uint8]:
    """Return a loaded image, (H, W) or (H, W, C), as (H, W, 3) uint8 RGB to draw on.

    Three bands are in OpenCV's order. Of more the first three are drawn, blue first where ``is_bgr``.

    Values that the model gets as they are in the file, beyond 0 to 255, are stretched to be seen.
    """
    if pixels.dtype != np.uint8:
        known = pixels[np.isfinite(pixels)]
        if known.size and (known.max() > 255 or known.min() < 0):
            pixels = ValueRange.measured(pixels).to_8_bits(pixels)
        else:
            pixels = np.clip(np.nan_to_num(pixels), 0, 255).astype(np.uint8)
    if pixels.ndim == 2 or pixels.shape[2] < 3:
        return np.repeat(pixels.reshape(*pixels.shape[:2], -1)[..., :1], 3, axis=2)
    if not is_bgr and pixels.shape[2] > 3:
        return np.ascontiguousarray(pixels[..., :3])
    return _swapped(pixels[..., :3])


def _to_bgr(image: NDArray[Any] | Image.Image, value_range: ValueRange | None) -> NDArray[np.uint8]:
    """Return an RGB array or a PIL image as a new (H, W, 3) uint8 BGR array."""
    if isinstance(image, Image.Image):
        image = _from_pil(image)
    if not isinstance(image, np.ndarray):
        are_several = isinstance(image, list | tuple | Iterator)
        raise PredictorError(
            f'an image must be a path, an array or a PIL image, but is a {type(image).__name__}'
            f'{"; give several images to Predictor.stream" if are_several else ""}'
        )
    if image.ndim == 3 and image.shape[2] == 3 and image.size and image.dtype.kind in 'uif':
        if value_range is not None:
            image = value_range.to_8_bits(image, name='the array')
        if image.dtype == np.uint8:
            return _swapped(image)
    expected = '(height, width, 3) uint8 RGB' if value_range is None else '(height, width, 3) RGB'
    raise PredictorError(
        f'an image array must be {expected}, but is {image.shape} {image.dtype}; '
        'convert it, say its value_range, or give a path'
    )


def _swapped(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a new (H, W, 3) image with red and blue exchanged, in a hundredth of NumPy's time."""
    swapped: NDArray[np.uint8] = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
    return swapped


def _from_pil(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith(('I', 'F')):
        raise PredictorError(
            f'a PIL image must have 8 bits per channel, but its mode is {image.mode}; '
            "scale its values to 0..255 and convert it to 'RGB'"
        )
    try:
        return np.asarray(ImageOps.exif_transpose(image).convert('RGB'))
    except OSError as error:
        raise PredictorError(f'the PIL image cannot be decoded: {error}') from error
