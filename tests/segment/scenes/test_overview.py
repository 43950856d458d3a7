"""The areas of labels that come in pieces, and their coarse view."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from swinseg.segment.scenes.overview import _survey

sizes = st.integers(1, 30)


@given(st.data(), sizes, sizes)
def test_survey__does_not_depend_on_the_pieces(data, height, width):
    labels = data.draw(arrays.arrays(np.uint8, (height, width), elements=st.integers(0, 255)))
    small = data.draw(st.tuples(st.integers(1, height), st.integers(1, width)))
    cuts = sorted(data.draw(st.sets(st.integers(1, height))) - {height})
    counts, view = _survey(np.split(labels, cuts), (height, width), small, 255)
    np.testing.assert_array_equal(counts, np.bincount(labels.ravel(), minlength=256))
    rows = [int((i + 0.5) * height / small[0]) for i in range(small[0])]
    columns = [int((i + 0.5) * width / small[1]) for i in range(small[1])]
    np.testing.assert_array_equal(view, labels[np.ix_(rows, columns)])
