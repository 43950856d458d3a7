"""Threads that compute what waits in one queue, several items at a time where several wait."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar('Item')
Result = TypeVar('Result')

# Weight of the latest batch in the mean duration.
_NEWEST = 0.3


@dataclass(frozen=True, eq=False)
class _Job(Generic[Item, Result]):
    item: Item
    future: Future[Result] = field(default_factory=Future)


class BatchWorkers(Generic[Item, Result]):
    """Threads that take items in the order in which they come, those that wait together.

    A batch is what waits when a thread is free: nobody waits for a batch to fill up, and no thread for another.
    Items whose future was cancelled meanwhile are left out. How many may wait is not limited here.

    Args:
        computes: of each thread, from items to the result of each, or the exception that its future shall raise.
        batch_size: items in a batch at most.
        weight: of an item.
        most: weight of the items of a batch together; a heavier item is computed alone.
    """

    def __init__(
        self,
        computes: Sequence[Callable[[Sequence[Item]], Sequence[Result | Exception]]],
        *,
        batch_size: int,
        weight: Callable[[Item], int],
        most: int,
    ) -> None:
        self._batch_size = batch_size
        self._weight = weight
        self._most = most
        self._waiting: deque[_Job[Item, Result]] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._started: list[float | None] = [None] * len(computes)
        self._threads = [
            threading.Thread(
                target=self._work,
                args=(number, compute),
                name=f'batch worker {number}',
                daemon=True,
            )
            for number, compute in enumerate(computes)
        ]
        self._seconds = 0.0

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def close(self, patience: float | None = None) -> None:
        """Cancel what waits, and return when the batches at work are done, or after ``patience`` seconds."""
        with self._changed:
            self._is_closed = True
            for job in list(self._waiting):
                job.future.cancel()
            self._changed.notify_all()
        until = None if patience is None else time.monotonic() + patience
        for thread in self._threads:
            thread.join(None if until is None else max(0.0, until - time.monotonic()))

    @property
    def is_working(self) -> bool:
        """Whether items that are submitted will be computed."""
        return not self._is_closed and all(thread.is_alive() for thread in self._threads)

    @property
    def seconds_per_item(self) -> float:
        """How long the next item waits for the one before, as a mean that follows the last batches."""
        return self._seconds / len(self._threads)

    def seconds_at_work(self) -> float:
        """Return how long the newest of the batches at work has taken so far; 0 where a thread is free."""
        now = time.perf_counter()
        return min(0.0 if started is None else now - started for started in self._started)

    def waiting(self) -> int:
        """Return how many items wait."""
        return len(self._waiting)

    def submit(self, item: Item) -> Future[Result]:
        """Return the future of an item's result; after ``close`` it is cancelled."""
        job: _Job[Item, Result] = _Job(item)
        with self._changed:
            if self._is_closed:
                job.future.cancel()
            else:
                self._waiting.append(job)
                self._changed.notify()
        job.future.add_done_callback(lambda _: self._forget(job))
        return job.future

    def _forget(self, job: _Job[Item, Result]) -> None:
        """Let go of an item that was cancelled while it waited."""
        with self._changed, suppress(ValueError):
            self._waiting.remove(job)

    def _work(
        self, number: int, compute: Callable[[Sequence[Item]], Sequence[Result | Exception]]
    ) -> None:
        while jobs := self._next_batch():
            self._started[number] = began = time.perf_counter()
            try:
                results = compute([job.item for job in jobs])
            except Exception as error:
                results = [error] * len(jobs)
            self._note((time.perf_counter() - began) / len(jobs))
            self._started[number] = None
            for job, result in zip(jobs, results, strict=True):
                if isinstance(result, Exception):
                    job.future.set_exception(result)
                else:
                    job.future.set_result(result)
            # Nothing here may hold results while the thread waits.
            del jobs, results

    def _next_batch(self) -> list[_Job[Item, Result]]:
        """Wait for items and take a batch of them; an empty one after ``close``."""
        jobs: list[_Job[Item, Result]] = []
        weight = 0
        with self._changed:
            while not jobs:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if self._is_closed:
                    break
                while self._waiting and len(jobs) < self._batch_size:
                    weight += self._weight(self._waiting[0].item)
                    if jobs and weight > self._most:
                        break
                    job = self._waiting.popleft()
                    if job.future.set_running_or_notify_cancel():
                        jobs.append(job)
        return jobs

    def _note(self, seconds: float) -> None:
        with self._changed:
            if self._seconds:
                seconds = (1 - _NEWEST) * self._seconds + _NEWEST * seconds
            self._seconds = seconds
