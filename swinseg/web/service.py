"""From a request to its answer: admission, upload, waiting, the model.

What is held at a time is bounded: requests that are taken hold their file, and the batch at work its pixels.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from swinseg.errors import UserError
from swinseg.inference.window_batches import is_out_of_memory
from swinseg.predictor import Predictor
from swinseg.segmentation import Segmentation
from swinseg.web.answers import Answer, Format, make_answer
from swinseg.web.batching import BatchWorker
from swinseg.web.errors import RequestError
from swinseg.web.limits import Limits
from swinseg.web.metrics import Metrics
from swinseg.web.uploads import Body, Upload, decode, inspect

_LONGEST_RETRY_S = 20

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Task:
    """An image to segment; ``received`` is the time of ``time.perf_counter`` at which it was there."""

    upload: Upload
    kind: Format
    received: float

    def seconds(self) -> float:
        return time.perf_counter() - self.received


class Service:
    """A predictor that answers requests within limits.

    Args:
        predictor: asked from one thread only.
        limits: of what is taken on.
    """

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self._predictor = predictor
        self._limits = limits
        self._in_flight = 0
        self._worker = BatchWorker(
            self._answer_batch,
            batch_size=limits.batch or predictor.default_batch_size,
            weight=lambda task: task.upload.pixels,
            most=limits.pixels,
        )
        self.metrics = Metrics(in_flight=lambda: self._in_flight, waiting=self._worker.waiting)

    def start(self) -> None:
        """Start to work."""
        self._worker.start()

    def close(self) -> None:
        """Refuse what waits, and return when nothing is at work."""
        self._worker.close()

    @property
    def is_ready(self) -> bool:
        """Whether requests are answered."""
        return self._worker.is_working

    async def segment(self, body: Body, kind: Format) -> Answer:
        """Answer a request to segment the image that is its body.

        Raises:
            RequestError: it is refused.
            ClientDisconnect: the client has gone, and its image is left out.
        """
        with self._admission():
            data = await self._received(body)
            upload = await run_in_threadpool(inspect, data, self._limits)
            del data
            task = _Task(upload, kind, time.perf_counter())
            answer = await self._answered(body, self._worker.submit(task))
        self.metrics.count_answer(pixels=upload.pixels, seconds=task.seconds())
        return answer

    @contextmanager
    def _admission(self) -> Iterator[None]:
        if not self.is_ready:
            raise _stopping()
        if self._in_flight >= self._limits.requests:
            half_the_queue = self._worker.seconds_per_item * self._limits.requests / 2
            raise RequestError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f'the server has {self._limits.requests} requests at work, which is the most that it takes; '
                'try again later',
                retry_after=min(max(1, math.ceil(half_the_queue)), _LONGEST_RETRY_S),
            )
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    async def _received(self, body: Body) -> bytes:
        try:
            return await asyncio.wait_for(body.read_file(), self._limits.seconds)
        except asyncio.TimeoutError as error:
            raise RequestError(
                HTTPStatus.REQUEST_TIMEOUT,
                f'the image did not arrive within {self._limits.seconds:g} seconds; send a smaller one',
            ) from error

    async def _answered(self, body: Body, future: Future[Answer]) -> Answer:
        """Wait for an answer as long as the limit allows and the client is there."""
        answer = asyncio.wrap_future(future)
        gone = asyncio.ensure_future(body.client_gone())
        waiting: set[asyncio.Future[Any]] = {answer, gone}
        try:
            done, _ = await asyncio.wait(
                waiting, timeout=self._limits.seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            gone.cancel()
        if answer.cancelled():
            raise _stopping()
        if answer in done:
            return answer.result()
        answer.cancel()  # The worker leaves it out.
        if gone in done:
            raise ClientDisconnect
        raise RequestError(
            HTTPStatus.GATEWAY_TIMEOUT,
            f'the image was not segmented within {self._limits.seconds:g} seconds; try again later, or send a '
            'smaller one',
            retry_after=_LONGEST_RETRY_S,
        )

    def _answer_batch(self, tasks: Sequence[_Task]) -> list[Answer | Exception]:
        """Decode, segment and encode images; runs in the worker's thread."""
        decoded = [self._decoded(task) for task in tasks]
        images = [image for image in decoded if not isinstance(image, Exception)]
        segmented = iter(self._segmented(images))
        answers: list[Answer | Exception] = []
        for task, image in zip(tasks, decoded, strict=True):
            outcome = image if isinstance(image, Exception) else next(segmented)
            answers.append(
                make_answer(outcome, task.kind, seconds=task.seconds)
                if isinstance(outcome, Segmentation)
                else outcome
            )
        return answers

    def _decoded(self, task: _Task) -> NDArray[np.uint8] | RequestError:
        try:
            return decode(task.upload, self._limits)
        except RequestError as error:
            return error

    def _segmented(self, images: list[NDArray[np.uint8]]) -> list[Segmentation | Exception]:
        """Segment images; where that fails for several, each by itself, so that no one pays for another."""
        if not images:
            return []
        self.metrics.count_batch(len(images))
        try:
            return list(self._predictor.predict(images, confidence=True, batch_size=len(images)))
        except Exception as error:
            if len(images) == 1:
                return [_told(error)]
        return [outcome for image in images for outcome in self._segmented([image])]


def _stopping() -> RequestError:
    return RequestError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        'the server is starting or stopping; try again later',
        retry_after=_LONGEST_RETRY_S,
    )


def _told(error: Exception) -> Exception:
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
