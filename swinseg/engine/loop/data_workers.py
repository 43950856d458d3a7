"""The processes that load images: what they do with signals, how long they are waited for, and what ended one."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from types import FrameType
from typing import Any

from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data._utils import signal_handling

from swinseg.errors import ConfigError, Interrupted, TrainingError
from swinseg.signals import STOP_SIGNALS, StopRequest, quiet_children

DEFAULT_TIMEOUT = 300.0
"""Seconds: less than those after which other processes of a training give up waiting for this one."""

_TICK_SECONDS = 0.5
# A batch that is nearly there when a signal comes is still trained on.
_GRACE_SECONDS = 2.0
_IDLE = -1
_SECONDS_TO_DIE = 5.0

_REASONS = {
    'SIGKILL': (
        'most often by the system because memory ran out: lower train_dataloader.num_workers or '
        'train_dataloader.batch_size, or give the job more memory'
    ),
    'SIGBUS': (
        'because shared memory ran out: enlarge /dev/shm (docker run --shm-size=8g) or lower '
        'train_dataloader.num_workers'
    ),
}
_UNKNOWN_REASON = 'look for its own message above, and try train_dataloader.num_workers=0'
# Letters of /proc/PID/stat on Linux.
_STATES = {
    'T': 'stopped by a signal',
    't': 'stopped by a debugger',
    'D': 'waiting for a disk or a network drive',
}


class LoadingError(TrainingError):
    """No batch comes any more: the process that loads it has died, or hangs."""


class WaitInterrupted(Interrupted):
    """A signal has asked for the end, and the batch that was waited for did not come soon after it.

    Args:
        culprit: who was reading what, as a clause that begins with ``'; '``, or nothing.
        signum: number of the signal.
    """

    def __init__(self, culprit: str, signum: int) -> None:
        super().__init__(
            f'{signal.Signals(signum).name}: ended while waiting for images{culprit}', signum
        )
        self.culprit = culprit


class WorkerStart:
    """What a data worker does first: it leaves the first signal to end to the training, and then what it is told.

    SLURM and Ctrl-C signal all processes of a job, and a training whose workers are gone cannot finish its
    iteration. The second signal ends the worker: it is PyTorch's own, at the end.

    Args:
        then: the loader's own ``worker_init_fn``.
        samples: shared by the processes, for the index of the sample that each worker is loading.
    """

    def __init__(self, then: Callable[[int], None] | None, samples: Any) -> None:
        self._then = then
        self._samples = samples
        self._asked = False

    def __call__(self, worker_id: int) -> None:
        """Run in worker number ``worker_id``."""
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._leave_the_second_time)
        info = get_worker_info()
        assert info is not None
        _note_samples(info.dataset, self._samples, worker_id)
        if self._then is not None:
            self._then(worker_id)

    def _leave_the_second_time(self, signum: int, frame: FrameType | None) -> None:
        if self._asked:
            os._exit(0)
        self._asked = True


def _note_samples(dataset: Any, samples: Any, slot: int) -> None:
    samples[slot] = _IDLE
    dataset.note_samples_with(lambda index: samples.__setitem__(slot, index))


class TimeoutLoader(DataLoader):
    """A ``DataLoader`` whose batches are waited for up to a time limit or a signal; see :func:`with_timeout`.

    Attributes:
        iterator: PyTorch's over the batches, None before the first.
    """

    iterator: Any = None
    _limit: float
    _stop: Callable[[], StopRequest | None]
    _samples: Any

    def __iter__(self) -> Any:
        """Yield the batches.

        Raises:
            LoadingError: no batch came in time, or the process that loads it has died.
            WaitInterrupted: a signal came, and no batch soon after it.
        """
        with self._timeout_seconds():
            self.iterator = super().__iter__()
        return _TimeoutIterator(self)

    def next_batch(self) -> Any:
        """Return the next batch, as ``next`` does."""
        with self._timeout_seconds():
            try:
                return next(self.iterator)
            except (RuntimeError, OSError, EOFError) as error:
                if str(error).startswith('DataLoader timed out'):
                    raise self._timeout_error() from error
                if not _is_worker_death(error, self.iterator):
                    raise
                raise LoadingError(worker_exit_reason(self.iterator)) from error

    def load_first(self) -> Any:
        """Load the first batch in this process, waited for as any other; no data worker is started."""
        with self._timeout_seconds():
            batches: Any = self.batch_sampler
            indices = next(iter(batches))
            return self.collate_fn([self.dataset[index] for index in indices])

    def end_workers(self) -> None:
        """End the processes that load images at once, whatever state they are in.

        PyTorch asks them, which one that hangs does not hear, and waits for those that were asked.
        """
        workers = getattr(self.iterator, '_workers', ())
        if not workers or self.iterator._shutdown:
            return
        # Nothing that a killed worker may hold a lock of is touched from here on.
        self.iterator._shutdown = True
        with quiet_children():
            signal_handling._remove_worker_pids(id(self.iterator))
            self.iterator._worker_pids_set = False
            for worker in workers:
                worker.kill()
            for worker in workers:
                worker.join(_SECONDS_TO_DIE)
        pinning = getattr(self.iterator, '_pin_memory_thread', None)
        if pinning is not None:
            self.iterator._pin_memory_thread_done_event.set()
            self.iterator._worker_result_queue.cancel_join_thread()
            self.iterator._worker_result_queue.put((None, None))
            pinning.join(_SECONDS_TO_DIE)

    @contextlib.contextmanager
    def _timeout_seconds(self) -> Iterator[None]:
        """Break the block off when it takes too long, or when a signal has come.

        A timer breaks into whatever the main thread is waiting in: a file that it reads itself, or a worker that
        stopped in the middle of handing over a batch, of which PyTorch's own timeout does not hear. It counts its
        ticks and does not look at a clock, so that a training that is stopped with Ctrl-Z may go on days later.
        """
        if sys.platform == 'win32' or not _has_timer():
            yield
            return
        ticks = ticks_after_signal = 0
        waiting = True

        def tick(signum: int, frame: FrameType | None) -> None:
            nonlocal ticks, ticks_after_signal
            ticks += 1
            stop = self._stop()
            asked = 0 if stop is None else stop.signum
            ticks_after_signal += bool(asked)
            if not waiting:
                return
            if ticks_after_signal * _TICK_SECONDS > _GRACE_SECONDS:
                raise _Interrupted(WaitInterrupted(self._stuck_worker(), asked))
            if self._limit and ticks * _TICK_SECONDS >= self._limit:
                raise _Interrupted(self._timeout_error())

        handler = signal.signal(signal.SIGALRM, tick)
        timer = signal.setitimer(signal.ITIMER_REAL, _TICK_SECONDS, _TICK_SECONDS)
        try:
            try:
                yield
            finally:
                waiting = False
        except _Interrupted as broken:
            raise broken.error from None
        finally:
            signal.setitimer(signal.ITIMER_REAL, *timer)
            signal.signal(signal.SIGALRM, handler)

    def _timeout_error(self) -> LoadingError:
        return LoadingError(
            f'no batch of images came within {self._limit:g} s{self._stuck_worker()}; check the drive or the '
            'network, or set timeout of the data loader to more seconds, or to 0 to wait for ever'
        )

    def _stuck_worker(self) -> str:
        """Say in a clause which process is loading which files."""
        if self.num_workers == 0:
            index = self._samples[0]
            return f'; this process was loading {self._files(index)}' if index != _IDLE else ''
        clauses = []
        for number, worker in enumerate(getattr(self.iterator, '_workers', ())):
            index, state = self._samples[number], _state_of(worker.pid)
            if index == _IDLE and state is None:
                continue
            name = f'data worker {number} (process {worker.pid}{f", {state}" if state else ""})'
            doing = (
                'was between two images' if index == _IDLE else f'was loading {self._files(index)}'
            )
            clauses.append(f'{name} {doing}')
        return ''.join(f'; {clause}' for clause in clauses[:3])

    def _files(self, index: int) -> str:
        try:
            dataset: Any = self.dataset
            info = dataset.get_data_info(index)
            paths = [info.get(key) for key in ('img_path', 'seg_map_path')]
        except Exception:  # a dataset of another kind
            paths = []
        return ' and '.join(str(path) for path in paths if path) or f'sample {index}'


class _Interrupted(BaseException):
    """Comes up through code that waits, which must not take it for an error of a file."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class _TimeoutIterator:
    def __init__(self, loader: TimeoutLoader) -> None:
        self._loader = loader

    def __iter__(self) -> _TimeoutIterator:
        return self

    def __next__(self) -> Any:
        return self._loader.next_batch()


