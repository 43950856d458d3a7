"""Decoding with OpenCV to the values of the file."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from swinseg.datasets.files.headers import format_of
from swinseg.errors import DecodingError, is_out_of_memory

# With IMREAD_ANYDEPTH OpenCV leaves values of more than 8 bits as they are; those of 8 come out the same.
_COLOR = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
_GRAYSCALE = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
_FLAGS = {
    'color': _COLOR,
    'grayscale': _GRAYSCALE,
    'unchanged': cv2.IMREAD_UNCHANGED,
    'color_ignore_orientation': _COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
    'grayscale_ignore_orientation': _GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION,
}
COLOR_TYPES = tuple(_FLAGS)
"""How an image may be decoded, in mmcv's words."""

_REDUCED = {
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def decode_by_opencv(
    data: bytes, *, color_type: str = 'color', reduction: int = 1
) -> npt.NDArray[Any]:
    """Decode the bytes of an image file.

    Args:
        data: the file.
        color_type: ``'color'`` gives three channels whatever the file has, turned as its EXIF orientation says;
            ``'grayscale'`` one, likewise; ``'..._ignore_orientation'``; and ``'unchanged'`` those of the file.
        reduction: 1, or 2, 4 or 8 to decode to that part of each side, rounded up; only for ``'color'``.

    Returns:
        (H, W, 3) BGR, (H, W), or (H, W, C): uint8, or another type where the file has more than 8 bits.

    Raises:
        DecodingError: OpenCV cannot decode it.
        MemoryError: there is too little.
    """
    flags = _FLAGS[color_type] if reduction == 1 else _REDUCED[reduction]
    try:
        image: npt.NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if is_out_of_memory(error):
            raise MemoryError from error
        raise undecodable(data, error.err or str(error)) from error
    if image is None:
        raise undecodable(data)
    return image


def undecodable(data: bytes, reason: object = '') -> DecodingError:
    """Return the error about a file that the reader of its format does not read, and why."""
    lines = str(reason).strip().splitlines() or ['it is damaged']
    return DecodingError(
        f'cannot be decoded as {format_of(data)}: {lines[0]}',
        fix='copy it again or remove it from the set',
    )
