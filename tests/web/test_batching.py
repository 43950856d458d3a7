"""The workers' threads, held up by events so that what waits is known."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError

import pytest

from swinseg.web.batching import BatchWorkers

SECONDS = 60


class Doubling:
    """Doubles numbers, or fails at negative ones; waits for ``opened`` first."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(items))
        self.reached.set()
        assert self.opened.wait(SECONDS)
        if 13 in items:
            raise KeyError('13')
        return [2 * item if item >= 0 else ValueError(item) for item in items]


@pytest.fixture
def doubling() -> Doubling:
    return Doubling()


@pytest.fixture
def worker(doubling: Doubling) -> Iterator[BatchWorkers[int, int]]:
    worker = BatchWorkers([doubling], batch_size=3, weight=abs, most=100)
    worker.start()
    yield worker
    doubling.opened.set()
    worker.close()


def test_batches__what_waits_in_its_order(worker, doubling):
    first = worker.submit(1)
    assert doubling.reached.wait(SECONDS)
    others = [worker.submit(item) for item in (2, 3, 4, 5)]
    assert worker.waiting() == 4
    doubling.opened.set()

    assert [future.result(SECONDS) for future in (first, *others)] == [2, 4, 6, 8, 10]
    assert doubling.batches == [[1], [2, 3, 4], [5]]
    assert worker.waiting() == 0
    assert worker.seconds_per_item > 0


def test_batches__no_heavier_than_allowed(worker, doubling):
    futures = [worker.submit(1)]
    assert doubling.reached.wait(SECONDS)
    futures += [worker.submit(item) for item in (60, 40, 1, 500, 2)]
    doubling.opened.set()

    assert [future.result(SECONDS) for future in futures] == [2, 120, 80, 2, 1000, 4]
    assert doubling.batches == [[1], [60, 40], [1], [500], [2]]


def test_cancelled__is_left_out(worker, doubling):
    worker.submit(1)
    assert doubling.reached.wait(SECONDS)
    gone, stays = worker.submit(2), worker.submit(3)
    assert gone.cancel()
    doubling.opened.set()

    assert stays.result(SECONDS) == 6
    assert doubling.batches == [[1], [3]]


def test_failure__of_one_and_of_all(worker, doubling):
    doubling.opened.set()
    with pytest.raises(ValueError, match='-4'):
        worker.submit(-4).result(SECONDS)
    with pytest.raises(KeyError):
        worker.submit(13).result(SECONDS)
    assert worker.submit(5).result(SECONDS) == 10
    assert worker.is_working


def test_close__cancels_what_waits_and_ends_what_is_at_work(worker, doubling):
    at_work = worker.submit(1)
    assert doubling.reached.wait(SECONDS)
    waits = worker.submit(2)
    closing = threading.Thread(target=worker.close)
    closing.start()
    with pytest.raises(CancelledError):
        waits.result(SECONDS)
    doubling.opened.set()
    closing.join(SECONDS)

    assert at_work.result(SECONDS) == 2
    assert not worker.is_working
    with pytest.raises(CancelledError):
        worker.submit(3).result(SECONDS)


def test_several__take_work_when_they_are_free(doubling):
    """A thread that is held up holds up nobody but its own batch."""
    held = Doubling()
    workers = BatchWorkers([held, doubling], batch_size=1, weight=abs, most=100)
    workers.start()
    futures = [workers.submit(1), workers.submit(2)]
    assert held.reached.wait(SECONDS)
    assert doubling.reached.wait(SECONDS)
    assert workers.seconds_at_work() > 0
    doubling.opened.set()
    futures += [workers.submit(item) for item in range(3, 8)]
    ((taken,),) = held.batches
    others = [item for item in range(1, 8) if item != taken]
    assert [futures[item - 1].result(SECONDS) for item in others] == [2 * item for item in others]
    assert not futures[taken - 1].done()
    # One thread is free, so the workers as a whole are not stuck.
    assert workers.seconds_at_work() == 0
    held.opened.set()
    assert futures[taken - 1].result(SECONDS) == 2 * taken
    workers.close()
    assert not workers.is_working
