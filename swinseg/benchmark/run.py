"""Running a suite, or all of them, and keeping what they found."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from swinseg.benchmark.environment import describe
from swinseg.benchmark.load import busy_processes
from swinseg.benchmark.options import Options, make_options
from swinseg.benchmark.parts import Say
from swinseg.benchmark.plot import plot_result
from swinseg.benchmark.readme import render_readme
from swinseg.benchmark.report import as_text
from swinseg.benchmark.results import Result, Table, save
from swinseg.benchmark.resuming import earlier_tables
from swinseg.benchmark.suites import SUITES
from swinseg.errors import BenchmarkError
from swinseg.files import make_folder, require_own
from swinseg.visualization.png_files import PLOT_MARK

ALL: dict[str, tuple[str, dict[str, Any]]] = {
    'model': ('model', {'seconds': 30.0}),
    'model_larger': (
        'model',
        {'variants': ('S', 'B'), 'dtypes': ('float32',), 'peers': (), 'seconds': 20.0},
    ),
    'growth': (
        'model',
        {'sizes': (256, 512, 1024, 2048), 'dtypes': ('float32',), 'peers': (), 'seconds': 12.0},
    ),
    'head': ('head', {'seconds': 12.0}),
    'attention': ('attention', {'seconds': 12.0}),
    'train': ('train', {'seconds': 15.0}),
    'data': ('data', {'seconds': 10.0}),
    'metric': ('metric', {'seconds': 5.0}),
    'slide': ('slide', {'seconds': 10.0}),
    'video': ('video', {'seconds': 20.0}),
}
"""What ``all`` measures: name of the file, suite, and its options where they are not the defaults.

The seconds are chosen so that everything takes about a quarter of an hour on two cores.
"""


def run(
    suite: str,
    given: Mapping[str, Any],
    *,
    out: str | os.PathLike[str] | None = None,
    say: Say = print,
) -> None:
    """Run a suite, or ``'all'``; print its tables and write them where asked.

    Args:
        suite: one of ``SUITES``, or ``'all'``.
        given: options by name; None stands for the suite's default.
        out: for one suite a JSON file, with the plot beside it, which a suite of parts writes after each of them
            and goes on with; for ``'all'`` a folder for a JSON file and a plot each, whose ``README.md``, where
            there is one, is rendered anew.
        say: prints a line.

    Raises:
        BenchmarkError: the suite does not take one of the options, a value is out of range, or the file has other
            results than those that a suite of parts could go on with.
        OutputError: a file cannot be written.
    """
    if suite == 'all':
        _run_all(given, out, say)
        return
    options = make_options(SUITES[suite].options, suite, given)
    if out is not None:
        _check_file(Path(out))
    result = measure(suite, options, out=out, say=say)
    if out is not None:
        plot = _write(result, Path(out))
        say(f'results: {out}' + (f', plot: {plot}' if plot else ''))


def measure(
    suite: str, options: Options, *, out: str | os.PathLike[str] | None = None, say: Say = print
) -> Result:
    """Run one suite and return what it found; each table is printed when it is done.

    Args:
        suite: its name.
        options: of its kind.
        out: where a suite of parts keeps what it has, and finds what an interrupted run has kept.
        say: prints a line.

    Raises:
        BenchmarkError: the file has other results than those that could be gone on with.
    """
    with _threads(options.threads), busy_processes(options.load):
        result = Result(suite, _recorded(options), describe(options.device), ())
        tables = []
        for table in _tables(result, options, out, say):
            tables.append(table)
            say(as_text(table) + '\n')
    return replace(result, tables=tuple(tables))


def _recorded(options: Options) -> dict[str, Any]:
    recorded = asdict(options)
    if recorded.get('data_root') is not None:
        # Results are published; where a folder lies on this machine is nobody's business.
        recorded['data_root'] = Path(recorded['data_root']).name
    return recorded


def _tables(
    result: Result, options: Options, out: str | os.PathLike[str] | None, say: Say
) -> Iterator[Table]:
    suite = SUITES[result.suite]
    if suite.run_parts is None:
        return suite.run(options)

    def keep(tables: Sequence[Table]) -> None:
        if out is not None:
            save(replace(result, tables=tuple(tables)), out)

    earlier = () if out is None else earlier_tables(out, result, may_differ=suite.may_differ)
    return suite.run_parts(options, earlier=earlier, keep=keep, say=say)


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check_file(path: Path) -> None:
    if path.suffix != '.json':
        raise BenchmarkError(
            f'--out takes a file that ends in .json, found {path}; try --out {path.with_suffix(".json")}'
        )
    make_folder(path.parent)
    require_own(path, '"suite": ')
    if not path.exists():
        require_own(path.with_suffix('.png'), PLOT_MARK)


def _write(result: Result, path: Path) -> Path | None:
    """Write a result, and return the picture of it if there is one to draw."""
    save(result, path)
    plot = path.with_suffix('.png')
    return plot if plot_result(result, plot) else None


def _run_all(given: Mapping[str, Any], out: str | os.PathLike[str] | None, say: Say) -> None:
    if out is None:
        raise BenchmarkError('the suite all needs a folder for its files; try --out benchmarks')
    jobs = []
    on_gpu = str(given.get('device')).startswith('cuda')
    for name, (suite, preset) in ALL.items():
        if on_gpu and suite == 'data':
            continue
        # Only what every suite takes can be given to all of them.
        make_options(Options, 'all', given)
        if on_gpu and suite == 'model':
            preset = {**preset, 'peers': ('compiled',)}
        options = make_options(SUITES[suite].options, suite, {**preset, **given})
        jobs.append((f'{name}_cuda' if on_gpu else name, suite, options))
    folder = make_folder(out)
    for name, suite, options in jobs:
        say(f'--- {name}')
        _write(measure(suite, options, say=say), folder / f'{name}.json')
        gc.collect()
    if (folder / 'README.md').is_file():
        render_readme(folder / 'README.md')
        say(f'tables: {folder / "README.md"}')
    else:
        say(f'no tables: {folder} has no README.md for them, which only a clone of swinseg brings')
