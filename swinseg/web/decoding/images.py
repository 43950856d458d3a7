"""An image file that a client sent: looked at, and decoded as the predictor decodes a file.

Nothing in it is believed, the size that it claims included. The module imports neither PyTorch nor a model: it
runs in processes of its own (:mod:`swinseg.web.decoding.child`).
"""

from __future__ import annotations

import io
import warnings
from http import HTTPStatus
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swinseg.datasets.files import decoding
from swinseg.datasets.files.headers import format_of, is_complete
from swinseg.datasets.files.heif import AVIF, HEIC, missing_reader, open_heif
from swinseg.datasets.files.tiff import read_header
from swinseg.datasets.files.value_range import ValueRange
from swinseg.errors import DataError, DecodingError, RequestError
from swinseg.web.decoding.costs import CostError, check_cost

# Pillow's names of the formats that are taken. Not JPEG 2000, whose two headers may tell different sizes.
_FORMATS = {
    'JPEG': 'JPEG',
    'PNG': 'PNG',
    'WebP': 'WEBP',
    'TIFF': 'TIFF',
    'BMP': 'BMP',
    'GIF': 'GIF',
    'PNM': 'PPM',
    AVIF: 'AVIF',
    HEIC: 'HEIF',
}


def decode(data: bytes, *, pixels: int, value_range: ValueRange | None = None) -> NDArray[np.uint8]:
    """Decode an image file.

    Args:
        data: the file.
        pixels: that it may have at most.
        value_range: which values of a file of more than 8 bits become 0 and 255.

    Returns:
        (H, W, 3) uint8 RGB, turned as its EXIF orientation says.

    Raises:
        RequestError: it is no image of a known format, it is cut short or damaged, it has too many pixels, it
            costs too much to decode, or it has more than 8 bits of which nothing says what they mean.
        MemoryError: there is too little.
    """
    kind = format_of(data)
    if kind not in _FORMATS:
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f'the file is no image that this server reads: send {", ".join(_FORMATS)}',
        )
    missing = missing_reader(kind)
    if missing is not None:
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f'the file {missing} on this server; send it as JPEG or PNG',
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
    _check_header(data, kind, pixels)
    values = _decoded(data, kind)
    _check_pixels(values.shape[:2], pixels)
    image = _in_8_bits(values, value_range)
    cv2.cvtColor(image, cv2.COLOR_BGR2RGB, image)
    return image


def _check_header(data: bytes, kind: str, pixels: int) -> None:
    """Check the size that a file's header tells, before anything is decoded."""
    if kind == 'TIFF':
        header = read_header(io.BytesIO(data))
        if header is None:
            raise _damaged('TIFF')
        _check_pixels(header.shape, pixels)
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            # Pillow's own limit is far above ours, and its error says the size that it found.
            with _opened(data, kind) as image:
                width, height = image.size
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(pixels) from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise all kinds for headers that make no sense.
        raise _damaged(kind) from error
    _check_pixels((height, width), pixels)


def _opened(data: bytes, kind: str) -> Image.Image:
    if kind in (AVIF, HEIC):
        return open_heif(io.BytesIO(data), kind)
    return Image.open(io.BytesIO(data), formats=[_FORMATS[kind]])


def _decoded(data: bytes, kind: str) -> NDArray[Any]:
    """Decode to BGR as training and the predictor do."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return decoding.decode(data)
    except DecodingError as error:
        if kind != 'TIFF':
            raise _damaged(kind) from error
        raise RequestError(
            HTTPStatus.BAD_REQUEST, f'the TIFF file {error}; send it as 8-bit RGB, or send another'
        ) from error


def _in_8_bits(values: NDArray[Any], value_range: ValueRange | None) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    if value_range is None:
        raise RequestError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f'the image has {values.dtype.itemsize * 8} bits, and this server was not told which of its values '
            'are dark and which are bright; send one of 8 bits, or start the server with --value-range',
        )
    try:
        return value_range.to_8_bits(values, is_bgr=True)
    except DataError as error:
        raise RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error


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
