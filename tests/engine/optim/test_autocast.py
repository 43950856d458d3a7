"""Mixed precision on any device."""

from __future__ import annotations

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from swinseg.engine import AutocastOptimWrapper, ConfigError
from swinseg.engine.optim import autocast


def _wrapper(model: nn.Module, kind: type[OptimWrapper] = AutocastOptimWrapper) -> OptimWrapper:
    return kind(optimizer=torch.optim.SGD(model.parameters(), lr=0.1))


def test_optim_context__computes_in_bfloat16_and_keeps_float32_weights():
    model = nn.Linear(4, 3)
    wrapper = _wrapper(model)
    before = model.weight.detach().clone()
    with wrapper.optim_context(model):
        output = model(torch.ones(2, 4))
    assert output.dtype is torch.bfloat16
    wrapper.update_params(output.float().sum())
    assert model.weight.dtype is torch.float32
    assert not torch.equal(model.weight, before)


def test_optim_context__ends_with_the_forward_pass():
    model = nn.Linear(4, 3)
    wrapper = _wrapper(model)
    with wrapper.optim_context(model):
        pass
    assert model(torch.ones(2, 4)).dtype is torch.float32


def test_update_params__is_the_step_of_the_rounded_forward_pass():
    torch.manual_seed(0)
    ours, reference = nn.Linear(4, 3), nn.Linear(4, 3)
    reference.load_state_dict(ours.state_dict())
    inputs = torch.rand(2, 4)
    wrapper = _wrapper(ours)
    with wrapper.optim_context(ours):
        loss = ours(inputs).float().square().sum()
    wrapper.update_params(loss)
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.1)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = reference(inputs).float().square().sum()
    loss.backward()
    optimizer.step()
    assert torch.equal(ours.weight, reference.weight)


@pytest.mark.parametrize('kind', [AutocastOptimWrapper, OptimWrapper])
def test_update_params__accumulates_and_clips_the_whole_gradient_once(kind):
    torch.manual_seed(0)
    ours, reference = nn.Linear(4, 3), nn.Linear(4, 3)
    reference.load_state_dict(ours.state_dict())
    parts = torch.rand(2, 5, 4)
    wrapper = kind(
        optimizer=torch.optim.SGD(ours.parameters(), lr=0.1),
        accumulative_counts=2,
        clip_grad=dict(max_norm=0.5),
    )
    total = 0.0
    for part in parts:
        with wrapper.optim_context(ours):
            loss = ours(part).float().square().mean()
        wrapper.update_params(loss)
        with torch.autocast('cpu', dtype=torch.bfloat16, enabled=kind is AutocastOptimWrapper):
            total = total + reference(part).float().square().mean() / 2
    total.backward()
    norm = torch.nn.utils.clip_grad_norm_(reference.parameters(), 0.5)
    assert norm > 0.5  # so that clipping each part would show
    torch.optim.SGD(reference.parameters(), lr=0.1).step()
    torch.testing.assert_close(ours.weight, reference.weight, rtol=1e-2, atol=2e-4)


def test_init__refuses_float16_which_needs_scaling():
    model = nn.Linear(4, 3)
    with pytest.raises(
        ConfigError, match=r"must be 'bfloat16' .* got 'float16'; .*AmpOptimWrapper"
    ):
        AutocastOptimWrapper(dtype='float16', optimizer=torch.optim.SGD(model.parameters(), lr=0.1))


@pytest.mark.parametrize('has', [False, True])
def test_auto__takes_bfloat16_where_there_are_instructions_for_it(monkeypatch, has):
    monkeypatch.setattr(autocast, 'computes_bfloat16', lambda device: has)
    model = nn.Linear(2, 2)
    for dtype, is_used in (('auto', has), ('bfloat16', True)):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with AutocastOptimWrapper(dtype=dtype, optimizer=optimizer).optim_context(model):
            found = model(torch.ones(1, 2)).dtype
        assert found == (torch.bfloat16 if is_used else torch.float32)
