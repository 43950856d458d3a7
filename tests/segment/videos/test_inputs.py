"""Times that only grow, whatever a file says."""

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('av', reason='PyAV is not installed')

from swinseg.segment.videos.inputs import Clock

TICK = Fraction(1, 1000)


def told_by(times, *, duration=Fraction(1, 25)):
    clock = Clock(TICK)
    return [clock(None if time is None else Fraction(time), duration) for time in times]


@pytest.mark.parametrize(
    ('times', 'expected'),
    [
        ((5, 6, Fraction(13, 2)), [5, 6, Fraction(13, 2)]),
        ((-1, 0, 1), [-1, 0, 1]),
        ((None, None, 1), [0, Fraction(1, 25), 1]),
        ((1, 1, 2), [1, 1 + TICK, 2]),
        ((1, Fraction(999, 1000), 2), [1, 1 + TICK, 2]),
        # A new recording begins.
        ((100, 0, 1), [100, Fraction(2501, 25), Fraction(2526, 25)]),
    ],
)
def test_clock__times_grow(times, expected):
    assert told_by(times) == expected


@given(st.lists(st.none() | st.fractions(-100, 100), max_size=20))
def test_clock__always(times):
    found = told_by(times)
    assert all(a < b for a, b in itertools.pairwise(found))
    told = [time for time in times if time is not None]
    if len(told) == len(times) and all(a < b for a, b in itertools.pairwise(told)):
        assert found == told
