"""Decoding an image of any format to the values of the file.

The module imports neither PyTorch nor mmcv, so that a process that only decodes starts at once and stays small.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from swinseg.datasets.files.headers import format_of
from swinseg.datasets.files.heif import AVIF, HEIC, decode_heif
from swinseg.datasets.files.opencv import decode_by_opencv
from swinseg.datasets.files.orientation import turned, webp_orientation
from swinseg.datasets.files.tiff import decode_tiff


def decode(data: bytes, *, color_type: str = 'color', reduction: int = 1) -> npt.NDArray[Any]:
    """Decode the bytes of an image file, as ``decode_by_opencv`` does and takes the same, but right.

    OpenCV misreads several kinds of TIFF, and the orientation of some WebP files, and seldom knows HEIC and AVIF.

    Raises:
        DecodingError: it is not read.
        MemoryError: there is too little.
    """
    kind = format_of(data)
    if kind == 'TIFF':
        return decode_tiff(data, color_type=color_type)
    if kind in (HEIC, AVIF):
        return decode_heif(data, kind, color_type=color_type)
    image = decode_by_opencv(data, color_type=color_type, reduction=reduction)
    if kind == 'WebP' and color_type in ('color', 'grayscale'):
        return np.ascontiguousarray(turned(image, webp_orientation(data)))
    return image
