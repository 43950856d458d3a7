"""The manifest of a bulk job: a folder of Parquet files with a row for each input.

While the job runs rows are appended, a file ``rows-<number>.parquet`` for some seconds' work. Where an input has
several rows, say after its failure was tried again, the one in the file of the highest number counts, and in one
file the last. At the end of a job the rows are sorted by input, one for each, into files
``sorted-<number>-<part>.parquet`` of at most :data:`ROWS_OF_A_FILE` rows, and the others removed; what a kill
leaves in between is read alike.
"""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import io
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from swinseg.segment.bulk.extra import BulkError, import_extra
from swinseg.segment.bulk.hashes import Hashes, hash_of
from swinseg.segment.bulk.storage import LocalPlace, Place, place_of
from swinseg.segment.sources import folded

MANIFEST = 'manifest'
"""Its folder below that of the results, where nothing else is said."""

# Readers of Parquet folders pass over names that begin with an underscore.
SETTINGS_FILE = '_job.json'

DONE, FAILED = 'done', 'failed'

VARYING = ('attempts', 'seconds', 'worker', 'finished')
"""Columns that tell how the work went; all others are the same however often the job was interrupted."""

ROWS_OF_A_FILE = 250_000
_ROWS_AT_ONCE = 5_000
_SECONDS_AT_ONCE = 10.0
_BATCH = 4096
_NAME = re.compile(r'(?:rows|sorted)-(\d+)(?:-(\d+))?\.parquet')


@dataclass(frozen=True)
class Row:
    """What became of an input.

    Attributes:
        input: its address.
        state: ``'done'`` or ``'failed'``.
        output: what the names of its results begin with, relative to the folder of results; empty when failed.
        files: how they end.
        kind: ``'image'``, ``'scene'`` or ``'video'``; empty when that is not known.
        height: pixels; 0 when that is not known.
        width: pixels; 0 when that is not known.
        classes: name and share, in [0, 1], of each class present, the largest first; of a video the mean over its
            segmented frames.
        error: one sentence when failed, else empty.
        attempts: how often it was begun.
        seconds: from its begin to the last file, others being worked on at the same time.
        worker: who did it.
        finished: when, seconds since 1970.
    """

    input: str
    state: str
    output: str = ''
    files: tuple[str, ...] = ()
    kind: str = ''
    height: int = 0
    width: int = 0
    classes: tuple[tuple[str, float], ...] = ()
    error: str = ''
    attempts: int = 1
    seconds: float = 0.0
    worker: str = ''
    finished: float = 0.0


def schema() -> Any:
    """Return the columns, as pyarrow has them."""
    pa = import_extra('pyarrow', 'the manifest of a bulk job')
    share = pa.struct([('class', pa.string()), ('share', pa.float64())])
    return pa.schema(
        [
            ('input', pa.string()), ('state', pa.string()), ('output', pa.string()),
            ('files', pa.list_(pa.string())), ('kind', pa.string()), ('height', pa.int64()), ('width', pa.int64()),
            ('classes', pa.list_(share)), ('error', pa.string()), ('attempts', pa.int32()),
            ('seconds', pa.float64()), ('worker', pa.string()), ('finished', pa.timestamp('ms', tz='UTC')),
        ]
    )  # fmt: skip


@dataclass
class Known:
    """The inputs of a manifest that need no work.

    Attributes:
        inputs: hashes of their addresses.
        names: hashes of the folded names of their results.
        done: their number.
        failed: number of inputs whose row says that they failed.
    """

    inputs: Hashes
    names: Hashes
    done: int = 0
    failed: int = 0


