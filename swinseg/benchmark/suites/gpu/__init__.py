"""Whether swinseg is right on a GPU, and how fast: checks first, then ratios, within a few minutes.

Every case is a part that is kept as soon as it is measured, so an interrupted run goes on where it ended, and what
the budget has no time for is left to the next run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from swinseg.benchmark.parts import Budget, Keep, Part, Say, measure_parts
from swinseg.benchmark.results import Table
from swinseg.benchmark.suites.gpu import checks, inference, resume, sliding, training
from swinseg.benchmark.suites.gpu.models import Models
from swinseg.benchmark.suites.gpu.options import COMPILED, GpuOptions
from swinseg.benchmark.suites.gpu.verdict import verdict

MAY_DIFFER = ('budget',)
"""Options that a run may have otherwise than the one that it goes on with."""

# What people run comes first, for compiling takes long and the budget may end anywhere.
_COMPILED_ORDER = ('float16', 'bfloat16', 'tf32', 'float32')


def run(options: GpuOptions) -> Iterator[Table]:
    """Measure everything anew, and yield the tables, what fell short first."""
    return run_parts(options)


def run_parts(
    options: GpuOptions,
    *,
    earlier: Sequence[Table] = (),
    keep: Keep = lambda tables: None,
    say: Say = lambda line: None,
) -> Iterator[Table]:
    """Measure what is missing, and yield the tables, what fell short first.

    Args:
        options: of the suite.
        earlier: tables of an interrupted run of the same options in the same environment.
        keep: is given all tables after each part.
        say: prints a line for each part.
    """
    budget = Budget(options.budget)
    tables = measure_parts(
        all_parts(options),
        budget,
        earlier=earlier,
        keep=lambda some: keep([verdict(some), *some]),
        say=say,
    )
    yield verdict(tables)
    yield from tables


def all_parts(options: GpuOptions) -> list[Part]:
    """Return the parts in order of importance: the first model with one case compiled, the others, the rest."""
    models = Models(options)
    first, *others = options.names
    compiled = [
        part
        for name in options.names
        if COMPILED in options.peers
        for part in _compiled(models, name)
    ]
    return [
        *checks.parts(models),
        resume.part(options),
        *_inference(models, first),
        *_training(models, first),
        training.data_part(options),
        *(sliding.part(models, first, each) for each in options.slide_precisions),
        *compiled[:1],
        *(part for name in others for part in _inference(models, name)),
        *compiled[1:],
    ]


def _inference(models: Models, name: str) -> list[Part]:
    options = models.options
    return [
        inference.part(models, name, side, batch_size, precision)
        for side, batch_size, precision in product(
            options.sizes, options.batch_sizes, options.precisions
        )
    ]


def _compiled(models: Models, name: str) -> list[Part]:
    options = models.options
    precisions = [each for each in _COMPILED_ORDER if each in options.precisions]
    return [
        inference.compiled_part(models, name, side, batch_size, precision)
        for side, precision, batch_size in product(options.sizes, precisions, options.batch_sizes)
    ]


def _training(models: Models, name: str) -> list[Part]:
    options = models.options
    return [
        training.part(models, name, side, batch_size, precision)
        for side, batch_size, precision in product(
            options.sizes, options.train_batch_sizes, options.train_precisions
        )
    ]
