"""The rise of resident memory, against what is allocated."""

import sys

import pytest
import torch

from swinseg.inference.memory import resident_peak_bytes


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='only Linux tells')
def test_resident_peak__sees_memory_that_is_gone_afterwards():
    def call():
        torch.ones(64 * 2**18)  # 64 MiB, freed at once

    call()
    risen = resident_peak_bytes(call)
    if risen is None:
        pytest.skip('this kernel does not reset the peak')
    assert 60 * 2**20 < risen < 80 * 2**20
    assert resident_peak_bytes(lambda: None) < 10 * 2**20


def test_resident_peak__errors_of_the_call_come_through():
    def call():
        raise OSError('the disk')

    with pytest.raises(OSError, match='the disk'):
        resident_peak_bytes(call)
