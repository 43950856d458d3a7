"""Image files as they come by HTTP: received, without a file anywhere, and bounded in all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from http import HTTPStatus

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartParser
from starlette.requests import ClientDisconnect

from swinseg.errors import RequestError
from swinseg.web.limits import Limits

# What stands around the file in a multipart body.
_MULTIPART_BYTES = 65_536


class Body:
    """The body of a request, which is read once.

    Args:
        request: not read yet.
        limits: of the server.
    """

    def __init__(self, request: Request, limits: Limits) -> None:
        self._request = request
        self._limits = limits
        self._note_bytes: Callable[[int], None] = lambda count: None
        self._chunks = request.stream()

    async def read_file(self, note_bytes: Callable[[int], None]) -> bytes | bytearray:
        """Return the file that is the body, or the field ``file`` of a multipart body.

        Args:
            note_bytes: called with the number of bytes that are about to be kept.

        Raises:
            RequestError: there is none, or it is too large.
            ClientDisconnect: the client has gone.
        """
        self._note_bytes = note_bytes
        data: bytes | bytearray
        kind = self._request.headers.get('content-type', '').partition(';')[0]
        if kind.strip().lower() == 'multipart/form-data':
            data = await self._read_field()
        else:
            data = bytearray()
            async for chunk in self._bounded(self._limits.bytes):
                data += chunk
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
            await asyncio.wait_for(
                self._discard(), min(self._limits.seconds, self._limits.header_seconds)
            )

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
            self._note_bytes(len(chunk))
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
