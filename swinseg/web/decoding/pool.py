"""Several processes that decode, so that a file which takes all the time it may does not stop the others."""

from __future__ import annotations

import asyncio
import logging
import math
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.files.value_range import ValueRange
from swinseg.errors import RequestError
from swinseg.web.decoding.decoder import Decoder, DecoderError
from swinseg.web.limits import Limits

_SECONDS_BETWEEN_STARTS = 2.0

_logger = logging.getLogger(__name__)


class DecoderPool:
    """Decodes images in ``limits.decoders`` processes, those that wait in the order in which they came.

    Its methods are called in one event loop.

    Args:
        limits: of an image, of decoding it, and of how long it waits for that.
        value_range: which values of a file of more than 8 bits become 0 and 255; None refuses such files.
    """

    def __init__(self, limits: Limits, value_range: ValueRange | None = None) -> None:
        self._limits = limits
        self._decoders = [Decoder(limits, value_range) for _ in range(limits.decoders)]
        self._idle: asyncio.Queue[Decoder] = asyncio.Queue()
        self._threads = ThreadPoolExecutor(limits.decoders, 'decoder')
        self._failed: set[Decoder] = set()
        self._starts: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def start(self) -> None:
        """Start the processes; one that does not start is tried again later."""
        await asyncio.gather(*[self._try_start(decoder) for decoder in self._decoders])
        for decoder in self._failed:
            self._start_later(decoder)

    def close(self) -> None:
        """End the processes, and what they do."""
        self._is_closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for start in self._starts:
            start.cancel()
        for decoder in self._decoders:
            decoder.close()

    @property
    def is_working(self) -> bool:
        """Whether images are decoded: there is a process that could be started when that was last tried."""
        return len(self._failed) < len(self._decoders) and not self._is_closed

    async def decode(self, data: bytes | bytearray) -> NDArray[np.uint8]:
        """Decode an image file.

        Returns:
            (H, W, 3) uint8 RGB, turned as its EXIF orientation says.

        Raises:
            RequestError: it is refused, or no process becomes free in half the time of a request.
        """
        loop = asyncio.get_running_loop()
        decoder = await self._free()
        # The process goes on when nobody waits for it any more, and is free only then.
        work = loop.run_in_executor(self._threads, decoder.decode, data)
        work.add_done_callback(lambda done: self._give_back(decoder, done))
        try:
            return await asyncio.shield(work)
        except DecoderError as error:
            raise self._busy('cannot be started') from error

    async def _free(self) -> Decoder:
        seconds = self._limits.seconds / 2
        try:
            return await asyncio.wait_for(self._idle.get(), seconds)
        except asyncio.TimeoutError as error:
            raise self._busy(f'were all at work for {seconds:g} seconds') from error

    def _busy(self, what: str) -> RequestError:
        return RequestError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f'the processes that decode images {what}; try again later',
            retry_after=math.ceil(self._limits.decode_seconds),
        )

    def _give_back(self, decoder: Decoder, work: asyncio.Future[NDArray[np.uint8]]) -> None:
        if self._is_closed:
            return
        error = None if work.cancelled() else work.exception()
        if isinstance(error, DecoderError):
            self._note_failure(decoder, error)
            self._start_later(decoder)
        else:
            self._idle.put_nowait(decoder)

    def _start_later(self, decoder: Decoder) -> None:
        start = asyncio.ensure_future(self._start_again(decoder))
        self._starts.add(start)  # The loop itself holds tasks weakly.
        start.add_done_callback(self._starts.discard)

    async def _start_again(self, decoder: Decoder) -> None:
        while not self._is_closed:
            await asyncio.sleep(_SECONDS_BETWEEN_STARTS)
            if await self._try_start(decoder):
                return

    async def _try_start(self, decoder: Decoder) -> bool:
        """Start a process and let it have work, or note that it does not start."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, decoder.start)
        except DecoderError as error:
            self._note_failure(decoder, error)
            return False
        self._failed.discard(decoder)
        self._idle.put_nowait(decoder)
        return True

    def _note_failure(self, decoder: Decoder, error: DecoderError) -> None:
        if decoder not in self._failed:
            _logger.error('%s', error)
        self._failed.add(decoder)
