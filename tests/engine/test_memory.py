"""Bytes that a forward pass keeps, counted by hand, and allocations that fail."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from swinseg.engine import TrainingError
from swinseg.engine.memory import ActivationMeter, memory_advice


def test_meter__counts_what_the_backward_pass_needs():
    model = nn.Sequential(nn.Linear(8, 16), nn.Sigmoid(), nn.Linear(16, 4))
    inputs = torch.rand(5, 8)
    meter = ActivationMeter(model)
    with meter.measuring():
        output = model(inputs)
        # Kept: the input of each layer, once, and no weight; the sigmoid's output is the next layer's input.
        assert meter.peak == 4 * (5 * 8 + 5 * 16)
        output.sum().backward()
        model(inputs).sum().backward()
    assert meter.peak == 4 * (5 * 8 + 5 * 16)  # the first pass's were let go before the second


def test_meter__leaves_gradients_as_they_are():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.GELU(), nn.Conv2d(8, 2, 1))
    inputs = torch.rand(2, 3, 9, 9)
    gradients = []
    for measured in (False, True):
        model.zero_grad()
        if measured:
            with ActivationMeter(model).measuring():
                model(inputs).square().mean().backward()
        else:
            model(inputs).square().mean().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_advice__for_an_allocation_that_fails():
    with (
        pytest.raises(
            TrainingError, match=r"batch_size with effective_batch='accumulation', --amp"
        ),
        memory_advice(),
    ):
        torch.empty(2**60, dtype=torch.uint8)


def test_advice__leaves_other_errors_alone():
    with pytest.raises(RuntimeError, match='shapes cannot be multiplied'), memory_advice():
        torch.ones(2, 3) @ torch.ones(2, 3)
