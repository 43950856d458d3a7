"""Inspection of all pairs of a dataset, on all cores."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import cv2
from mmengine.utils import ProgressBar

from swinseg.datasets.check.pair import Job, Loading, PairFacts, inspect_pair
from swinseg.errors import DataError

# Below this many pairs a worker starting costs more than it saves.
_PAIRS_PER_WORKER = 16
_CHUNK = 4


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def inspect_pairs(
    jobs: Sequence[Job],
    loading: Loading,
    *,
    with_images: bool = True,
    workers: int | None = None,
    progress: bool = False,
) -> list[PairFacts]:
    """Look at pairs, several at a time, in their order.

    Args:
        jobs: the pairs.
        loading: how the pipeline reads files.
        with_images: whether the images are read, too, or the labels alone.
        workers: processes; None takes one for each core, or fewer where there is little to do.
        progress: whether a bar is drawn on stderr, where that is a terminal.

    Raises:
        DataError: a worker process was killed.
    """
    count = workers or min(available_cores(), len(jobs) // _PAIRS_PER_WORKER)
    found = []
    shown = progress and bool(jobs) and sys.stderr.isatty()
    bar = ProgressBar(len(jobs), file=sys.stderr) if shown else None
    look = functools.partial(inspect_pair, loading=loading, with_image=with_images)
    # Its processes end with the block, not when an error that leads out of it is forgotten.
    with contextlib.closing(_in_order(jobs, look, count)) as pairs:
        for facts in pairs:
            found.append(facts)
            if bar is not None:
                bar.update()
    if bar is not None:
        sys.stderr.write('\n')
    return found


def _in_order(
    jobs: Sequence[Job], look: functools.partial[PairFacts], workers: int
) -> Generator[PairFacts, None, None]:
    if workers <= 1:
        yield from map(look, jobs)
        return
    # A forked worker has everything imported already; elsewhere that takes it some seconds.
    method = 'fork' if 'fork' in multiprocessing.get_all_start_methods() else 'spawn'
    others = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context(method), initializer=_prepare_worker
    )
    try:
        yield from executor.map(look, jobs, chunksize=_CHUNK)
    except BrokenProcessPool as error:
        raise DataError(
            'a process that read the files was killed, most likely for want of memory; look at the largest '
            'images, or read one at a time with --workers 1'
        ) from error
    except BaseException:
        # One that waits for a drive that never answers would be waited for when this process ends.
        # The executor does not know of one that it was starting when a signal came.
        for process in set(multiprocessing.active_children()) - others:
            process.kill()
        raise
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _prepare_worker() -> None:
    # The parent hears signals and ends its workers; each worker is one thread, since there is one for each core.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    cv2.setNumThreads(0)
