"""The measured rate of convolutions."""

import pytest
import torch

from swinseg.benchmark.limit import Shape, best_convolution, best_rate
from swinseg.benchmark.timing import Rounds


def test_shape__multiply_adds():
    assert Shape(3, 4, 5, 10).multiply_adds == 9 * 4 * 5 * 100
    assert Shape(1, 4, 5, 10).multiply_adds == 4 * 5 * 100


def test_best_convolution__rates_follow_from_the_times():
    shapes = [Shape(3, 8, 8, 16), Shape(1, 8, 16, 16)]
    table = best_convolution(torch.float32, rounds=Rounds(most=2), shapes=shapes)
    assert table.cases == [str(shape) for shape in shapes]
    for row, shape in zip(table.rows, [s for s in shapes for _ in range(2)], strict=True):
        rate = row.figures['G multiply-adds/s'] * 1e9
        assert rate == pytest.approx(shape.multiply_adds / min(row.seconds))
    assert best_rate(table) == max(1e9 * row.figures['G multiply-adds/s'] for row in table.rows)
