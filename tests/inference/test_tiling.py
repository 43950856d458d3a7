"""Where windows stand, how they count, and which pixels are final after which."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swinseg.inference.tiling import (
    BLENDS,
    LEAST_WEIGHT,
    Band,
    axis_weights,
    bands,
    final_ends,
    weight_sums,
    window_starts,
)


@st.composite
def axes(draw):
    window = draw(st.integers(1, 40))
    return draw(st.integers(1, 150)), window, draw(st.integers(1, window))


@pytest.mark.parametrize(
    ('length', 'window', 'stride', 'expected'),
    [
        (10, 4, 3, [0, 3, 6]),
        (11, 4, 3, [0, 3, 6, 7]),
        (12, 4, 4, [0, 4, 8]),
        (13, 4, 4, [0, 4, 8, 9]),
        (5, 4, 1, [0, 1]),
        (4, 4, 3, [0]),
        (3, 4, 3, [0]),
        (1, 1, 1, [0]),
        (2048, 512, 341, [0, 341, 682, 1023, 1364, 1536]),
    ],
)
def test_window_starts__table(length, window, stride, expected):
    assert window_starts(length, window, stride) == expected


@given(axes())
def test_window_starts__equal_mmsegs(axis):
    length, window, stride = axis
    expected = []
    for i in range(max(length - window + stride - 1, 0) // stride + 1):
        end = min(i * stride + window, length)
        expected.append(max(end - window, 0))
    assert window_starts(length, window, stride) == expected


@pytest.mark.parametrize(
    ('height', 'window', 'stride', 'expected'),
    [
        (3, 4, 3, [Band((0,), 3, 3)]),
        (10, 4, 3, [Band((0,), 4, 3), Band((3,), 7, 6), Band((6,), 10, 10)]),
        # The last window overlaps the one above it by three rows instead of one.
        (11, 4, 3, [Band((0,), 4, 3), Band((3,), 7, 6), Band((6, 7), 11, 11)]),
        (5, 4, 3, [Band((0, 1), 5, 5)]),
    ],
)
def test_bands__table(height, window, stride, expected):
    assert bands(height, window, stride) == expected


@given(axes())
def test_bands__hand_on_each_row_once_and_keep_no_more_than_the_overlap(axis):
    height, window, stride = axis
    found = bands(height, window, stride)
    assert [top for band in found for top in band.tops] == window_starts(*axis)
    assert [band.top for band in found] == [0, *(band.final for band in found[:-1])]
    assert found[-1].final == found[-1].bottom == height
    assert all(band.bottom - band.final == window - stride for band in found[:-1])


@given(axes())
def test_final_ends__no_later_window_reaches_back(axis):
    starts = window_starts(*axis)
    ends = final_ends(starts, axis[0])
    assert ends[-1] == axis[0]
    for i, end in enumerate(ends[:-1]):
        assert starts[i] < end == min(starts[i + 1 :])


@pytest.mark.parametrize('blend', BLENDS)
@pytest.mark.parametrize('size', [1, 2, 7, 512])
def test_axis_weights__are_symmetrical_and_bounded_away_from_zero(blend, size):
    weights = axis_weights(blend, size)
    assert weights.shape == (size,)
    assert weights.min() >= LEAST_WEIGHT
    assert weights.max() <= 1
    torch.testing.assert_close(weights, weights.flip(0))
    if size == 512 and blend != 'uniform':
        assert weights[0] == LEAST_WEIGHT
        assert weights[256] > 0.999


def test_axis_weights__unknown_blend():
    with pytest.raises(ValueError, match='uniform, gaussian, hann'):
        axis_weights('linear', 4)


@given(axes())
def test_weight_sums__count_the_windows(axis):
    length, window, stride = axis
    starts = window_starts(length, window, stride)
    sums = weight_sums(starts, axis_weights('uniform', min(window, length)), length)
    expected = [sum(start <= x < start + window for start in starts) for x in range(length)]
    assert sums.tolist() == expected
    assert min(expected) > 0
