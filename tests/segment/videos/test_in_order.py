"""Batches of every so many-th item, and all items in their order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swinseg.segment.videos.video import in_order


@given(count=st.integers(0, 30), stride=st.integers(1, 7), batch_size=st.integers(1, 5))
def test_in_order__every_item_once_with_its_own_result(count, stride, batch_size):
    batches = []

    def double(batch):
        batches.append(list(batch))
        return [2 * item for item in batch]

    found = list(in_order(range(count), double, stride=stride, batch_size=batch_size))
    assert found == [(i, None if i % stride else 2 * i) for i in range(count)]
    assert [item for batch in batches for item in batch] == list(range(0, count, stride))
    assert all(len(batch) == batch_size for batch in batches[:-1])


@pytest.mark.parametrize(('stride', 'batch_size'), [(1, 1), (5, 1), (1, 4), (5, 3)])
def test_in_order__takes_no_more_items_than_it_needs(stride, batch_size):
    taken = []
    items = (taken.append(number) or number for number in range(50))
    pairs = in_order(items, list, stride=stride, batch_size=batch_size)
    for given_out, _ in enumerate(pairs):
        assert len(taken) - given_out <= (batch_size - 1) * stride + 1
