"""Seconds and memory of a training step, and the images of the data pipeline that it eats."""

from __future__ import annotations

from functools import partial

from torch import nn

from swinseg.benchmark.pairs import OURS, STOCK
from swinseg.benchmark.parts import Part
from swinseg.benchmark.peak_memory import peak_bytes
from swinseg.benchmark.results import Row, Table
from swinseg.benchmark.suites import data
from swinseg.benchmark.suites.gpu.inference import case_name
from swinseg.benchmark.suites.gpu.models import Models, fastest_convolutions, products_in
from swinseg.benchmark.suites.gpu.options import GpuOptions
from swinseg.benchmark.suites.train import (
    Step,
    TrainOptions,
    build_steps,
    compare_steps,
    reference_step,
)

TITLE, DATA_TITLE = 'Training step', 'Data pipeline, one worker'
PEAK, OF_STOCK, RATE = 'peak (MiB)', 'of stock', data.RATE

_WARM_UPS = 2
_BACKWARD = 3  # forward and backward, in forwards
_SECONDS_TO_BUILD = 4.0
_SECONDS_OF_AN_IMAGE = 0.03
_NOTES = (
    'Loss and gradients of the first step are compared with those of stock mmseg in float32 without TF32.',
    'Peak: what PyTorch allocates at most, with weights, gradients and optimizer state; activations: without.',
)


def part(models: Models, name: str, side: int, batch_size: int, precision: str) -> Part:
    """Return the case of a step."""
    steps = 1 + 2 * (1 + _WARM_UPS + 2 + 1)
    expected = steps * _BACKWARD * batch_size * models.forward_seconds(name, side)
    return Part(
        TITLE,
        case_name(name, side, batch_size, precision),
        expected + models.options.seconds + _SECONDS_TO_BUILD,
        partial(_measure, models.options, name, side, batch_size, precision),
        f'{TITLE}, {precision}',
    )


def _measure(options: GpuOptions, name: str, side: int, batch_size: int, precision: str) -> Table:
    case = case_name(name, side, batch_size, precision)
    reason = options.why_not(precision)
    if reason is not None:
        return Table(TITLE, (), left_out={case: reason})
    of_steps = TrainOptions(device=options.device, config=options.config, batch_size=batch_size)
    dtype = 'float32' if precision == 'tf32' else precision
    with fastest_convolutions():
        with products_in('float32'):
            reference = reference_step(of_steps, name, side)
        with products_in(precision):
            stock, ours = build_steps(of_steps, name, side, dtype)
            rows = compare_steps(
                stock, ours, options, case=case, reference=reference, warm_ups=_WARM_UPS
            )
            del reference
            # Gradients and optimizer state are there by now, and stay.
            activations = [peak_bytes(step.run, device=options.device) for step in (stock, ours)]
    peaks = [
        above + held_bytes(step) for above, step in zip(activations, (stock, ours), strict=True)
    ]
    return Table(
        TITLE,
        tuple(
            Row(
                row.name,
                row.seconds,
                row.exactness,
                {
                    RATE: batch_size / (row.median or float('nan')),
                    PEAK: peak / 2**20,
                    OF_STOCK: peak / peaks[0],
                    'activations (MiB)': above / 2**20,
                    'of stock, activations': above / activations[0],
                },
                case,
            )
            for row, peak, above in zip(rows, peaks, activations, strict=True)
        ),
        STOCK,
        OURS,
        notes=_NOTES,
    )


def held_bytes(step: Step) -> int:
    """Return the bytes of weights, buffers, gradients and optimizer state, which stay between steps."""
    model: nn.Module = step.model
    tensors = [*model.parameters(), *model.buffers()]
    tensors += [each.grad for each in model.parameters() if each.grad is not None]
    for state in step.optimizer.state.values():
        tensors += [value for value in state.values() if hasattr(value, 'untyped_storage')]
    return sum(each.numel() * each.element_size() for each in tensors)


def data_part(options: GpuOptions) -> Part:
    """Return the case of the data pipeline, which is computed on the processor."""
    case = f'{options.images} drawn scenes'
    return Part(
        DATA_TITLE,
        case,
        options.seconds + 6 * options.images * _SECONDS_OF_AN_IMAGE,
        partial(_measure_data, options, case),
    )


def _measure_data(options: GpuOptions, case: str) -> Table:
    of_data = data.DataOptions(
        repeats=options.repeats, seconds=options.seconds, images=options.images
    )
    with data.datasets(of_data) as (stock, ours):
        table = data.whole_table(of_data, stock, ours)
    rows = [Row(row.name, row.seconds, row.exactness, row.figures, case) for row in table.rows]
    return Table(DATA_TITLE, tuple(rows), STOCK, OURS, notes=table.notes)
