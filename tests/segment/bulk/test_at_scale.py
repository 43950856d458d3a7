"""A thousand workers on a clock that is not waited for: what the driver does for each of many inputs.

``SWINSEG_TEST_FULL=1 SWINSEG_TEST_INPUTS=10000000 python -m pytest -s tests/segment/bulk/test_at_scale.py`` prints
the figures of ``docs/bulk_planning.md``.
"""

from __future__ import annotations

import heapq
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from swinseg.segment.bulk import manifest as manifest_module
from swinseg.segment.bulk.inputs import Inputs
from swinseg.segment.bulk.manifest import DONE, Manifest, Row
from swinseg.segment.bulk.schedule import Schedule
from swinseg.segment.bulk.work import Unit

WORKERS = 1000
SECONDS_OF_A_UNIT = 2.0
INPUTS = int(os.environ.get('SWINSEG_TEST_INPUTS', '200000'))


class Simulation:
    """Workers that take some seconds for a unit, die now and then, and whose seconds pass at once.

    Attributes:
        now: seconds since the beginning.
    """

    def __init__(self, schedule: Schedule, *, death: float) -> None:
        self._schedule = schedule
        self._death = death
        self._held: list[list[Unit]] = [[] for _ in range(WORKERS)]
        self._events: list[tuple[float, int, int, Unit]] = []
        self._random = random.Random(0)
        self._count = 0
        self.now = 0.0

    def monotonic(self) -> float:
        """Return what ``time.monotonic`` shall say."""
        return self.now

    def run(self) -> Iterator[float]:
        """Do all units; yield about every simulated second, when an engine calls ``tick``."""
        ticked = 0.0
        for worker in range(WORKERS):
            self._feed(worker)
        while not self._schedule.is_over:
            self.now, _, worker, unit = heapq.heappop(self._events)
            held = self._held[worker]
            if unit in held:
                if self._random.random() < self._death:
                    self._held[worker] = []
                    self._schedule.lost(held, 'was killed by SIGKILL')
                else:
                    held.remove(unit)
                    self._schedule.give(unit, _row(unit, worker))
                self._feed(worker)
            if self.now - ticked > 1:
                ticked = self.now
                yield ticked

    def _feed(self, worker: int) -> None:
        held = self._held[worker]
        while (unit := self._schedule.take_for(held)) is not None:
            held.append(unit)
            self._count += 1
            end = self.now + SECONDS_OF_A_UNIT * (0.5 + self._random.expovariate(2.0))
            heapq.heappush(self._events, (end, self._count, worker, unit))


def _row(unit: Unit, worker: int) -> Row:
    return Row(
        unit.address, DONE, output=unit.name, files=('_color.png', '_labels.png', '_overlay.png'), kind='image',
        height=1080, width=1920, classes=(('road', 0.5), ('tree', 0.3), ('sky', 0.2)), worker=str(worker),
        seconds=SECONDS_OF_A_UNIT,
    )  # fmt: skip


@pytest.mark.parametrize(
    'count', [5_000, pytest.param(INPUTS, marks=pytest.mark.full)], ids=['few', 'many']
)
def test_driver__memory_is_flat_and_appends_are_few(tmp_path: Path, monkeypatch, count):
    listed = tmp_path / 'list.txt'
    with listed.open('w') as file:
        for number in range(count):
            file.write(f's3://survey/flight-{number % 97:02d}/{number:09d}.jpg\n')
    manifest = Manifest(str(tmp_path / 'manifest'))
    schedule = Schedule(
        iter(Inputs([], [str(listed)], out=str(tmp_path / 'out'))), on_row=manifest.add
    )
    simulation = Simulation(schedule, death=1e-4)
    monkeypatch.setattr(manifest_module.time, 'monotonic', simulation.monotonic)
    began, process, marks = time.process_time(), psutil.Process(), []
    for _ in simulation.run():
        manifest.tick()
        done = schedule.done + schedule.failed
        if done >= (len(marks) + 1) * count / 10:
            marks.append(process.memory_info().rss / 2**20)
    seconds = time.process_time() - began
    monkeypatch.undo()
    manifest.flush()
    appends = len(list((tmp_path / 'manifest').glob('rows-*.parquet')))
    print(
        f'\n{count:,} inputs, {WORKERS:,} workers: {simulation.now / 3600:.2f} simulated hours in '
        f'{seconds:.0f} s, {count / seconds:,.0f} inputs/s; {appends} appends; '
        f'MiB at each tenth: {[round(mark) for mark in marks]}'
    )
    assert (schedule.done, schedule.failed) == (count, 0)
    # Each has 5,000 rows, or those of ten seconds.
    assert appends <= count / 5_000 + simulation.now / 10 + 2
    # What is kept of an input is two hashes, in tables that are at most half full and double.
    assert marks[-1] - marks[0] < 80 + 2 * 2 * 2 * 8 * count / 2**20
    manifest.compact()
    last = ''
    rows = 0
    for row in manifest.rows():
        assert row.input > last
        last = row.input
        rows += 1
    assert rows == count
