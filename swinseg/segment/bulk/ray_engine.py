"""The engine on Ray: the workers are actors, on this machine or on those of a cluster.

Ray Core's actors are taken, not Ray Data's ``map_batches``: that one tries a block again without an end, or gives
the whole job up, when an input ends its process, and does not say which input it was. Here the schedule of all
engines knows what each actor holds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from swinseg.errors import UserError
from swinseg.segment.bulk.extra import BulkError, import_extra
from swinseg.segment.bulk.remote import is_remote
from swinseg.segment.bulk.schedule import IN_FLIGHT, Schedule
from swinseg.segment.bulk.storage import place_of
from swinseg.segment.bulk.work import ModelFacts, Outcome, Segmenter, Setup, Unit
from swinseg.segment.bulk.workers import TICK_SECONDS, BadStarts

LOCAL = 'local'
"""In the place of an address: a Ray of this machine, which begins and ends with the job."""

_CONNECT_SECONDS = 5.0
# After which it is said that no worker has begun.
_LONG_SECONDS = 60.0
# Of the local Ray, through which units and rows go; it takes 80 MB at least.
_OBJECT_STORE_BYTES = 100 * 2**20


class RayEngine:
    """Actors that do units.

    Where a cluster has too few free cores or GPUs for all of them, actors wait, for which a cluster that grows by
    itself grows; those that are there work meanwhile.

    Args:
        setup: of the job; its ``threads`` are the cores of an actor.
        workers: actors; None for as many as the GPUs of the cluster allow, or its cores.
        address: of a cluster, as ``ray.init`` takes it: ``'auto'``, ``'HOST:PORT'`` or ``'ray://HOST:PORT'``; or
            :data:`LOCAL`. A Ray to which this process is connected already is taken as it is.
        segmenter: what each of them makes of setup and device; a class of a module.
    """

    def __init__(
        self,
        setup: Setup,
        workers: int | None,
        address: str = LOCAL,
        *,
        segmenter: Callable[[Setup, str], Segmenter] = Segmenter,
    ) -> None:
        self._setup = setup
        self._segmenter = segmenter
        self._count = workers
        self._address = address
        self._is_on_gpu = setup.model.get('device_type') == 'cuda'
        self._actors: list[_Actor] = []
        self._bad_starts = BadStarts()

    def run(
        self,
        schedule: Schedule,
        *,
        tick: Callable[[], None],
        on_model: Callable[[ModelFacts], None],
    ) -> None:
        """Do all units; see ``swinseg.segment.bulk.schedule.Engine``."""
        with self._connected() as ray, _sign_in(self._setup.out, self._address) as sign:
            remote = ray.remote(
                num_cpus=self._setup.threads, num_gpus=int(self._is_on_gpu), max_restarts=0,
                max_task_retries=0, max_concurrency=IN_FLIGHT + 1,
            )(_Worker)  # fmt: skip

            def begin() -> _Actor:
                return _Actor(remote.remote(self._setup, self._segmenter, sign))

            self._actors = [begin() for _ in range(self._number(ray))]
            began: float | None = time.monotonic()
            has_died = False
            try:
                while True:
                    for actor in self._actors:
                        actor.feed(schedule)
                    if schedule.is_over:
                        break
                    for actor, error in self._wait(ray, schedule, on_model):
                        has_died = True
                        actor.kill(ray)
                        self._actors.remove(actor)
                        self._bury(ray, actor, error, schedule)
                        if not schedule.is_over:
                            self._actors.append(begin())
                    if began is not None and time.monotonic() - began > _LONG_SECONDS:
                        began = None
                        self._say_where_nobody_works(ray)
                    tick()
            finally:
                for actor in self._actors:
                    actor.kill(ray)
                if has_died:
                    # Only now: while actors of several machines write, nothing tells whose such a file is.
                    place_of(self._setup.out).remove_partial_files()

    def _number(self, ray: Any) -> int:
        if self._count is not None:
            return self._count
        there = ray.cluster_resources()
        if self._is_on_gpu:
            return max(1, int(there.get('GPU', 0)))
        return max(1, int(there.get('CPU', 1)) // self._setup.threads)

    def _say_where_nobody_works(self, ray: Any) -> None:
        if any(actor.is_ready for actor in self._actors):
            return
        there = ray.cluster_resources()
        wanted = 'a GPU and ' if self._is_on_gpu else ''
        warnings.warn(
            f'no worker has begun yet: each wants {wanted}{self._setup.threads} cores, and the cluster has '
            f'{there.get("GPU", 0):g} GPUs and {there.get("CPU", 0):g} cores in all; the job waits for room, or '
            'say fewer --threads',
            stacklevel=2,
        )

    def _wait(
        self, ray: Any, schedule: Schedule, on_model: Callable[[ModelFacts], None]
    ) -> list[tuple[_Actor, Exception]]:
        """Take what has come, and return the actors that have died, with what Ray says of it."""
        of_reference = {
            reference: actor for actor in self._actors for reference in actor.references()
        }
        references = list(of_reference)
        ray.wait(references, timeout=TICK_SECONDS)
        ready, _ = ray.wait(references, num_returns=len(references), timeout=0)
        dead: dict[int, tuple[_Actor, Exception]] = {}
        for reference in ready:
            actor = of_reference[reference]
            try:
                message = ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                raise RuntimeError(f'a worker failed:\n{error}') from error
            except ray.exceptions.RayError as error:
                dead.setdefault(id(actor), (actor, error))
                continue
            if isinstance(message, UserError):
                raise message
            if isinstance(message, ModelFacts):
                self._bad_starts.count = 0
                actor.facts = None
                on_model(message)
            else:
                schedule.give(actor.units.pop(reference), message)
        return list(dead.values())

    def _bury(self, ray: Any, actor: _Actor, error: Exception, schedule: Schedule) -> None:
        how = _how_it_ended(ray, error)
        if 'creation task' in str(error):
            last = str(error).strip().splitlines()[-1]
            raise BulkError(
                f'no worker can begin on Ray: {last}; install the same swinseg on every machine of the cluster'
            )
        if actor.is_ready:
            schedule.lost(list(actor.units.values()), how)
        else:
            self._bad_starts.add(how)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        """Give Ray's module, connected; it is left as it was found."""
        ray = import_extra('ray', '--engine ray', extra='ray')
        if self._address != LOCAL:
            _require_there(self._address)
        if ray.is_initialized():
            yield ray
            return
        # Ray answers signals in ways of its own.
        handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._connect(ray)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        try:
            yield ray
        finally:
            ray.shutdown()

    def _connect(self, ray: Any) -> None:
        options: dict[str, Any] = dict(log_to_driver=False, logging_level='ERROR')
        if self._address != LOCAL:
            options['address'] = self._address
        else:
            options |= dict(
                num_cpus=(self._count or 1) * self._setup.threads, include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
            )  # fmt: skip
            if self._is_on_gpu:
                options['num_gpus'] = torch.cuda.device_count()
        try:
            ray.init(**options)
        except Exception as error:
            raise BulkError(_why_not_connected(ray, self._address, error)) from error


