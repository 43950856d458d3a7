"""The local engine: processes of this machine, each with a model of its own.

A worker is told of its units by a pipe of its own, so that one that is killed at any moment leaves the others and
the driver whole. It has a few units at a time, of which one is fetched and decoded, one computed, and one encoded
and stored; a further one is sent when one is done. So memory does not grow with the job.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from swinseg.errors import UserError
from swinseg.segment.bulk.extra import BulkError
from swinseg.segment.bulk.schedule import IN_FLIGHT, Schedule
from swinseg.segment.bulk.storage import place_of
from swinseg.segment.bulk.work import ModelFacts, Outcome, Segmenter, Setup, Unit, failed_row

TICK_SECONDS = 0.5
"""How long an engine waits for something to come, at most."""
_MOST_BAD_STARTS = 3
_END_SECONDS = 10.0


class BadStarts:
    """Counts the workers that die one after the other before their model is loaded.

    Attributes:
        count: of them; to be set to 0 by a worker that is ready.
    """

    def __init__(self) -> None:
        self.count = 0

    def add(self, how: str) -> None:
        """Count one more.

        Args:
            how: it died, as the end of a sentence.

        Raises:
            BulkError: there are too many for one of them to be an accident.
        """
        self.count += 1
        if self.count >= _MOST_BAD_STARTS:
            raise BulkError(
                f'{self.count} workers one after the other ended before their model was loaded; the last one '
                f'{how}; try fewer --workers, which take less memory'
            )


class LocalEngine:
    """Processes that do units.

    Args:
        setup: of the job.
        devices: of each worker, as ``--device`` takes them.
        segmenter: what each of them makes of setup and device; a class of a module.
    """

    def __init__(
        self,
        setup: Setup,
        devices: Sequence[str],
        *,
        segmenter: Callable[[Setup, str], Segmenter] = Segmenter,
    ) -> None:
        self._setup = setup
        self._segmenter = segmenter
        self._place = place_of(setup.out)
        self._devices = devices
        self._workers: list[_Worker] = []
        self._bad_starts = BadStarts()

    def run(
        self,
        schedule: Schedule,
        *,
        tick: Callable[[], None],
        on_model: Callable[[ModelFacts], None],
    ) -> None:
        """Do all units; see ``swinseg.segment.bulk.schedule.Engine``."""
        try:
            self._workers = [
                self._begin(number, device, is_heard=number == 0)
                for number, device in enumerate(self._devices)
            ]
            while True:
                for worker in self._workers:
                    worker.feed(schedule)
                if schedule.is_over:
                    break
                self._wait(schedule, on_model)
                tick()
        except BaseException:
            for worker in self._workers:
                worker.kill()
            raise
        self._end()

    def _wait(self, schedule: Schedule, on_model: Callable[[ModelFacts], None]) -> None:
        of_handle: dict[Any, _Worker] = {}
        for worker in self._workers:
            of_handle[worker.connection] = worker
            of_handle[worker.process.sentinel] = worker
        ready = wait(list(of_handle), timeout=TICK_SECONDS)
        for worker in {id(of_handle[each]): of_handle[each] for each in ready}.values():
            is_dead = worker.process.sentinel in ready
            for message in worker.messages():
                if isinstance(message, ModelFacts):
                    self._bad_starts.count = 0
                    on_model(message)
                elif isinstance(message, Exception):
                    raise message
                else:
                    schedule.give(*message)
            if is_dead or worker.is_cut_off:
                self._replace(worker, schedule)

    def _replace(self, worker: _Worker, schedule: Schedule) -> None:
        how = worker.bury()
        for unit in worker.units:
            self._place.remove_partial_files(unit.name, pid=worker.process.pid)
        if not worker.is_ready:
            schedule.returned(worker.units)
            self._bad_starts.add(how)
        else:
            schedule.lost(worker.units, how)
        if not schedule.is_over:
            place = self._workers.index(worker)
            self._workers[place] = self._begin(worker.number, worker.device)

    def _begin(self, number: int, device: str, *, is_heard: bool = False) -> _Worker:
        return _Worker(number, self._setup, device, self._segmenter, is_heard=is_heard)

    def _end(self) -> None:
        for worker in self._workers:
            worker.ask_to_end()
        for worker in self._workers:
            worker.process.join(_END_SECONDS)
            worker.kill()


class _Worker:
    """A process, as the driver sees it.

    Attributes:
        number: of the worker, from 0; that which replaces it has the same.
        units: that it was sent and has not given back.
        is_ready: whether its model is loaded.
        is_cut_off: whether nothing more comes from it.
    """

    def __init__(
        self,
        number: int,
        setup: Setup,
        device: str,
        segmenter: Callable[[Setup, str], Segmenter],
        *,
        is_heard: bool,
    ) -> None:
        self.number = number
        self.device = device
        self.units: list[Unit] = []
        self.is_ready = self.is_cut_off = False
        context = _context()
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_work,
            args=(theirs, dict(os.environ), setup, device, segmenter, number, is_heard),
            name=f'swinseg-{number}',
            daemon=True,
        )
        self.process.start()
        # Or its end would not be the end of the pipe.
        theirs.close()

    def feed(self, schedule: Schedule) -> None:
        """Send it as many units as it may have."""
        while self.is_ready and not self.is_cut_off:
            unit = schedule.take_for(self.units)
            if unit is None:
                return
            self.units.append(unit)
            try:
                self.connection.send(unit)
            except OSError:
                self.is_cut_off = True

    def messages(self) -> list[Any]:
        """Return what it has sent: facts of its model, an error, or a unit with its outcome."""
        found: list[Any] = []
        try:
            while self.connection.poll():
                message = self.connection.recv()
                if isinstance(message, ModelFacts):
                    self.is_ready = True
                elif isinstance(message, tuple):
                    self.units.remove(message[0])
                found.append(message)
        except (EOFError, OSError):
            self.is_cut_off = True
        return found

    def bury(self) -> str:
        """Wait for its end, and return how it died, as the end of a sentence."""
        self.process.join(1.0)
        self.kill()
        code = self.process.exitcode or 0
        if code >= 0:
            return f'ended with exit code {code}'
        with contextlib.suppress(ValueError):
            name = signal.Signals(-code).name
            why = ', as for lack of memory' if name == 'SIGKILL' else ''
            return f'was killed by {name}{why}'
        return f'was killed by signal {-code}'

    def ask_to_end(self) -> None:
        """Tell it that there is no further unit."""
        with contextlib.suppress(OSError):
            self.connection.send(None)

    def kill(self) -> None:
        """End it, if it is still there."""
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()


def _context() -> Any:
    """Return how processes are started: never by a copy of this one, which may have threads and a GPU.

    On Linux they are copies of a small process that has imported all that they need, and begin in a moment.
    """
    if sys.platform == 'linux':
        context = multiprocessing.get_context('forkserver')
        context.set_forkserver_preload(['swinseg.segment.bulk.workers'])
        return context
    return multiprocessing.get_context('spawn')


def _work(
    connection: Connection,
    environment: Mapping[str, str],
    setup: Setup,
    device: str,
    make_segmenter: Callable[[Setup, str], Segmenter],
    number: int,
    is_heard: bool,
) -> None:
    """Do units until there is none, or the driver is gone.

    Args:
        connection: to the driver.
        environment: the driver's variables, say of storage; those of the process that this is a copy of are older.
        setup: of the job.
        device: of the model.
        make_segmenter: what does the units.
        number: of the worker.
        is_heard: whether it says what loading a model says; once is enough.
    """
    os.environ.clear()
    os.environ.update(environment)
    if not is_heard:
        sys.stdout = open(os.devnull, 'w', encoding='utf-8')  # noqa: SIM115
    # Ctrl-C goes to all processes of a terminal; the driver ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _be_the_first_to_go()
    sending = threading.Lock()

    def send(message: Any) -> None:
        with sending:
            try:
                connection.send(message)
            except OSError:  # the driver is gone
                os._exit(1)

    try:
        segmenter = make_segmenter(setup, device)
        send(segmenter.facts)
    except UserError as error:
        send(BulkError(str(error)))
        return
    except Exception:
        send(RuntimeError(f'a worker could not load its model:\n{traceback.format_exc()}'))
        return
    name = f'{os.uname().nodename if hasattr(os, "uname") else ""}:{number}'

    def do(unit: Unit) -> None:
        outcome: Outcome
        try:
            outcome = segmenter(unit, worker=name)
        except BaseException as error:
            # The pool would keep it, and the driver wait for ever.
            outcome = failed_row(unit, f'{unit.address} cannot be segmented: {error!r}')
        send((unit, outcome))

    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        while True:
            try:
                unit = connection.recv()
            except (EOFError, OSError):  # the driver is gone
                os._exit(1)
            if unit is None:
                return
            pool.submit(do, unit)


def _be_the_first_to_go() -> None:
    """Have the system end this process, not the driver, when memory runs out; where it can be said."""
    with contextlib.suppress(OSError), open('/proc/self/oom_score_adj', 'w') as file:
        file.write('500')
