"""The driver of a bulk job: it hands inputs to an engine, writes the manifest, and ends with a summary and a page.

A job that was killed goes on with the same command: results are written first, then the row, so that at worst some
results have no row yet and are made again, byte for byte. What the results depend on is kept beside the manifest.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from filelock import FileLock, Timeout

from swinseg.errors import Interrupted, shown
from swinseg.segment.bulk.extra import BulkError
from swinseg.segment.bulk.inputs import Inputs
from swinseg.segment.bulk.manifest import MANIFEST, SETTINGS_FILE, Manifest, Row
from swinseg.segment.bulk.page import Survey, survey, write_page
from swinseg.segment.bulk.progress import BulkProgress
from swinseg.segment.bulk.remote import is_remote
from swinseg.segment.bulk.schedule import Engine, Schedule
from swinseg.segment.bulk.storage import LocalPlace, Place, place_of
from swinseg.segment.bulk.work import ModelFacts, Setup
from swinseg.signals import stop_signals
from swinseg.versions import __version__

PAGE = '_page.html'
"""The page about a job, beside its manifest."""

BANDS = '_bands'
"""The folder of the bands of scenes that several workers share, beside the manifest, while the job runs."""

_LOCK = '_lock'
_RUNNING, _COMPLETE = 'running', 'complete'


@dataclass(frozen=True)
class Job:
    """What is to be segmented, and how the job deals with failures.

    Attributes:
        inputs: as ``swinseg.segment.bulk.inputs.Inputs`` takes them.
        lists: lists of inputs.
        column: of CSV and Parquet lists.
        manifest: folder of the manifest; None for ``manifest`` in the folder of results.
        retries: how often an input is tried again that ended its worker.
        max_failures: inputs that may fail before the job ends; None for any number.
        retry_failed: try inputs again that failed in earlier runs.
        overwrite: begin in a folder that holds other files, which results may replace.
    """

    inputs: Sequence[str]
    lists: Sequence[str] = ()
    column: str | None = None
    manifest: str | None = None
    retries: int = 2
    max_failures: int | None = None
    retry_failed: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Summary:
    """What became of a job.

    Attributes:
        survey: of all rows.
        done: inputs that this run has segmented.
        skipped: inputs that earlier runs had finished.
        repeated: entries that named an input again.
        seconds: of this run.
        manifest: its folder.
        page: path or address of the page.
        error: why the job ended before its time, or None.
    """

    survey: Survey
    done: int
    skipped: int
    repeated: int
    seconds: float
    manifest: str
    page: str
    error: str | None = None

    def text(self) -> str:
        """Return some lines for the end of the job."""
        found = self.survey
        lines = [
            f'{found.done:,} {"input" if found.done == 1 else "inputs"} segmented, {found.failed:,} failed'
            + (f' ({self.skipped:,} done before)' if self.skipped else '')
            + f'; {self.done:,} in {self.seconds:.0f} s'
            + (f', {self.done / self.seconds:.1f}/s' if self.seconds > 1 else '')
        ]
        if self.repeated:
            times = 'entry names' if self.repeated == 1 else 'entries name'
            lines.append(f'{self.repeated:,} {times} an input again, which counts once')
        if found.failed:
            lines.append(f'try the {found.failed:,} again by the same command with --retry-failed')
        lines.append(f'manifest: {self.manifest}; page: {self.page}')
        return '\n'.join(lines)


def recorded_threads(job: Job, out: str) -> int | None:
    """Return the threads of the workers in an earlier run of a job, or None where there was none.

    The last bits of scores depend on that number, and now and then a label, so a job keeps it.
    """
    data = place_of(manifest_address(job, out)).read(SETTINGS_FILE)
    try:
        threads = json.loads(data or b'{}')['settings']['threads']
    except (ValueError, TypeError, KeyError):
        return None
    return threads if isinstance(threads, int) else None


def manifest_address(job: Job, out: str) -> str:
    """Return the folder of a job's manifest."""
    return (job.manifest or f'{out.rstrip("/")}/{MANIFEST}').rstrip('/')


