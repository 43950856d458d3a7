"""What fell short: checks that failed, ratios below their aims, and cases that ended by an error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from swinseg.benchmark.pairs import OURS, PREPARED, STOCK
from swinseg.benchmark.parts import FAILED
from swinseg.benchmark.results import FAIL, PASS, Row, Table, times_as_fast
from swinseg.benchmark.suites.gpu import checks, inference, training

FOUND, AIM = checks.FOUND, 'aim'

STEP_AIM, MEMORY_AIM = 1.5, 0.6
"""A training step is as many times as fast as stock mmseg's, and takes as large a share of its memory."""
INFERENCE_AIM = 2.0
"""Prepared inference is as many times as fast as stock mmseg under autocast to the same type."""
COMPILED_AIM = 1.0
"""The faster of prepared and compiled is at least as fast as stock mmseg compiled."""


def verdict(tables: Sequence[Table]) -> Table:
    """Return the table that stands above all others.

    Args:
        tables: of the suite.
    """
    judged = [row for table in tables for row in _judged(table)]
    failures = [row for table in tables for row in _failures(table)]
    short = [row for row in judged if row.verdict == FAIL] + failures
    count = len(judged) + len(failures)
    unmeasured = sum(
        not reason.startswith(FAILED) for table in tables for reason in table.left_out.values()
    )
    title = (
        f'{len(short)} of {count} checks and aims fell short'
        if short
        else f'All {count} checks and aims are met'
    )
    if unmeasured:
        title += f'; {unmeasured} {"case" if unmeasured == 1 else "cases"} left out'
    return Table(title, tuple(short), notes=_notes(tables))


def _judged(table: Table) -> Iterable[Row]:
    if table.title == checks.TITLE:
        return (
            Row(
                f'{row.case}: {row.name}',
                figures=_figures(row),
                case=table.title,
                verdict=row.verdict,
            )
            for row in table.rows
        )
    judge = _JUDGES.get(table.title)
    if judge is None:
        return ()
    return (row for case in table.cases for row in judge(table, case))


def _figures(row: Row) -> dict[str, float]:
    return {FOUND: row.figures[checks.FOUND], AIM: row.figures[checks.BOUND]}


def _failures(table: Table) -> Iterable[Row]:
    for case, reason in table.left_out.items():
        if reason.startswith(FAILED):
            yield Row(f'{case}: {reason}', case=table.title, verdict=FAIL)


def _at_least(table: Table, name: str, found: float | None, aim: float) -> list[Row]:
    if found is None:
        return []
    passed = PASS if found >= aim else FAIL
    return [Row(name, figures={FOUND: found, AIM: aim}, case=table.title, verdict=passed)]


def _ratio(table: Table, case: str, ours: str, peer: str) -> float | None:
    row, other = table.row(ours, case), table.row(peer, case)
    return None if row is None or other is None else times_as_fast(row, other)


def _of_inference(table: Table, case: str) -> list[Row]:
    peer = inference.STOCK_AUTOCAST
    found = _ratio(table, case, PREPARED, peer)
    return _at_least(table, f'{case}: {PREPARED}, times as fast as {peer}', found, INFERENCE_AIM)


def _of_compiled(table: Table, case: str) -> list[Row]:
    ratios = [
        ratio
        for ours in (PREPARED, inference.OURS_COMPILED)
        if (ratio := _ratio(table, case, ours, inference.STOCK_COMPILED)) is not None
    ]
    name = (
        f'{case}: the faster of prepared and compiled, times as fast as {inference.STOCK_COMPILED}'
    )
    return _at_least(table, name, max(ratios, default=None), COMPILED_AIM)


def _of_training(table: Table, case: str) -> list[Row]:
    rows = _at_least(
        table,
        f'{case}: {OURS}, times as fast as {STOCK}',
        _ratio(table, case, OURS, STOCK),
        STEP_AIM,
    )
    ours = table.row(OURS, case)
    assert ours is not None
    share = ours.figures[training.OF_STOCK]
    rows.append(
        Row(
            f'{case}: peak memory, of {STOCK}',
            figures={FOUND: share, AIM: MEMORY_AIM},
            case=table.title,
            verdict=PASS if share <= MEMORY_AIM else FAIL,
        )
    )
    return rows


_JUDGES = {
    inference.TITLE: _of_inference,
    inference.COMPILED_TITLE: _of_compiled,
    training.TITLE: _of_training,
}


def _notes(tables: Sequence[Table]) -> tuple[str, ...]:
    """Say how many workers feed the fastest step; more of a machine's cores than it has would be too many."""
    rates = {
        table.title: max(
            (row.figures[training.RATE] for row in table.rows if row.name == OURS), default=0.0
        )
        for table in tables
        if table.title in (training.TITLE, training.DATA_TITLE)
    }
    eaten, made = rates.get(training.TITLE), rates.get(training.DATA_TITLE)
    if not eaten or not made:
        return ()
    return (
        f'The fastest training step eats {eaten:.3g} images/s, one worker of the data pipeline makes {made:.3g}: '
        f'{eaten / made:.2g} workers feed it.',
    )
