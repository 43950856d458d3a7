"""Exported files: how far they are from PyTorch at many sizes, how large they are and what making them takes.

On a GPU, the seconds of what runs there: see :mod:`swinseg.benchmark.exported_on_gpu`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import get_args

import torch

from swinseg.benchmark import exported_on_gpu
from swinseg.benchmark.export_case import NARROW, Case, Found, measure_apart
from swinseg.benchmark.options import Options
from swinseg.benchmark.pairs import names_of
from swinseg.benchmark.results import Row, Table
from swinseg.errors import BenchmarkError
from swinseg.exporting.checking import TOLERANCE
from swinseg.exporting.targets import TARGETS, TargetName

FIXED_SIZES = ((512, 512), (97, 61))
"""Height and width of the graphs for one size."""

FILE, NODES, SECONDS, PEAK = 'file (MiB)', 'nodes', 'export (s)', 'peak (MiB)'


@dataclass(frozen=True)
class ExportOptions(Options):
    """Options of the suite. Every file is made once, whatever the repeats.

    Attributes:
        variants: of the model; ``'narrow 7'`` and ``'narrow 12'`` are small ones with these windows.
        config: instead of the variants' configs.
        targets: kinds of files.
    """

    variants: tuple[str, ...] = (*NARROW, 'T', 'S', 'B', 'L')
    config: str | None = None
    targets: tuple[TargetName, ...] = get_args(TargetName)

    def check(self) -> None:
        """Refuse values that cannot be measured."""
        super().check()
        unknown = [target for target in self.targets if target not in TARGETS]
        if unknown:
            raise BenchmarkError(f'--targets takes {", ".join(TARGETS)}, found {unknown[0]!r}')


def run(options: ExportOptions) -> Iterator[Table]:
    """Measure and yield the tables."""
    known = tuple(variant for variant in options.variants if variant not in NARROW)
    variants = names_of(known or ('T',), options.config)
    if options.config is None:
        variants = options.variants
    if options.device != 'cpu':
        for variant in variants:
            yield exported_on_gpu.table(variant, options)
        return
    for target in options.targets:
        yield _of_target(target, variants, options)


def _of_target(target: TargetName, variants: tuple[str, ...], options: ExportOptions) -> Table:
    absent = [package for package in TARGETS[target].needs if find_spec(package) is None]
    runtime = TARGETS[target].runtime_name
    if absent:
        return Table(
            f'{target} in {runtime}', (), left_out={target: f'{" and ".join(absent)} not installed'}
        )
    rows: list[Row] = []
    short: list[str] = []
    count = 0
    for variant in variants:
        for size in (None, *FIXED_SIZES):
            case = Case(variant, options.config, target, size, torch.get_num_threads())
            found = measure_apart(case)
            count += len(case.sizes)
            if found.refused is not None:
                short.append(f'{case.name}: {found.refused}')
            short += [f'{case.name}: {what}' for what in found.fell_short]
            rows.append(_row(case, found))
    verdict = (
        f'{len(short)} fell short: {"; ".join(short)}'
        if short
        else f'all {count} within {TOLERANCE:g}'
    )
    return Table(
        f'{target} in {runtime}, {count} comparisons with PyTorch: {verdict}',
        tuple(rows),
        left_out=exported_on_gpu.left_out_on_cpu(),
        notes=(
            'At batch x height x width: the largest difference of logits as a share of the largest logit, or of 1 '
            'where all are smaller. Random weights.',
            'Peak: resident memory of the process above the loaded model, during the export and its comparison.',
        ),
    )


def _row(case: Case, found: Found) -> Row:
    figures = {FILE: found.bytes / 2**20, NODES: float(found.nodes), SECONDS: found.seconds}
    if found.peak_bytes is not None:
        figures[PEAK] = found.peak_bytes / 2**20
    return Row(case.name, figures=figures, exactness=found.differences)
