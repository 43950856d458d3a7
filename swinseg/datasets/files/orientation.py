"""Turning pictures as their files ask for, where OpenCV does not."""

from __future__ import annotations

import io
import warnings
from typing import Any, BinaryIO

from numpy.typing import NDArray
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from swinseg.datasets.files.headers import webp_chunks

ORIENTATION_TAG = 274
_EXIF_PREFIX = b'Exif\0\0'


def tiff_tags(file: BinaryIO) -> ImageFileDirectory_v2:
    """Return the first picture's tags, whatever its bands; Pillow opens files with few kinds of bands only.

    Raises:
        Exception: of many kinds, where the file is damaged.
    """
    header = file.read(8)
    if header[2] == 43:  # BigTIFF
        header += file.read(8)
    tags = ImageFileDirectory_v2(header)
    file.seek(tags.next)
    with warnings.catch_warnings():
        # What is wrong with a damaged file, its reader says.
        warnings.simplefilter('ignore')
        tags.load(file)
    return tags


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return (H, W, ...) pixels as one shall see them, by EXIF's number from 1 to 8."""
    if orientation > 4:
        pixels = pixels.swapaxes(0, 1)
    # Then from the right for 2, 3, 6 and 7, and from below for 3, 4, 7 and 8.
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def webp_orientation(data: bytes) -> int:
    """Return how a WebP that OpenCV has decoded is still to be turned, 1 to 8.

    OpenCV turns it itself, but overlooks EXIF that begins as in a JPEG, as many programs write it.
    """
    for name, start, end in webp_chunks(data):
        if name == b'EXIF' and data.startswith(_EXIF_PREFIX, start):
            try:
                tags = tiff_tags(io.BytesIO(data[start + len(_EXIF_PREFIX) : end]))
                orientation = int(tags.get(ORIENTATION_TAG, 1))
            except Exception:  # Pillow has many ways to fail at what is damaged
                return 1
            return orientation if 1 <= orientation <= 8 else 1
    return 1
