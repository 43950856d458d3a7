"""Images as they come by HTTP: received, looked at and decoded, without a file anywhere.

Nothing in a request is believed: neither its headers, nor the name of the file, nor the size that the image
claims.
"""

from __future__ import annotations

import asyncio
import io
import warnings
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

import cv2
import numpy as np
from fastapi import Request
from numpy.typing import NDArray
from PIL import Image
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartParser
from starlette.requests import ClientDisconnect

from swinseg.datasets.errors import DataError
from swinseg.datasets.image_files import decode_image, format_of, is_complete
from swinseg.web.errors import RequestError
from swinseg.web.limits import Limits

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

# What stands around the file in a multipart body.
_MULTIPART_BYTES = 65_536


@dataclass(frozen=True, eq=False)
class Upload:
    """An image file whose header was looked at.

    Attributes:
        data: the file.
        size: height and width, before its EXIF orientation is applied.
    """

    data: bytes
    size: tuple[int, int]

    @property
    def pixels(self) -> int:
        """Height times width."""
        return self.size[0] * self.size[1]


class Body:
    """The body of a request, which is read once.

    Args:
        request: not read yet.
        limits: of the server.
    """

    def __init__(self, request: Request, limits: Limits) -> None:
        self._request = request
        self._limits = limits
        self._chunks = request.stream()

    async def read_file(self) -> bytes:
        """Return the file that is the body, or the field ``file`` of a multipart body.

        Raises:
            RequestError: there is none, or it is too large.
            ClientDisconnect: the client has gone.
        """
        if self._request.headers.get('content-type', '').startswith('multipart/form-data'):
            data = await self._read_field()
        else:
            data = b''.join([chunk async for chunk in self._bounded(self._limits.bytes)])
        if len(data) > self._limits.bytes:
            raise self._too_large()
        if not data:
            raise RequestError(
                HTTPStatus.BAD_REQUEST,
                'the request has no image: send the file as the body, or as multipart field "file"',
            )
        return data

    async def discard(self) -> None:
        """Read on for a while and keep nothing: most clients look for an answer only when all is sent."""
        with suppress(ClientDisconnect, asyncio.TimeoutError):
            await asyncio.wait_for(self._discard(), self._limits.seconds)

    async def client_gone(self) -> None:
        """Return when the client has gone; only after the body was read."""
        while (await self._request.receive())['type'] != 'http.disconnect':
            pass

    async def _discard(self) -> None:
        left = self._limits.bytes
        async for chunk in self._chunks:
            left -= len(chunk)
            if left < 0:
                return

    async def _read_field(self) -> bytes:
        chunks = self._bounded(self._limits.bytes + _MULTIPART_BYTES)
        parser = _InMemoryParser(self._request.headers, chunks, max_files=1, max_fields=10)
        try:
            form = await parser.parse()
        except (RequestError, ClientDisconnect):
            raise
        except Exception as error:  # The parser's own, and what odd headers raise in it.
            reason = getattr(error, 'message', None) or 'it is malformed'
            raise RequestError(
                HTTPStatus.BAD_REQUEST,
                f'the multipart body cannot be read: {str(reason).rstrip(".")}; send one file as field "file"',
            ) from error
        file = form.get('file')
        return await file.read() if isinstance(file, UploadFile) else b''

    async def _bounded(self, limit: int) -> AsyncGenerator[bytes, None]:
        declared = self._request.headers.get('content-length', '')
        if declared.isdecimal() and int(declared) > limit:
            raise self._too_large()
        received = 0
        async for chunk in self._chunks:
            received += len(chunk)
            if received > limit:
                raise self._too_large()
            yield chunk

    def _too_large(self) -> RequestError:
        return RequestError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f'the file has more than {self._limits.bytes:,} bytes, which is the most that this server takes; '
            'send a smaller one',
        )


class _InMemoryParser(MultiPartParser):
    """Starlette's, which would write files of more than a megabyte to the disk."""

    spool_max_size = 0  # SpooledTemporaryFile's word for no limit; the body has one.


def inspect(data: bytes, limits: Limits) -> Upload:
    """Look at an image file's header and end, before anything is decoded.

    Raises:
        RequestError: it is no image of a known format, it is cut short, or it has too many pixels.
    """
    found = format_of(data)
    if found not in _FORMATS:
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f'the file is no image that this server reads: send {", ".join(_FORMATS)}',
        )
    if not is_complete(data):
        raise RequestError(
            HTTPStatus.BAD_REQUEST,
            f'the {found} file is cut short: it ends after {len(data):,} bytes without its end-of-image mark; '
            'send it again',
        )
    return Upload(data, _size(data, found, limits))


def decode(upload: Upload, limits: Limits) -> NDArray[np.uint8]:
    """Decode an image as the predictor decodes a file.

    Returns:
        (H, W, 3) uint8 RGB, turned as its EXIF orientation says.

    Raises:
        RequestError: it is damaged, or larger than its header said.
    """
    try:
        image = decode_image(upload.data, 'upload')
    except DataError as error:
        raise _damaged(format_of(upload.data)) from error
    _check_pixels(image.shape[:2], limits)
    rgb: NDArray[np.uint8] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return rgb


def _size(data: bytes, found: str, limits: Limits) -> tuple[int, int]:
    """Read height and width of a file of the format ``found`` from its header."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            # Pillow's own limit is far above ours, and its error says the size that it found.
            with Image.open(io.BytesIO(data), formats=[_FORMATS[found]]) as image:
                width, height = image.size
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(limits) from error
    except Exception as error:  # Pillow's readers raise all kinds for headers that make no sense.
        raise _damaged(found) from error
    _check_pixels((height, width), limits)
    return height, width


def _check_pixels(size: tuple[int, int], limits: Limits) -> None:
    if size[0] * size[1] > limits.pixels:
        raise _too_many_pixels(limits)


def _too_many_pixels(limits: Limits) -> RequestError:
    return RequestError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f'the image has more than {limits.pixels:,} pixels, which is the most that this server takes; '
        'send a smaller one',
    )


def _damaged(found: str | None) -> RequestError:
    return RequestError(
        HTTPStatus.BAD_REQUEST, f'the {found} file is damaged and cannot be decoded; send another'
    )
