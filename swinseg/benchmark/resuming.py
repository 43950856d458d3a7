"""Going on with a result that an interrupted run has written."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swinseg.benchmark.results import Result, Table, from_json, load, to_json
from swinseg.errors import BenchmarkError

_MAY_DIFFER = ('date',)


def earlier_tables(
    path: str | os.PathLike[str], result: Result, *, may_differ: tuple[str, ...] = ()
) -> tuple[Table, ...]:
    """Return the tables of an interrupted run, to which those of this run may be added.

    Args:
        path: the file; where there is none, there are no tables.
        result: of this run: suite, options and environment.
        may_differ: options that do not change what a row says.

    Raises:
        BenchmarkError: the file has another suite, options or environment, so that its rows are of something
            else; the message names the first difference.
    """
    if not Path(path).exists():
        return ()
    found = load(path)
    # Tuples are lists in JSON.
    wanted = from_json(to_json(result), source=path)
    difference = _difference({'suite': found.suite}, {'suite': wanted.suite}, ())
    difference = difference or _difference(found.options, wanted.options, may_differ)
    difference = difference or _difference(found.environment, wanted.environment, _MAY_DIFFER)
    if difference is not None:
        raise BenchmarkError(
            f'{os.fspath(path)} is the result of another run, {difference}; name another --out, or remove the file'
        )
    return found.tables


def _difference(
    found: Mapping[str, Any], wanted: Mapping[str, Any], may_differ: tuple[str, ...]
) -> str | None:
    for name in {**wanted, **found}:
        before, now = found.get(name), wanted.get(name)
        if name in may_differ or before == now:
            continue
        if isinstance(before, dict) and isinstance(now, dict):
            return _difference(before, now, ())
        return f'its {name} is {_shown(before)}, and this one would have {_shown(now)}'
    return None


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
