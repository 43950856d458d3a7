"""Copies that a GPU's host does not wait for."""

import pytest
import torch

from support.fake_device import FakeDevice
from swinseg.transfers import gains_by_pinning, to_device


@pytest.mark.parametrize(
    ('device', 'expected'),
    [('cpu', False), ('cuda', True), ('cuda:1', True), ('mps', False), ('meta', False)],
)
def test_gains_by_pinning(device, expected):
    assert gains_by_pinning(device) is gains_by_pinning(torch.device(device)) is expected


@pytest.mark.parametrize('name', ['cuda:0', 'mps'])
@pytest.mark.parametrize('dtype', [None, torch.float32, torch.float16])
def test_to_device__has_the_values_and_waits_only_where_nothing_is_pinned(name, dtype):
    x = torch.arange(12.0).reshape(3, 4).T
    with FakeDevice(name) as device:
        there = to_device(x, device.device, dtype)
        assert to_device(there, device.device, dtype) is there
    assert there.device == device.device
    assert torch.equal(there.held, x.to(dtype or torch.float32))
    copies = [device.copies.total(), device.waits.total()]
    assert copies == ([1, 0] if name == 'cuda:0' else [0, 1])


def test_to_device__costs_a_cpu_nothing():
    x = torch.zeros(3)
    assert to_device(x, x.device) is x
    assert to_device(x, x.device, torch.float16).dtype == torch.float16