def with_timeout(
    loader: DataLoader, *, timeout: float, stop: Callable[[], StopRequest | None]
) -> TimeoutLoader:
    """Make a loader, whose dataset is a ``SeededDataset``, one that does not wait for ever.

    Args:
        loader: without a ``timeout`` of its own; it is changed.
        timeout: seconds, or 0 to wait for ever.
        stop: gives what signals have asked for.
    """
    # mmengine builds loaders of this class and no other.
    loader.__class__ = TimeoutLoader
    assert isinstance(loader, TimeoutLoader)
    loader._limit, loader._stop = timeout, stop
    loader._samples = RawArray('q', [_IDLE] * max(1, loader.num_workers))
    loader.worker_init_fn = WorkerStart(loader.worker_init_fn, loader._samples)
    if loader.num_workers == 0:
        _note_samples(loader.dataset, loader._samples, 0)
    elif not _has_timer():
        loader.timeout = timeout
    return loader


def checked_timeout(value: Any) -> float:
    """Return the ``timeout`` of a data loader's config in seconds.

    Raises:
        ConfigError: it is no number, or below 0.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value < math.inf:
        raise ConfigError(
            f'timeout of a data loader takes seconds, or 0 to wait for ever, not {value!r}'
        )
    return float(value)


def _has_timer() -> bool:
    """Whether a timer can break into this thread; else PyTorch's own timeout must do."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and hasattr(signal, 'setitimer')


