"""Where classes meet, against a loop over pixels and their neighbors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from swinseg.visualization.borders import border_mask


@settings(deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int64]),
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.sampled_from([0, 1, 2, 255]),
    ),
    st.sampled_from([2, 4]),
)
def test_border_mask__is_where_another_class_is_near(labels, width):
    mask = border_mask(labels, width=width)
    assert mask.dtype == np.uint8
    near = width // 2
    for (row, column), found in np.ndenumerate(mask):
        top, left = max(0, row - near), max(0, column - near)
        around = labels[top : row + near + 1, left : column + near + 1]
        assert found == (len(np.unique(around)) > 1)


@pytest.mark.parametrize('width', [1, 2, 3, 5])
def test_border_mask__lines_are_as_wide_as_asked(width):
    labels = np.zeros((20, 20), np.uint8)
    labels[:, 10:] = 7
    np.testing.assert_array_equal(border_mask(labels, width=width).sum(1), width)
    np.testing.assert_array_equal(border_mask(labels.T, width=width).sum(0), width)


def test_border_mask__lines_grow_with_the_picture_and_are_never_lost():
    def width(side):
        labels = np.zeros((side, side), np.uint8)
        labels[side // 2 :] = 1
        return int(border_mask(labels)[:, 0].sum())

    assert [width(side) for side in (2, 50, 512)] == [1, 1, 1]
    assert width(4000) == 10
