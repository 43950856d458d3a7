"""The limit: how many multiply-adds a second this machine's best convolution does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from swinseg.benchmark.results import Row, Table
from swinseg.benchmark.timing import Call, Rounds, time_in_turn, with_device_sync


@dataclass(frozen=True)
class Shape:
    """A convolution without a stride, from ``inputs`` to ``outputs`` channels on ``side`` x ``side`` pixels."""

    kernel: int
    inputs: int
    outputs: int
    side: int

    @property
    def multiply_adds(self) -> int:
        """How many it takes; products with the zero padding count, as everywhere here."""
        return self.kernel**2 * self.inputs * self.outputs * self.side**2

    def __str__(self) -> str:
        size = f'{self.kernel} x {self.kernel}, {self.inputs} to {self.outputs} channels'
        return f'{size}, {self.side} x {self.side} pixels'


SHAPES = (
    Shape(3, 512, 512, 64),
    Shape(3, 256, 256, 64),
    Shape(3, 64, 64, 256),
    Shape(1, 512, 512, 128),
    Shape(1, 1024, 1024, 64),
    Shape(1, 2048, 512, 64),
)
"""Large enough to keep all cores busy, of the kinds that the model has."""


def best_convolution(
    dtype: torch.dtype,
    *,
    device: str = 'cpu',
    rounds: Rounds,
    shapes: Sequence[Shape] = SHAPES,
) -> Table:
    """Measure convolutions of several shapes in both memory layouts.

    Args:
        dtype: of images and weights.
        device: where.
        rounds: how often.
        shapes: what to measure.

    Returns:
        A table with ``'G multiply-adds/s'`` for each; :func:`best_rate` takes the highest.
    """
    names: list[tuple[str, Shape]] = []
    calls: list[Call] = []
    for shape in shapes:
        for layout, memory_format in (
            ('rows of one channel', torch.contiguous_format),
            ('channels last', torch.channels_last),
        ):
            image = torch.randn(1, shape.inputs, shape.side, shape.side)
            weight = torch.randn(shape.outputs, shape.inputs, shape.kernel, shape.kernel)
            image, weight = (
                x.to(device, dtype).contiguous(memory_format=memory_format) for x in (image, weight)
            )
            names.append((layout, shape))
            calls.append(with_device_sync(_convolution(image, weight), device))
    with torch.inference_mode():
        for call in calls:
            call()
        timings = time_in_turn(calls, rounds)
    rows = []
    for (layout, shape), seconds in zip(names, timings, strict=True):
        # The shortest time: the peak is what the machine can do when nothing disturbs it.
        rate = shape.multiply_adds / min(seconds) / 1e9
        rows.append(Row(layout, tuple(seconds), figures={RATE: rate}, case=str(shape)))
    return Table(f'Convolutions, {str(dtype).removeprefix("torch.")}', tuple(rows))


RATE = 'G multiply-adds/s'


def best_rate(table: Table) -> float:
    """Return the multiply-adds a second of the fastest row."""
    return 1e9 * max(row.figures[RATE] for row in table.rows)


def _convolution(image: torch.Tensor, weight: torch.Tensor) -> Call:
    return lambda: F.conv2d(image, weight, padding=weight.shape[-1] // 2)
