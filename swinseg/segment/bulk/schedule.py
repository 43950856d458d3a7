"""What is to be done next, whoever does it: new inputs, bands of scenes, and what has to be tried again.

An engine takes units, hands them to workers, and gives back what they come to; it says which units a worker held
that died. The schedule reads inputs only when a unit is asked for, so that no more of them are in memory than the
workers hold. All calls come from one thread.
"""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from swinseg.segment.bulk.inputs import Input
from swinseg.segment.bulk.manifest import FAILED, Row
from swinseg.segment.bulk.work import (
    Again,
    BandDone,
    ModelFacts,
    Outcome,
    Split,
    Stop,
    Unit,
    failed_row,
)

Band = tuple[int, int]

IN_FLIGHT = 3
"""Units of a worker at a time: one is fetched, one computed, one stored."""


class Engine(Protocol):
    """Workers that do units.

    ``run`` loops until ``schedule.is_over``: it takes units, has them done, and gives back the outcomes.
    """

    def run(
        self,
        schedule: Schedule,
        *,
        tick: Callable[[], None],
        on_model: Callable[[ModelFacts], None],
    ) -> None:
        """Do all units.

        Args:
            schedule: of the job.
            tick: to be called at least every second, in the thread that calls ``run``.
            on_model: to be called with what the first worker says of its model.

        Raises:
            UserError: no worker can begin; one sentence.
        """


@dataclass
class _Scene:
    """A scene that is in work by bands.

    Attributes:
        unit: the whole input.
        bands: all of them.
        waiting: those that are not done.
        began: when, for the seconds of the row.
    """

    unit: Unit
    bands: tuple[Band, ...]
    waiting: set[Band]
    began: float = field(default_factory=time.perf_counter)


class Schedule:
    """The units of a job.

    Args:
        inputs: not finished yet, each once.
        retries: how often a unit whose worker died is given to another one.
        on_row: called with the row of each input that is finished.
        max_failures: of inputs; one more ends the job. None for any number.

    Attributes:
        done: inputs that were segmented.
        failed: inputs that were not.
        error: a sentence why the job has to end before its time, or None.
    """

    def __init__(
        self,
        inputs: Iterator[Input],
        *,
        retries: int = 2,
        on_row: Callable[[Row], None],
        max_failures: int | None = None,
    ) -> None:
        self._inputs = inputs
        self._retries = retries
        self._on_row = on_row
        self._max_failures = max_failures
        self._is_exhausted = False
        self._urgent: deque[Unit] = deque()
        self._alone: deque[Unit] = deque()
        self._scenes: dict[str, _Scene] = {}
        self._in_work = 0
        self.done = self.failed = 0
        self.error: str | None = None

    def has_work(self) -> bool:
        """Whether there is anything to do, before workers are started for it.

        Raises:
            UserError: an input cannot be listed.
        """
        unit = self._next(is_idle=True)
        if unit is not None:
            self._urgent.append(unit)
        return unit is not None

    @property
    def is_over(self) -> bool:
        """Whether nothing is in work, and nothing is left or the job has to end."""
        if self._in_work:
            return False
        return self.error is not None or (
            self._is_exhausted and not self._urgent and not self._alone
        )

    def take_for(self, held: Collection[Unit]) -> Unit | None:
        """Return the next unit for a worker, or None where it may have no further one now, or there is none.

        Args:
            held: what it was given and has not given back.

        Raises:
            UserError: an input cannot be listed.
        """
        if len(held) >= IN_FLIGHT or any(unit.is_alone for unit in held):
            return None
        return self.take(is_idle=not held)

    def take(self, *, is_idle: bool) -> Unit | None:
        """Return the next unit for a worker, or None where there is none for it now.

        Args:
            is_idle: whether the worker has nothing else. Only then it gets a unit that ``is_alone``, beside which
                it must be given no other.

        Raises:
            UserError: an input cannot be listed.
        """
        unit = None if self.error is not None else self._next(is_idle)
        if unit is not None:
            self._in_work += 1
        return unit

    def _next(self, is_idle: bool) -> Unit | None:
        if is_idle and self._alone:
            return self._alone.popleft()
        if self._urgent:
            return self._urgent.popleft()
        if not self._is_exhausted:
            found = next(self._inputs, None)
            if found is not None:
                return Unit(found.address, found.name, fault=found.fault)
            self._is_exhausted = True
        return None

    def give(self, unit: Unit, outcome: Outcome) -> None:
        """Take what a unit came to."""
        self._in_work -= 1
        if isinstance(outcome, Stop):
            self.error = self.error or outcome.error
        elif isinstance(outcome, Again):
            self._try_again(unit, outcome.error)
        elif isinstance(outcome, Split):
            self._split(unit, outcome)
        elif isinstance(outcome, BandDone):
            self._band_done(unit)
        else:
            self._row(unit, outcome)

    def lost(self, units: Sequence[Unit], how: str) -> None:
        """Take units that a worker held when it died.

        Args:
            units: all of them; each is tried again by itself.
            how: the end of a sentence, such as ``'was killed by SIGKILL'``.
        """
        for unit in units:
            self._in_work -= 1
            count = unit.attempts + 1
            times = 'once' if count == 1 else f'{count} times'
            self._try_again(
                unit,
                f'{unit.address} ended the process that worked on it {times}, which {how}; look at the file, or '
                'leave it out',
            )

    def returned(self, units: Sequence[Unit]) -> None:
        """Take units back that no worker has begun, as where it died before its model was loaded."""
        for unit in reversed(units):
            self._in_work -= 1
            (self._alone if unit.is_alone else self._urgent).appendleft(unit)

    def _try_again(self, unit: Unit, error: str) -> None:
        scene = self._scenes.get(unit.address)
        if unit.band is not None and scene is None:
            return  # Another band has failed for good.
        if unit.attempts >= self._retries:
            self._row(
                unit, dataclasses.replace(failed_row(unit, error), attempts=unit.attempts + 1)
            )
            return
        self._alone.append(dataclasses.replace(unit, attempts=unit.attempts + 1))

    def _split(self, unit: Unit, split: Split) -> None:
        self._scenes[unit.address] = _Scene(unit, split.bands, set(split.missing))
        for band in split.missing:
            self._urgent.append(dataclasses.replace(unit, attempts=0, band=band))
        self._put_together(unit.address)

    def _band_done(self, unit: Unit) -> None:
        scene = self._scenes.get(unit.address)
        if scene is not None and unit.band is not None:
            scene.waiting.discard(unit.band)
            self._put_together(unit.address)

    def _put_together(self, address: str) -> None:
        scene = self._scenes[address]
        if not scene.waiting:
            self._urgent.appendleft(
                dataclasses.replace(scene.unit, attempts=0, band=None, bands=scene.bands)
            )

    def _row(self, unit: Unit, row: Row) -> None:
        scene = self._scenes.pop(unit.address, None)
        if unit.band is not None and scene is None:
            return
        if scene is not None:
            row = dataclasses.replace(row, seconds=time.perf_counter() - scene.began)
            # A band has failed: the others are of no use.
            self._urgent = deque(each for each in self._urgent if each.address != unit.address)
            self._alone = deque(each for each in self._alone if each.address != unit.address)
        if row.state == FAILED:
            self.failed += 1
        else:
            self.done += 1
        self._on_row(row)
        if self._max_failures is not None and self.failed > self._max_failures:
            self.error = self.error or (
                f'{self.failed} inputs failed, and --max-failures {self._max_failures} allows no more; the last '
                f'one: {row.error or row.input}'
            )
