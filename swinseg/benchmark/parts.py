"""Parts of a suite within a budget of time: what fits is measured and kept, what does not fit is named."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from swinseg.benchmark.results import Table
from swinseg.benchmark.timing import first_line
from swinseg.errors import UserError, is_out_of_memory

Clock = Callable[[], float]
Keep = Callable[[Sequence[Table]], None]
Say = Callable[[str], None]

FAILED = 'failed: '
"""What the reason of a part that is left out begins with where it ended by an error."""

# One part that was slower than expected must not condemn all others of its kind, nor a fast one admit any.
_LEAST_CORRECTION, _MOST_CORRECTION = 0.1, 10.0


@dataclass(frozen=True)
class Part:
    """One case of a table, measured at once.

    Attributes:
        table: title of the table that it belongs to.
        case: of its rows.
        expected: seconds that it is believed to take.
        measure: makes a table of this title with the rows of this case.
        kind: what parts of one kind took corrects what is expected of the others; none corrects those of ``''``.
    """

    table: str
    case: str
    expected: float
    measure: Callable[[], Table]
    kind: str = ''


class Budget:
    """Seconds that may be spent, from now on.

    What parts of a kind took corrects what is expected of its others.

    Args:
        seconds: all of them.
        clock: seconds since any moment.
    """

    def __init__(self, seconds: float, clock: Clock = time.perf_counter) -> None:
        self.seconds = seconds
        self.clock = clock
        self._began = clock()
        self._spent: dict[str, tuple[float, float]] = {}

    @property
    def left(self) -> float:
        """Seconds that are left; negative where more were spent."""
        return self.seconds - (self.clock() - self._began)

    def expected(self, part: Part) -> float:
        """Return the seconds that a part is believed to take by now."""
        expected, taken = self._spent.get(part.kind, (0.0, 0.0))
        if expected == 0:
            return part.expected
        correction = min(max(taken / expected, _LEAST_CORRECTION), _MOST_CORRECTION)
        return part.expected * correction

    def learn(self, part: Part, taken: float) -> None:
        """Note how long a part took."""
        if part.kind:
            before = self._spent.get(part.kind, (0.0, 0.0))
            self._spent[part.kind] = (before[0] + part.expected, before[1] + taken)


def measure_parts(
    parts: Sequence[Part],
    budget: Budget,
    *,
    earlier: Sequence[Table] = (),
    keep: Keep = lambda tables: None,
    say: Say = lambda line: None,
) -> list[Table]:
    """Measure the parts that are missing, in order, as far as the budget goes.

    A part that ends by an error is left out with the reason, and costs no other; only a mistake of the user ends
    all of them.

    Args:
        parts: in order of importance.
        budget: parts that are believed to take longer than what is left are left out.
        earlier: tables of an interrupted run; what has rows in them is not measured again.
        keep: is given all tables after each part.
        say: prints a line for each part.

    Returns:
        The tables, in the order in which the parts name them first.

    Raises:
        UserError: a config or an option cannot be measured.
    """
    titles = list(dict.fromkeys(part.table for part in parts))
    tables = {table.title: table for table in earlier}
    for number, part in enumerate(parts, 1):
        if has_part(tables.values(), part):
            say(f'[{number}/{len(parts)}] {part.table}: {part.case}: is there already')
            continue
        began = budget.clock()
        expected = budget.expected(part)
        if expected > budget.left:
            more = left_out(
                part,
                f'no time for it: about {expected:.0f} s, {max(budget.left, 0):.0f} s of '
                f'{budget.seconds:.0f} s are left; run again with the same --out',
            )
            line = next(iter(more.left_out.values()))
        else:
            more = _measured(part)
            taken = budget.clock() - began
            if more.rows:
                budget.learn(part, taken)
            line = more.left_out.get(part.case, f'{taken:.1f} s')
        say(f'[{number}/{len(parts)}] {part.table}: {part.case}: {line}')
        tables[part.table] = joined(tables.get(part.table), more, case=part.case)
        keep(in_order(tables.values(), titles))
        if expected <= budget.left:
            _free()
    return in_order(tables.values(), titles)


def has_part(tables: Iterable[Table], part: Part) -> bool:
    """Whether the tables have rows of a part."""
    return any(
        table.title == part.table and any(row.case == part.case for row in table.rows)
        for table in tables
    )


def left_out(part: Part, reason: str) -> Table:
    """Return a table without rows that says why a part is not in it."""
    return Table(part.table, (), left_out={part.case: reason})


def joined(table: Table | None, more: Table, *, case: str) -> Table:
    """Return a table with the rows of another one of its title below its own.

    Args:
        table: None where there is none yet.
        more: of one case; what it leaves out is named with this case.
        case: its case; an earlier reason for which it was left out is forgotten.
    """
    reasons = {
        name if name == case else f'{case}: {name}': reason
        for name, reason in more.left_out.items()
    }
    if table is None:
        return replace(more, left_out=reasons)
    kept = {
        name: reason
        for name, reason in table.left_out.items()
        if name != case and not name.startswith(f'{case}: ')
    }
    return Table(
        table.title,
        (*table.rows, *more.rows),
        baseline=more.baseline or table.baseline,
        ours=more.ours or table.ours,
        left_out=kept | reasons,
        notes=tuple(dict.fromkeys((*table.notes, *more.notes))),
    )


def in_order(tables: Iterable[Table], titles: Sequence[str]) -> list[Table]:
    """Return the tables of these titles, in this order."""
    by_title = {table.title: table for table in tables}
    return [by_title[title] for title in titles if title in by_title]


def _measured(part: Part) -> Table:
    try:
        return part.measure()
    except UserError:
        raise
    except Exception as error:
        reason = 'out of memory' if is_out_of_memory(error) else FAILED + first_line(error)
        return left_out(part, reason)


def _free() -> None:
    """Let go of what a part leaves behind, so that the next one has the device for itself."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
