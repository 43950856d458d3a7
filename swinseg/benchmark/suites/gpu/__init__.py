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
    """Return the parts in order of importance: each model as a whole, the first one first, and then compiled."""
    models = Models(options)
    parts = [*checks.parts(models), resume.part(options)]
    compiled = []
    for name in options.names:
        for side, batch_size, precision in product(
            options.sizes, options.batch_sizes, options.precisions
        ):
            parts.append(inference.part(models, name, side, batch_size, precision))
        if name == options.names[0]:
            parts += _training_parts(models, name)
            parts.append(training.data_part(options))
            parts += [sliding.part(models, name, each) for each in options.slide_precisions]
        if COMPILED in options.peers:
            compiled += [
                inference.compiled_part(models, name, side, batch_size, precision)
                for side in options.sizes
                for precision in _COMPILED_ORDER
                if precision in options.precisions
                for batch_size in options.batch_sizes
            ]
    return [*parts, *compiled]


def _training_parts(models: Models, name: str) -> list[Part]:
    options = models.options
    return [
        training.part(models, name, side, batch_size, precision)
        for side, batch_size, precision in product(
            options.sizes, options.train_batch_sizes, options.train_precisions
        )
    ]