def run_job(
    job: Job, setup: Setup, engine: Engine, *, say: Callable[[str], None] = print
) -> Summary:
    """Segment all inputs that are not finished yet, and write the manifest and the page.

    Args:
        job: what is to be done.
        setup: how.
        engine: the workers that do it.
        say: takes lines of the beginning.

    Raises:
        BulkError: the manifest is that of another job, the folder of results is not empty, or no worker can begin.
        StorageError, OutputError: the inputs cannot be listed, or results not be written.
        Interrupted: a signal has ended the work, which the same command continues.
    """
    began = time.monotonic()
    out = place_of(setup.out)
    manifest = Manifest(manifest_address(job, setup.out))
    Inputs(job.inputs, job.lists, column=job.column).check()
    record = _Record(manifest.place, setup, is_elsewhere=job.manifest is not None)
    record.check(out, overwrite=job.overwrite)
    out.check()
    manifest.place.check()
    with _only_one(manifest.place):
        if record.was_interrupted:
            out.remove_partial_files()
        record.begin()
        known = manifest.finished(with_failed=not job.retry_failed)
        inputs = Inputs(
            job.inputs, job.lists, column=job.column, out=setup.out, finished=known.inputs,
            names=known.names, say=lambda text: progress.say(text),
        )  # fmt: skip
        progress = BulkProgress(inputs, before=len(known.inputs))
        if len(known.inputs):
            say(f'{len(known.inputs):,} inputs are finished from before; going on')

        def on_row(row: Row) -> None:
            manifest.add(row)
            progress.add(row)

        def tick() -> None:
            manifest.tick()
            progress.tick()

        schedule = Schedule(
            iter(inputs), retries=job.retries, on_row=on_row, max_failures=job.max_failures
        )
        try:
            with stop_signals(at_once=True):
                if schedule.has_work():
                    engine.run(schedule, tick=tick, on_model=record.take)
        except Interrupted as interrupted:
            raise Interrupted(
                f'{interrupted} after {schedule.done + schedule.failed:,} inputs; the same command goes on',
                interrupted.signum,
            ) from None
        finally:
            progress.clear()
            manifest.flush()
        if schedule.error is None:
            manifest.compact()
        found = survey(manifest, record.classes)
        page = write_page(manifest.place, PAGE, out, found, record.palette, title=setup.out)
        if schedule.error is None:
            place_of(f'{manifest.place.address}/{BANDS}').clear()
            record.end()
    return Summary(
        survey=found,
        done=schedule.done + schedule.failed,
        skipped=inputs.skipped,
        repeated=inputs.repeated,
        seconds=time.monotonic() - began,
        manifest=manifest.place.address,
        page=page,
        error=schedule.error,
    )


class _Record:
    """What the results of a job depend on, kept beside its manifest.

    Args:
        place: of the manifest.
        setup: of this run.
        is_elsewhere: whether the manifest is not in the folder of results, with which it could be moved.
    """

    def __init__(self, place: Place, setup: Setup, *, is_elsewhere: bool) -> None:
        self._place = place
        data = place.read(SETTINGS_FILE)
        try:
            self._before: dict[str, Any] = {} if data is None else json.loads(data)
            if data is not None and 'settings' not in self._before:
                raise ValueError
        except (ValueError, TypeError) as error:
            raise BulkError(
                f'{place.address}/{SETTINGS_FILE} is no record of a job; choose another --manifest'
            ) from error
        settings = setup.identity()
        if is_elsewhere:
            settings['out'] = setup.out if is_remote(setup.out) else os.path.abspath(setup.out)
        self._now = {
            **self._before,
            'format': 1,
            'swinseg': __version__,
            'settings': settings,
            'began': self._before.get('began', datetime.now(timezone.utc).isoformat()),
        }

    @property
    def was_interrupted(self) -> bool:
        """Whether an earlier run did not come to its end."""
        return self._before.get('state') == _RUNNING

    @property
    def classes(self) -> list[str]:
        """Of the model, as a worker said."""
        return list(self._now.get('classes', []))

    @property
    def palette(self) -> list[list[int]]:
        """Of the model, as a worker said."""
        return list(self._now.get('palette', []))

    def check(self, out: Place, *, overwrite: bool) -> None:
        """Make sure that the manifest is that of this job, or a new one with an empty folder of results.

        Raises:
            BulkError: it is not.
        """
        if not self._before:
            if not overwrite and not out.is_empty():
                raise BulkError(
                    f'{out.address} holds files, but {self._place.address} no manifest of a job that could go on; '
                    'choose another --out, or replace files of the same names with --overwrite'
                )
            return
        different = _difference(self._before['settings'], self._now['settings'])
        if different is not None:
            raise BulkError(
                f'{self._place.address} is the manifest of a job with other settings: {different}; give the same '
                'command again, or choose another --out and --manifest'
            )

    def begin(self) -> None:
        """Say that the job is in work."""
        self._write(_RUNNING)

    def take(self, facts: ModelFacts) -> None:
        """Keep the classes and the colors of the model."""
        if 'classes' not in self._now:
            self._now['classes'] = list(facts.classes)
            self._now['palette'] = [[int(value) for value in color] for color in facts.palette]
            self._write(_RUNNING)

    def end(self) -> None:
        """Say that the job has come to its end."""
        self._write(_COMPLETE)

    def _write(self, state: str) -> None:
        content = {**self._now, 'state': state}
        self._place.write(SETTINGS_FILE, json.dumps(content, indent=1).encode())


def _difference(before: Mapping[str, Any], now: Mapping[str, Any], at: str = '') -> str | None:
    """Return the first setting that differs, in words, or None."""
    for name in [*before, *(name for name in now if name not in before)]:
        was, is_now = before.get(name), now.get(name)
        if was == is_now:
            continue
        if isinstance(was, dict) and isinstance(is_now, dict):
            return _difference(was, is_now, f'{at}{name}.')
        return f'{at}{name} was {shown(was)} and is {shown(is_now)}'
    return None


@contextlib.contextmanager
def _only_one(place: Place) -> Iterator[None]:
    """Keep a second driver away from a manifest of this machine.

    Raises:
        BulkError: there is one already.
    """
    if not isinstance(place, LocalPlace):
        yield
        return
    lock = FileLock(place.root / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise BulkError(
            f'another process works on the job of {place.address}; wait for its end, or end it'
        ) from error
    try:
        yield
    finally:
        lock.release()
