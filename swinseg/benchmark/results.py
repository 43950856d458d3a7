"""Results of a benchmark: rows of times with their exactness, in tables, with where and how it ran.

Everything here is plain data that goes to JSON and back without loss.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from swinseg.errors import BenchmarkError
from swinseg.files import write_text

FORMAT = 1
PASS, FAIL = 'pass', 'fail'


@dataclass(frozen=True)
class Row:
    """One thing that was measured.

    Attributes:
        name: what ran, such as ``'stock'``.
        seconds: of one call, one entry for each round; rows of one case have the same rounds. Empty where no
            time was measured.
        exactness: how far its result is from the baseline's, by name of the measure; empty for the baseline.
        figures: whatever else was measured or counted, by name and unit.
        case: which rows belong together, such as ``'512 x 512'``; empty in a table of a single case.
        verdict: :data:`PASS` or :data:`FAIL` where a figure has a bound; empty where it has none.
    """

    name: str
    seconds: tuple[float, ...] = ()
    exactness: Mapping[str, float] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    case: str = ''
    verdict: str = ''

    @property
    def median(self) -> float | None:
        """Median seconds of a call."""
        return statistics.median(self.seconds) if self.seconds else None

    @property
    def spread(self) -> float | None:
        """Half the distance between the quartiles of the seconds, as a share of the median."""
        if len(self.seconds) < 2:
            return None
        low, middle, high = statistics.quantiles(self.seconds, n=4, method='inclusive')
        return (high - low) / 2 / middle


def times_as_fast(row: Row, than: Row) -> float | None:
    """Return how many times as fast ``row`` is as ``than``: the median of the rounds' ratios of their times.

    What slows the machine down for a while slows both in the same round, and leaves their ratio alone.
    """
    if not row.seconds or len(row.seconds) != len(than.seconds):
        return None
    return statistics.median(
        slow / fast for slow, fast in zip(than.seconds, row.seconds, strict=True)
    )


@dataclass(frozen=True)
class Table:
    """Rows that are shown together.

    Attributes:
        title: what was measured.
        rows: the rows, case by case.
        baseline: name of the row with which the others of its case are compared; None where nothing is.
        ours: name of the row whose lead over each other one is shown; None shows none.
        left_out: what could not be measured, by name, with the reason.
        notes: sentences below the table.
    """

    title: str
    rows: tuple[Row, ...]
    baseline: str | None = None
    ours: str | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def cases(self) -> list[str]:
        """The cases in order."""
        return list(dict.fromkeys(row.case for row in self.rows))

    def row(self, name: str | None, case: str = '') -> Row | None:
        """Return the row of this name and case, or None."""
        return next((row for row in self.rows if (row.name, row.case) == (name, case)), None)


@dataclass(frozen=True)
class Result:
    """What one run of a suite found.

    Attributes:
        suite: its name.
        options: the arguments that it ran with.
        environment: versions, processor, threads and date, see :mod:`swinseg.benchmark.environment`.
        tables: the tables.
    """

    suite: str
    options: Mapping[str, Any]
    environment: Mapping[str, Any]
    tables: tuple[Table, ...]


def to_json(result: Result) -> str:
    """Return a result as JSON text."""
    return json.dumps({'format': FORMAT, **asdict(result)}, indent=1, ensure_ascii=False) + '\n'


def from_json(text: str, *, source: str | os.PathLike[str]) -> Result:
    """Return the result in JSON text.

    Args:
        text: as :func:`to_json` writes it.
        source: where the text is from, for the message.

    Raises:
        BenchmarkError: the text is no result of this format.
    """
    try:
        content = json.loads(text)
        if content.pop('format') != FORMAT:
            raise KeyError('format')
        tables = tuple(_table(**table) for table in content.pop('tables'))
        return Result(**content, tables=tables)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BenchmarkError(
            f'{os.fspath(source)} is no benchmark result of format {FORMAT}; '
            'write it again with swinseg benchmark'
        ) from error


def _table(*, rows: Sequence[Mapping[str, Any]], notes: Sequence[str], **rest: Any) -> Table:
    parsed = tuple(Row(**{**row, 'seconds': tuple(row['seconds'])}) for row in rows)
    return Table(rows=parsed, notes=tuple(notes), **rest)


def save(result: Result, path: str | os.PathLike[str]) -> None:
    """Write a result as JSON, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(path, to_json(result))


def load(path: str | os.PathLike[str]) -> Result:
    """Read a result.

    Raises:
        BenchmarkError: the file cannot be read or is no result.
    """
    try:
        text = Path(path).read_text(encoding='utf-8')
    except OSError as error:
        raise BenchmarkError(
            f'the benchmark result {os.fspath(path)} cannot be read: {error.strerror or error}; '
            'write it with swinseg benchmark'
        ) from error
    return from_json(text, source=path)
