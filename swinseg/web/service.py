"""From a request to its answer: admission, upload, waiting, the model.

What is held at a time is bounded: the bytes of the files that arrive or wait to be decoded, and the pixels of
those that wait for the model.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect

from swinseg.errors import RequestError, UserError, is_out_of_memory
from swinseg.models.multi_label import refuse_multi_label
from swinseg.predictor import PredictOptions, Predictor
from swinseg.predictor.segmentation import Segmentation
from swinseg.web.answers import Answer, Format, make_answer
from swinseg.web.batching import BatchWorkers
from swinseg.web.budgets import HeldUpload, PixelBudget, UploadBudget
from swinseg.web.decoding.pool import DecoderPool
from swinseg.web.limits import Limits
from swinseg.web.metrics import Metrics
from swinseg.web.uploads import Body

_LONGEST_RETRY_S = 20

_logger = logging.getLogger(__name__)


# What a batch at work may still take when the server stops; the threads end with the process in any case.
_SECONDS_TO_CLOSE = 1.0


@dataclass(frozen=True, eq=False)
class _Task:
    """An image to segment, (H, W, 3) uint8 RGB; ``received`` is the time (``perf_counter``) of its arrival."""

    image: NDArray[np.uint8]
    kind: Format
    received: float

    @property
    def pixels(self) -> int:
        return self.image.shape[0] * self.image.shape[1]

    def seconds(self) -> float:
        return time.perf_counter() - self.received


@dataclass(eq=False)
class _Progress:
    """How far a request is: the future of its answer, once it waits for the model."""

    future: Future[Answer] | None = None

    @property
    def is_at_work(self) -> bool:
        return self.future is not None and self.future.running()


class Service:
    """Predictors of one model that answer requests within limits, each on a device or cores of its own.

    Args:
        predictors: one at least; each is asked from one thread only, when it is free.
        limits: of what is taken on, by all of them together.
    """

    def __init__(self, predictors: Sequence[Predictor], limits: Limits) -> None:
        first = predictors[0]
        refuse_multi_label(first.model, 'images are served')
        self._limits = limits
        self._in_flight = 0
        self._uploads = UploadBudget(limits.upload_bytes)
        self._pixels = PixelBudget(limits.decoded_pixels)
        self._decoders = DecoderPool(limits, first.value_range)
        self._workers = BatchWorkers(
            [partial(self._answer_batch, predictor) for predictor in predictors],
            batch_size=limits.batch or first.default_batch_size,
            weight=lambda task: task.pixels,
            most=limits.pixels,
        )
        self.metrics = Metrics(
            in_flight=lambda: self._in_flight,
            waiting=self._workers.waiting,
            workers=len(predictors),
        )

    async def start(self) -> None:
        """Start to work."""
        await self._decoders.start()
        self._workers.start()

    def close(self) -> None:
        """Refuse what waits, end what is decoded, and return when nothing is at work, or soon."""
        self._decoders.close()
        self._workers.close(_SECONDS_TO_CLOSE)

    @property
    def is_ready(self) -> bool:
        """Whether requests are answered in time."""
        return self._workers.is_working and self._decoders.is_working and not self._is_stuck

    @property
    def _is_stuck(self) -> bool:
        return self._workers.seconds_at_work() > self._limits.seconds

    async def segment(self, body: Body, kind: Format) -> Answer:
        """Answer a request to segment the image that is its body.

        Raises:
            RequestError: it is refused.
            ClientDisconnect: the client has gone, and its image is left out.
        """
        self._check_admission()
        with self._uploads.hold() as upload:
            data = await self._received(body, upload)
            # Whoever has not sent all has no place.
            self._check_admission()
            self._in_flight += 1
            try:
                progress = _Progress()
                return await self._answered(
                    body, self._segment(data, upload, kind, progress), progress
                )
            finally:
                self._in_flight -= 1

    def _check_admission(self) -> None:
        if not self._workers.is_working:
            raise _stopping()
        if not self.is_ready:
            raise RequestError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                'the server does not get on with its work; try again later',
                retry_after=_LONGEST_RETRY_S,
            )
        if self._in_flight >= self._limits.requests:
            half_the_queue = self._workers.seconds_per_item * self._limits.requests / 2
            raise RequestError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f'the server has {self._limits.requests} requests at work, which is the most that it takes; '
                'try again later',
                retry_after=min(max(1, math.ceil(half_the_queue)), _LONGEST_RETRY_S),
            )

    async def _received(self, body: Body, upload: HeldUpload) -> bytes | bytearray:
        reading = asyncio.ensure_future(body.read_file(upload.add))
        upload.start(reading.cancel)
        try:
            await asyncio.wait({reading}, timeout=self._limits.seconds)
        finally:
            in_time = reading.done()
            reading.cancel()
        if not in_time:
            raise RequestError(
                HTTPStatus.REQUEST_TIMEOUT,
                f'the image did not arrive within {self._limits.seconds:g} seconds; send a smaller one',
            )
        if reading.cancelled():
            raise RequestError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                'more images arrive than the server has room for, and this one took longest; try again later',
                retry_after=1,
            )
        data = reading.result()
        upload.arrived()
        return data

    async def _answered(
        self, body: Body, work: Coroutine[Any, Any, Answer], progress: _Progress
    ) -> Answer:
        """Wait for an answer as long as the limit allows and the client is there."""
        answer = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(body.client_gone())
        waiting: set[asyncio.Future[Any]] = {answer, gone}
        try:
            done, _ = await asyncio.wait(
                waiting, timeout=self._limits.seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            is_at_work = progress.is_at_work
            gone.cancel()
            answer.cancel()  # Where it is not there yet, it is left out.
        if answer in done:
            return answer.result()
        if gone in done:
            raise ClientDisconnect
        if not is_at_work:
            raise RequestError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f'the server had other images at work for {self._limits.seconds:g} seconds; try again later',
                retry_after=_LONGEST_RETRY_S,
            )
        raise RequestError(
            HTTPStatus.GATEWAY_TIMEOUT,
            f'the image was not segmented within {self._limits.seconds:g} seconds; try again later, or send a '
            'smaller one',
            retry_after=_LONGEST_RETRY_S,
        )

    async def _segment(
        self, data: bytes | bytearray, upload: HeldUpload, kind: Format, progress: _Progress
    ) -> Answer:
        received = time.perf_counter()
        # How many pixels the image has is known when it is decoded.
        async with self._pixels.share(self._limits.pixels) as share:
            task = _Task(await self._decoders.decode(data), kind, received)
            del data
            upload.decoded()
            share.shrink(task.pixels)
            try:
                progress.future = self._workers.submit(task)
                answer = await asyncio.wrap_future(progress.future)
            except asyncio.CancelledError:
                if self._workers.is_working:
                    raise
                raise _stopping() from None
        self.metrics.count_answer(pixels=task.pixels, seconds=task.seconds())
        return answer

    def _answer_batch(
        self, predictor: Predictor, tasks: Sequence[_Task]
    ) -> list[Answer | Exception]:
        """Segment and encode images; runs in the thread of the predictor's worker."""
        segmented = self._segmented(predictor, [task.image for task in tasks])
        return [
            make_answer(outcome, task.kind, seconds=task.seconds)
            if isinstance(outcome, Segmentation)
            else outcome
            for task, outcome in zip(tasks, segmented, strict=True)
        ]

    def _segmented(
        self, predictor: Predictor, images: list[NDArray[np.uint8]]
    ) -> list[Segmentation | Exception]:
        """Segment images; where that fails for several, each by itself, so that no one pays for another."""
        self.metrics.count_batch(len(images))
        try:
            options = PredictOptions(confidence=True, batch_size=len(images))
            return list(predictor.stream(images, options))
        except Exception as error:
            if len(images) == 1:
                return [_message_of(error)]
        return [outcome for image in images for outcome in self._segmented(predictor, [image])]


def _stopping() -> RequestError:
    return RequestError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        'the server is starting or stopping; try again later',
        retry_after=_LONGEST_RETRY_S,
    )


def _message_of(error: Exception) -> Exception:
    """Return the refusal that an error of the predictor amounts to; others are defects, and stay what they are."""
    if is_out_of_memory(error):
        _logger.error('an image was refused for lack of memory: %s', error)
        return RequestError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            'the server has too little memory for this image; send a smaller one',
        )
    if isinstance(error, UserError):
        return RequestError(HTTPStatus.BAD_REQUEST, str(error))
    return error