class _Actor:
    """An actor, as the driver sees it.

    Attributes:
        facts: the reference to what it says of its model, until that is there.
        units: what it was given and has not given back, by the reference to the outcome.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self.facts: Any = handle.facts.remote()
        self.units: dict[Any, Unit] = {}

    @property
    def is_ready(self) -> bool:
        """Whether its model is loaded."""
        return self.facts is None

    def references(self) -> list[Any]:
        """Return what will come from it."""
        return [*self.units] if self.is_ready else [self.facts]

    def feed(self, schedule: Schedule) -> None:
        """Give it as many units as it may have."""
        while self.is_ready:
            unit = schedule.take_for(self.units.values())
            if unit is None:
                return
            self.units[self._handle.do.remote(unit)] = unit

    def kill(self, ray: Any) -> None:
        """End it, if it is still there."""
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(self._handle)


class _Worker:
    """What an actor is: a loaded model that does units, some at a time.

    Args:
        setup: of the job.
        make_segmenter: what does the units.
        sign: a file in the folder of results, which must be there on every machine; None where that is sure.
    """

    def __init__(
        self, setup: Setup, make_segmenter: Callable[[Setup, str], Segmenter], sign: str | None
    ) -> None:
        self._segmenter: Segmenter | None = None
        self._error: UserError | None = None
        device = 'auto' if setup.model.get('device_type') == 'cuda' else 'cpu'
        try:
            if sign is not None and not os.path.exists(sign):
                raise BulkError(
                    f'the folder {setup.out} of this machine is not there on {socket.gethostname()}; write the '
                    'results to a folder that all machines of the cluster share, or to an address such as '
                    's3://bucket/masks'
                )
            self._segmenter = make_segmenter(setup, device)
        except UserError as error:
            self._error = BulkError(str(error))

    def facts(self) -> ModelFacts | UserError:
        """Return what the model is, or why there is none."""
        if self._segmenter is None:
            assert self._error is not None
            return self._error
        return self._segmenter.facts

    def do(self, unit: Unit) -> Outcome:
        """Do a unit."""
        assert self._segmenter is not None
        return self._segmenter(unit, worker=f'{socket.gethostname()}:{os.getpid()}')


@contextlib.contextmanager
def _sign_in(out: str, address: str) -> Iterator[str | None]:
    """Give a file in the folder of results, by which an actor sees that it has the same folder."""
    if address == LOCAL or is_remote(out):
        yield None
        return
    path = Path(out).absolute() / f'.{uuid.uuid4().hex}.partial'
    path.touch()
    try:
        yield str(path)
    finally:
        path.unlink(missing_ok=True)


def _require_there(address: str) -> None:
    """Make sure that something answers at an address, for which Ray would wait a minute.

    Raises:
        BulkError: nothing does.
    """
    host, _, port = address.removeprefix('ray://').rpartition(':')
    if not host or not port.isdecimal():
        return  # 'auto', or what Ray itself understands
    try:
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, 'strerror', None) or error
        raise BulkError(
            f'no Ray cluster answers at {address} ({why}); say where its head is, --ray-address HOST:6379, or '
            'leave that out for a Ray on this machine'
        ) from error


def _why_not_connected(ray: Any, address: str, error: Exception) -> str:
    said = ' '.join(str(error).split())[:300]
    if 'version mismatch' in said.casefold():
        return (
            f'the Ray cluster at {address} has another version of Ray or Python than this process, which has Ray '
            f'{ray.__version__}; install the same on both ({said})'
        )
    if address == 'auto':
        return (
            'no Ray cluster runs on this machine; start one (ray start --head), say where it is, --ray-address '
            'HOST:6379, or leave that out for a Ray of the job alone'
        )
    if address == LOCAL:
        return f'a Ray on this machine cannot be started: {said}; or leave --engine ray out'
    return f'the Ray cluster at {address} cannot be joined: {said}'


def _how_it_ended(ray: Any, error: Exception) -> str:
    """Return how an actor died, as the end of a sentence."""
    if isinstance(error, ray.exceptions.OutOfMemoryError) or 'memory pressure' in str(error):
        return 'was ended for lack of memory'
    return 'ended, or its machine did'
