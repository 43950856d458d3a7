"""An image file that a client sent: looked at, and decoded as the predictor decodes a file.

Nothing in it is believed, the size that it claims included. The module imports neither PyTorch nor a model: it
runs in processes of its own (:mod:`swinseg.web.decoding.child`).
"""

from __future__ import annotations

import io
import warnings
from http import HTTPStatus

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swinseg.datasets.image_bytes import format_of, is_complete
from swinseg.datasets.orientation import turned, webp_orientation
from swinseg.datasets.tiff_bands import TiffError
from swinseg.datasets.tiff_files import decode_tiff, read_header
from swinseg.web.decoding.costs import CostError, check_cost
from swinseg.web.errors import RequestError

# Pillow's names of the formats that are taken. Not JPEG 2000, whose two headers may tell different sizes.
_FORMATS = {
    'JPEG': 'JPEG',
    'PNG': 'PNG',
    'WebP': 'WEBP',
    'TIFF': 'TIFF',
    'BMP': 'BMP',
    'GIF': 'GIF',
    'PNM': 'PPM',
}


def decode(data: bytes, *, pixels: int) -> NDArray[np.uint8]:
    """Decode an image file.

    Args:
        data: the file.
        pixels: that it may have at most.

    Returns:
        (H, W, 3) uint8 RGB, turned as its EXIF orientation says.

    Raises:
        RequestError: it is no image of a known format, it is cut short or damaged, it has too many pixels, or it
            costs too much to decode.
        MemoryError: there is too little.
    """
    kind = format_of(data)
    if kind not in _FORMATS:
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f'the file is no image that this server reads: send {", ".join(_FORMATS)}',
        )
    try:
        check_cost(data, kind)
    except CostError as error:
        raise RequestError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f'the {kind} file {error}, which is more than this server decodes; save the image anew and send that',
        ) from error
    if not is_complete(data):
        raise RequestError(
            HTTPStatus.BAD_REQUEST,
            f'the {kind} file is cut short: it ends after {len(data):,} bytes without its end-of-image mark; '
            'send it again',
        )
    if kind == 'TIFF':
        image = _tiff(data, pixels)
    else:
        _check_header(data, kind, pixels)
        image = _decoded(data, kind)
    _check_pixels(image.shape[:2], pixels)
    cv2.cvtColor(image, cv2.COLOR_BGR2RGB, image)
    return image


def _tiff(data: bytes, pixels: int) -> NDArray[np.uint8]:
    """Decode a TIFF to BGR as training and the predictor do."""
    header = read_header(io.BytesIO(data))
    if header is None:
        raise _damaged('TIFF')
    _check_pixels(header.shape, pixels)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            image: NDArray[np.uint8] = decode_tiff(data)
    except TiffError as error:
        raise RequestError(
            HTTPStatus.BAD_REQUEST, f'the TIFF file {error}; send it as 8-bit RGB, or send another'
        ) from error
    return image


def _check_header(data: bytes, kind: str, pixels: int) -> None:
    """Check the size that a file's header tells, before anything is decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            # Pillow's own limit is far above ours, and its error says the size that it found.
            with Image.open(io.BytesIO(data), formats=[_FORMATS[kind]]) as image:
                width, height = image.size
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(pixels) from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise all kinds for headers that make no sense.
        raise _damaged(kind) from error
    _check_pixels((height, width), pixels)


def _decoded(data: bytes, kind: str) -> NDArray[np.uint8]:
    """Decode to BGR as mmcv's OpenCV backend does, and so the predictor."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from error
        raise _damaged(kind) from error
    if image is None:
        raise _damaged(kind)
    pixels: NDArray[np.uint8] = image
    if kind == 'WebP':
        pixels = np.ascontiguousarray(turned(pixels, webp_orientation(data)))
    return pixels


def _check_pixels(size: tuple[int, ...], most: int) -> None:
    if size[0] * size[1] > most:
        raise _too_many_pixels(most)


def _too_many_pixels(most: int) -> RequestError:
    return RequestError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f'the image has more than {most:,} pixels, which is the most that this server takes; '
        'send a smaller one',
    )


def _damaged(kind: str | None) -> RequestError:
    return RequestError(
        HTTPStatus.BAD_REQUEST, f'the {kind} file is damaged and cannot be decoded; send another'
    )
