"""An image of a set as a picture for people, whatever its bands are."""

from __future__ import annotations

import os

import cv2
import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.files.band_choice import Choice
from swinseg.datasets.files.banded import count_bands, read_bands
from swinseg.datasets.files.images import decode_image, fetch_bytes, read_bytes, said_of
from swinseg.datasets.files.value_range import PER_IMAGE, ValueRange
from swinseg.errors import DataError


def read_picture(
    path: str | os.PathLike[str],
    value_range: ValueRange | None = None,
    bands: Choice | None = None,
) -> NDArray[np.uint8]:
    """Read an image as (H, W, 3) uint8 RGB, turned as its EXIF says.

    Args:
        path: the image. Of several bands without roles the first three are shown.
        value_range: which values of more than 8 bits become 0 and 255; None for each image's own.
        bands: those that a model is shown, of which the first three are drawn, or the first one; None for colors.

    Raises:
        DataError: it cannot be read.
    """
    to_see = ValueRange(rule=PER_IMAGE)
    if bands is None and os.fspath(path).lower().endswith('.npy'):
        data = fetch_bytes(path)
        with said_of('image', path):
            bands = (1, 2, 3) if count_bands(data) > 2 else (1,)
    if bands is not None:
        image = read_bands(path, bands)
        shown = (value_range or to_see).to_8_bits(
            image.pixels, valid=image.valid, name=os.fspath(path)
        )
        return np.ascontiguousarray(shown[..., [0, 1, 2] if shown.shape[2] > 2 else [0, 0, 0]])
    data = read_bytes(path)
    try:
        picture = decode_image(data, path, value_range=value_range or to_see)
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
    except DataError:
        pixels = np.atleast_3d(decode_image(data, path, color_type='unchanged'))
        return to_see.to_8_bits(pixels[..., [0, 1, 2] if pixels.shape[2] > 2 else [0, 0, 0]])