class Manifest:
    """A folder of rows.

    Args:
        place: the folder, or its path or address.

    Raises:
        BulkError: pyarrow is missing.
    """

    def __init__(self, place: Place | str) -> None:
        self.place = place_of(place) if isinstance(place, str) else place
        self._pa = import_extra('pyarrow', 'the manifest of a bulk job')
        self._parquet = import_extra('pyarrow.parquet', 'the manifest of a bulk job')
        self._schema = schema()
        self._waiting: list[Row] = []
        self._flushed_at = time.monotonic()
        self._next: int | None = None

    def add(self, row: Row) -> None:
        """Take a row; it is written with others, after some seconds at most when :meth:`tick` is called."""
        self._waiting.append(row)
        if len(self._waiting) >= _ROWS_AT_ONCE:
            self.flush()

    def tick(self) -> None:
        """Write what has waited for some seconds."""
        if self._waiting and time.monotonic() - self._flushed_at >= _SECONDS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write all rows that were added.

        Raises:
            OutputError: they cannot be written.
        """
        if self._waiting:
            table = self._table(self._waiting)
            self._write(f'rows-{self._new_number():08d}.parquet', table)
            self._waiting = []
        self._flushed_at = time.monotonic()

    def finished(self, *, with_failed: bool) -> Known:
        """Return which inputs need no work.

        Args:
            with_failed: whether those that failed are among them.
        """
        found = Known(Hashes(), Hashes())
        failed = Hashes()
        columns = ['input', 'state', 'output']
        for batch in self._batches(columns):
            inputs, states, outputs = (batch.column(name).to_pylist() for name in columns)
            for address, state, output in zip(inputs, states, outputs, strict=True):
                value = hash_of(address)
                if state == DONE:
                    found.inputs.add(value)
                    found.names.add(hash_of(folded(output)))
                else:
                    failed.add(value)
        found.done = len(found.inputs)
        for value in failed:
            if value not in found.inputs:
                found.failed += 1
        if with_failed:
            for value in failed:
                found.inputs.add(value)
        return found

    def rows(self) -> Iterator[Row]:
        """Yield the rows that count, sorted by input where the manifest is that of a finished job.

        Of the manifest of an unfinished one, rows that a later one replaces are left out at the price of the
        hashes of all inputs.
        """
        names = self._names()
        if _is_sorted(names):
            for batch in self._batches():
                yield from map(_row, batch.to_pylist())
            return
        seen = Hashes()
        for name in reversed(names):
            batches = list(self._batches_of(name, None))
            for batch in reversed(batches):
                for values in reversed(batch.to_pylist()):
                    if seen.add(hash_of(values['input'])):
                        yield _row(values)

    def compact(self) -> None:
        """Sort the rows by input, one for each, into few files.

        Raises:
            OutputError: they cannot be written.
        """
        self.flush()
        names = self._names()
        if _is_sorted(names):
            return
        number = self._new_number()
        with tempfile.TemporaryDirectory(prefix='swinseg-') as folder:
            runs = list(self._sorted_runs(names, Path(folder)))
            for part, table in enumerate(self._merged(runs)):
                self._write(f'sorted-{number:08d}-{part:05d}.parquet', table)
        for name in names:
            self.place.remove(name)

    def _sorted_runs(self, names: list[str], folder: Path) -> Iterator[Path]:
        """Write the rows in pieces that are sorted by input, and in an input by time."""
        order = 0
        waiting: list[Any] = []
        count = 0

        def written() -> Path:
            table = self._pa.Table.from_batches(waiting)
            path = folder / f'{order:012d}.parquet'
            table = table.sort_by([('input', 'ascending'), ('order', 'ascending')])
            self._parquet.write_table(table, path, row_group_size=_BATCH)
            return path

        for name in names:
            for batch in self._batches_of(name, None):
                places = self._pa.array(range(order, order + len(batch)), self._pa.int64())
                order += len(batch)
                waiting.append(batch.append_column('order', places))
                count += len(batch)
                if count >= ROWS_OF_A_FILE:
                    yield written()
                    waiting, count = [], 0
        if waiting:
            yield written()

    def _merged(self, runs: list[Path]) -> Iterator[Any]:
        """Yield tables of at most so many rows, sorted, with the last row of each input."""
        with contextlib.ExitStack() as stack:
            streams = []
            for path in runs:
                file = stack.enter_context(open(path, 'rb'))
                streams.append(_rows_of_run(self._parquet.ParquetFile(file)))
            rows: list[dict[str, Any]] = []
            last: dict[str, Any] | None = None
            merged: Iterable[tuple[str, int, dict[str, Any]]] = heapq.merge(
                *streams, key=lambda each: each[:2]
            )
            for address, _, values in merged:
                if last is not None and last['input'] != address:
                    rows.append(last)
                    if len(rows) == ROWS_OF_A_FILE:
                        yield self._pa.Table.from_pylist(rows, schema=self._schema)
                        rows = []
                last = values
            if last is not None:
                rows.append(last)
            yield self._pa.Table.from_pylist(rows, schema=self._schema)

    def _batches(self, columns: list[str] | None = None) -> Iterator[Any]:
        for name in self._names():
            yield from self._batches_of(name, columns)

    def _batches_of(self, name: str, columns: list[str] | None) -> Iterator[Any]:
        if isinstance(self.place, LocalPlace):
            source: Any = self.place.root / name
        else:
            data = self.place.read(name)
            if data is None:
                return
            source = io.BytesIO(data)
        try:
            with self._parquet.ParquetFile(source) as file:
                yield from file.iter_batches(_BATCH, columns=columns)
        except (self._pa.ArrowException, OSError, KeyError) as error:
            raise BulkError(
                f'{self.place.address}/{name} is no file of a manifest that can be read ({error}); choose another '
                '--manifest, or remove the file'
            ) from error

    def _names(self) -> list[str]:
        """Return the names of the files with rows, those that count more last."""
        numbers = {
            name: (int(match[1]), int(match[2] or 0))
            for name in self.place.names()
            if (match := _NAME.fullmatch(name))
        }
        return sorted(numbers, key=numbers.__getitem__)

    def _new_number(self) -> int:
        if self._next is None:
            numbers = [int(match[1]) for name in self._names() if (match := _NAME.fullmatch(name))]
            self._next = max(numbers, default=0) + 1
        self._next += 1
        return self._next - 1

    def _table(self, rows: list[Row]) -> Any:
        return self._pa.Table.from_pylist([_values(row) for row in rows], schema=self._schema)

    def _write(self, name: str, table: Any) -> None:
        buffer = io.BytesIO()
        self._parquet.write_table(table, buffer, compression='zstd')
        self.place.write(name, buffer.getvalue())


def _is_sorted(names: list[str]) -> bool:
    """Whether all files are those of one sorting."""
    numbers = {match[1] for name in names if (match := _NAME.fullmatch(name))}
    return len(numbers) <= 1 and all(name.startswith('sorted-') for name in names)


def _rows_of_run(file: Any) -> Iterator[tuple[str, int, dict[str, Any]]]:
    for batch in file.iter_batches(_BATCH):
        for values in batch.to_pylist():
            order = values.pop('order')
            yield values['input'], order, values


def _values(row: Row) -> dict[str, Any]:
    values: dict[str, Any] = {
        field.name: getattr(row, field.name) for field in dataclasses.fields(row)
    }
    # Names of files that are no UTF-8 cannot be strings of Parquet; ``hash_of`` sees the same.
    for name in ('input', 'output', 'error'):
        values[name] = values[name].encode('utf-8', 'backslashreplace').decode('utf-8')
    values['files'] = list(row.files)
    values['classes'] = [{'class': name, 'share': share} for name, share in row.classes]
    values['finished'] = datetime.fromtimestamp(row.finished, timezone.utc)
    return values


def _row(values: dict[str, Any]) -> Row:
    return Row(
        **{
            **values,
            'files': tuple(values['files']),
            'classes': tuple((each['class'], each['share']) for each in values['classes']),
            'finished': values['finished'].timestamp(),
        }
    )
