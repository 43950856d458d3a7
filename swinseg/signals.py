"""Signals that ask a training to end: it saves at the end of its iteration and leaves with a code of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from mmengine.dist import is_main_process

from swinseg.errors import Interrupted

# SIGTERM comes from SLURM, Kubernetes and `kill`, SIGINT from Ctrl-C, SIGHUP from a lost terminal, and SIGUSR1
# is what many job scripts ask SLURM to send ahead of the end of the time.
STOP_SIGNALS = tuple(
    signal.Signals[name]
    for name in ('SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1')
    if name in signal.Signals.__members__
)
_STDERR = 2


class StopRequest:
    """Whether a signal has asked for the end.

    Args:
        at_once: whether the first signal ends the work, because there is nothing to be saved.

    Attributes:
        signum: number of the signal, or 0.
    """

    def __init__(self, *, at_once: bool = False) -> None:
        self.signum = 0
        self._at_once = at_once

    def take(self, signum: int, frame: FrameType | None) -> None:
        """Note a signal; a second one ends the training at once.

        Raises:
            Interrupted: another signal came before, or the first one ends the work.
        """
        name = signal.Signals(signum).name
        if self._at_once:
            self.signum = signum
            raise Interrupted(f'ended by {name}', signum)
        if self.signum:
            raise Interrupted(f'ended at once by a second signal, {name}', signum)
        self.signum = signum
        if is_main_process():
            # The signal may have come in the middle of a print, which must not be entered again.
            text = f'\n{name}: saving a checkpoint after this iteration; a second signal ends at once\n'
            os.write(_STDERR, text.encode())


@contextlib.contextmanager
def stop_signals(*, at_once: bool = False) -> Iterator[StopRequest]:
    """Take signals within the block, and give what notes them.

    With ``at_once`` the first signal raises ``Interrupted``, so that what the block began is cleared away.

    A signal that is ignored, as SIGHUP under ``nohup``, stays ignored. Outside the main thread nothing is changed,
    for only it can take signals.
    """
    request = StopRequest(at_once=at_once)
    taken: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                taken[number] = signal.signal(number, request.take)
    try:
        yield request
    finally:
        for taken_number, before in taken.items():
            signal.signal(taken_number, before)


@contextlib.contextmanager
def quiet_children() -> Iterator[None]:
    """Let the death of a data worker wait until its next batch is fetched.

    PyTorch raises it from a handler of SIGCHLD, in the middle of a step as well, when weights and optimizer are
    in no state to be saved.
    """
    if not hasattr(signal, 'SIGCHLD') or (
        threading.current_thread() is not threading.main_thread()
    ):
        yield
        return
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)
