"""The processes that load images: what they do with signals, and what is said when one dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from swinseg.engine.signals import STOP_SIGNALS

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


class WorkerStart:
    """What a data worker does first: it leaves the first signal to end to the training, and then what it is told.

    SLURM and Ctrl-C signal all processes of a job, and a training whose workers are gone cannot finish its
    iteration. The second signal ends the worker: it is PyTorch's own, at the end.

    Args:
        then: the loader's own ``worker_init_fn``.
    """

    def __init__(self, then: Callable[[int], None] | None) -> None:
        self._then = then
        self._asked = False

    def __call__(self, worker_id: int) -> None:
        """Run in worker number ``worker_id``."""
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._leave_the_second_time)
        if self._then is not None:
            self._then(worker_id)

    def _leave_the_second_time(self, signum: int, frame: FrameType | None) -> None:
        if self._asked:
            os._exit(0)
        self._asked = True


def is_death_of_a_worker(error: BaseException, iterator: Any) -> bool:
    """Whether an error in loading comes from a data worker that is gone.

    Args:
        error: PyTorch's, or that of the connection on which the worker was handing over a batch.
        iterator: PyTorch's iterator over a loader with workers, or None.
    """
    if isinstance(error, RuntimeError):
        return 'DataLoader worker' in str(error)
    # Of a file that is missing PyTorch tells by an OSError too; then all workers are alive.
    return any(_has_died(worker) for worker in getattr(iterator, '_workers', ()))


def _has_died(worker: Any) -> bool:
    worker.join(timeout=0.2)  # its connections break a moment before it can be known
    return bool(worker.exitcode)


def account_of(iterator: Any) -> str:
    """Say in half a sentence what the dead worker of a loader's iterator died of.

    Args:
        iterator: PyTorch's iterator over a loader with workers, or None.
    """
    codes = [worker.exitcode for worker in getattr(iterator, '_workers', ())]
    failed = next((code for code in codes if code), None)
    if failed is None:
        return f'a process that loads images has died; {_UNKNOWN_REASON}'
    if failed > 0:
        return f'a process that loads images ended with code {failed}; {_UNKNOWN_REASON}'
    name = signal.Signals(-failed).name
    return f'a process that loads images was ended by {name}, {_REASONS.get(name, _UNKNOWN_REASON)}'
