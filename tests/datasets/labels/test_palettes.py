import numpy as np
import pytest

from swinseg.datasets.labels.palettes import distinct_colors


def test_distinct_colors__differ_and_are_bytes():
    colors = distinct_colors(255)
    assert len({tuple(color) for color in colors}) == 255
    assert all(0 <= channel <= 255 and type(channel) is int for c in colors for channel in c)
    assert [0, 0, 0] not in colors


@pytest.mark.parametrize('count', [0, 1, 11])
def test_distinct_colors__do_not_depend_on_the_count(count):
    assert distinct_colors(count) == distinct_colors(40)[:count]


def test_distinct_colors__the_first_twenty_are_far_apart():
    colors = np.array(distinct_colors(20))
    distance = np.abs(colors[:, None] - colors[None]).sum(axis=2) + 999 * np.eye(20, dtype=int)
    assert distance.min() >= 70