def _state_of(pid: int) -> str | None:
    """Return why a process does not run, where the system tells."""
    try:
        # The name of the program stands before it in parentheses, and may hold any character.
        letter = (
            Path(f'/proc/{pid}/stat')
            .read_text(encoding='utf-8', errors='replace')
            .rpartition(')')[2]
            .split()[0]
        )
    except (OSError, IndexError, ValueError):
        return None
    return _STATES.get(letter)


def _is_worker_death(error: BaseException, iterator: Any) -> bool:
    """Whether an error in loading comes from a data worker that is gone.

    Args:
        error: PyTorch's, or that of the connection on which the worker was handing over a batch.
        iterator: PyTorch's over the batches.
    """
    if isinstance(error, RuntimeError):
        return 'DataLoader worker' in str(error)
    # Of a file that is missing PyTorch tells by an OSError too; then all workers are alive.
    return any(_has_died(worker) for worker in getattr(iterator, '_workers', ()))


def _has_died(worker: Any) -> bool:
    worker.join(timeout=0.2)  # its connections break a moment before it can be known
    return bool(worker.exitcode)


def worker_exit_reason(iterator: Any) -> str:
    """Say in half a sentence what the dead worker of a loader's iterator died of.

    Args:
        iterator: PyTorch's over the batches.
    """
    codes = [worker.exitcode for worker in getattr(iterator, '_workers', ())]
    failed = next((code for code in codes if code), None)
    if failed is None:
        return f'a process that loads images has died; {_UNKNOWN_REASON}'
    if failed > 0:
        return f'a process that loads images ended with code {failed}; {_UNKNOWN_REASON}'
    name = signal.Signals(-failed).name
    return f'a process that loads images was ended by {name}, {_REASONS.get(name, _UNKNOWN_REASON)}'
