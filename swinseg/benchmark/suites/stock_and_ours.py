"""A part of the model in both forms: the comparison that the suites of parts share."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from swinseg.benchmark.exactness import of_tensors
from swinseg.benchmark.options import DTYPES, Options
from swinseg.benchmark.pairs import OURS, STOCK
from swinseg.benchmark.results import Row, Table
from swinseg.benchmark.timing import Call, Candidate, compare, under_autocast


def rows_of(options: Options, stock: Call, ours: Call, *, dtype: str, case: str) -> list[Row]:
    """Time both without gradients, in float32 or under autocast, and compare both with stock in float32.

    Args:
        options: device and rounds.
        stock: computes on float32 tensors.
        ours: computes the same.
        dtype: ``'float32'``, or what autocast casts to.
        case: of the rows.
    """
    is_full = dtype == 'float32'
    with torch.no_grad():
        reference = None if is_full else stock()
        candidates = [
            Candidate(name, under_autocast(call, options.device, DTYPES[dtype]))
            for name, call in ((STOCK, stock), (OURS, ours))
        ]
        rows, _ = compare(
            candidates,
            of_tensors,
            rounds=options.rounds,
            device=options.device,
            case=case,
            reference=reference,
        )
    return rows


def table_of(title: str, rows: Sequence[Row], *, dtype: str) -> Table:
    """Return the table of such rows."""
    is_full = dtype == 'float32'
    return Table(
        f'{title}, {dtype}' + ('' if is_full else ' autocast'),
        tuple(rows),
        baseline=STOCK,
        ours=OURS,
        notes=() if is_full else ('Both are compared with stock mmseg in float32.',),
    )
