"""Batches: what is computed together, in which order, and when memory runs out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swinseg.inference.window_batches import in_batches


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers())),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from(
        [
            RuntimeError('DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes'),
            torch.cuda.OutOfMemoryError('CUDA out of memory.'),
            MemoryError(),
        ]
    ),
)
def test_in_batches__results_are_in_order_and_batches_alike(items, batch_size, fitting, error):
    sizes = []

    def compute(batch):
        assert len({key for key, _ in batch}) == 1
        if len(batch) > fitting:
            sizes.append(None)
            raise error
        sizes.append(len(batch))
        return [-value for _, value in batch]

    found = list(in_batches(compute, items, key=lambda item: item[0], batch_size=batch_size))
    assert found == [-value for _, value in items]
    assert max([0, *(size for size in sizes if size)]) <= batch_size
    # What did not fit once is not tried again.
    assert sizes.count(None) <= 4


def test_in_batches__takes_no_more_items_than_it_needs():
    taken = []

    def items():
        for number in range(10):
            taken.append(number)
            yield number

    results = in_batches(list, items(), key=lambda item: 0, batch_size=3)
    assert taken == []
    next(results)
    assert taken == [0, 1, 2]


@pytest.mark.parametrize(
    ('error', 'batch_size'),
    [(RuntimeError('shapes do not match'), 4), (MemoryError('out of memory'), 1)],
)
def test_in_batches__other_errors_and_single_items_that_do_not_fit(error, batch_size):
    def compute(batch):
        raise error

    with pytest.raises(type(error), match=str(error)):
        list(in_batches(compute, [1, 2], key=lambda item: 0, batch_size=batch_size))
