"""Batch normalization over processes: the figures of PyTorch's on the whole batch."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import distributed, nn

from support import processes
from swinseg.engine.distributed.launch import join
from swinseg.models.ops.sync_batch_norm import SyncBatchNorm, convert_sync_batch_norm

# Another number of images per process; what a pyramid pools to one pixel, from one image.
CASES = {
    'maps': ((5, 3, 4, 6), (1, 4), torch.float64),
    'single pixels': ((2, 3, 1, 1), (1, 1), torch.float64),
    'rows': ((6, 3), (2, 4), torch.float64),
    'far from zero': ((4, 3, 5, 5), (2, 2), torch.float32),
    'half precision': ((4, 3, 8, 8), (2, 2), torch.bfloat16),
}


def _layer(momentum: float | None) -> nn.BatchNorm2d:
    torch.manual_seed(3)
    layer = nn.BatchNorm2d(3, eps=1e-3, momentum=momentum)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    return layer


def _data(case: str) -> tuple[torch.Tensor, torch.Tensor]:
    shape, _, dtype = CASES[case]
    generator = torch.Generator().manual_seed(4)
    x, target = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    return (x + 1000 if case == 'far from zero' else x).to(dtype), target.to(dtype)


def _step(layer: nn.Module, x: torch.Tensor, target: torch.Tensor) -> dict[str, torch.Tensor]:
    x = x.clone().requires_grad_()
    y = layer(x)
    (y.double() * target.double()).sum().backward()
    assert x.grad is not None
    return {'y': y.detach(), 'x.grad': x.grad}


def _together(case: str, momentum: float | None) -> dict[str, torch.Tensor]:
    join('pytorch')
    _, sizes, dtype = CASES[case]
    layer = convert_sync_batch_norm(nn.Sequential(_layer(momentum)), torch.device('cpu'))[0]
    assert isinstance(layer, SyncBatchNorm)
    if dtype == torch.float64:
        layer.double()
    rank = distributed.get_rank()
    x, target = (part.split(sizes)[rank] for part in _data(case))
    result = {}
    for _ in range(2):
        result = _step(layer, x, target)
    result |= {name: p.grad for name, p in layer.named_parameters()}
    return result | dict(layer.named_buffers())


@pytest.mark.slow
@pytest.mark.parametrize('momentum', [0.1, None])
@pytest.mark.parametrize('case', CASES)
def test_forward__equals_that_of_the_whole_batch(tmp_path, case, momentum):
    shape, sizes, dtype = CASES[case]
    parts = processes.values(processes.run(_together, case, momentum, count=2, folder=tmp_path))
    layer = _layer(momentum).double()
    if len(shape) == 2:
        layer.__class__ = nn.BatchNorm1d
    x, target = (part.double() for part in _data(case))
    for _ in range(2):
        whole = _step(layer, x, target)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-3, torch.bfloat16: 3e-2}[dtype]
    for name in ('y', 'x.grad'):
        joined = torch.cat([part[name] for part in parts])
        assert joined.dtype == dtype
        torch.testing.assert_close(joined.double(), whole[name], rtol=tolerance, atol=tolerance)
    for name, parameter in layer.named_parameters():
        total = sum(part[name].double() for part in parts)
        torch.testing.assert_close(total, parameter.grad, rtol=tolerance, atol=tolerance)
    for name, buffer in layer.named_buffers():
        for part in parts:
            torch.testing.assert_close(part[name].to(buffer.dtype), buffer, rtol=1e-5, atol=1e-5)
        assert torch.equal(parts[0][name], parts[1][name])
    del sizes


def test_synchronize__keeps_names_weights_and_what_is_no_batch_norm():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.GroupNorm(1, 3))
    model.append(nn.Sequential(nn.SyncBatchNorm(3), nn.BatchNorm2d(3, affine=False)))
    before, weight = copy.deepcopy(model.state_dict()), model[1].weight
    result = convert_sync_batch_norm(model.eval(), torch.device('cpu'))
    assert result is model
    kinds = [type(layer) for layer in [*model[1:3], *model[3]]]
    assert kinds == [SyncBatchNorm, nn.GroupNorm, SyncBatchNorm, nn.BatchNorm2d]
    assert model[1].weight is weight
    assert not model[1].training
    assert list(model.state_dict()) == list(before)
    x = torch.randn(2, 3, 4, 4)
    expected = copy.deepcopy(model)
    expected[1], expected[3][0] = nn.BatchNorm2d(3).eval(), nn.BatchNorm2d(3).eval()
    torch.testing.assert_close(model(x), expected.eval()(x))


def test_forward__alone_is_batch_norm_of_pytorch():
    layer = SyncBatchNorm.like(_layer(0.1))
    x = torch.randn(2, 3, 4, 4)
    expected = _layer(0.1)
    torch.testing.assert_close(layer(x), expected(x), rtol=0, atol=0)
    assert torch.equal(layer.running_var, expected.running_var)
    with pytest.raises(ValueError, match=r'takes \(N, C, \.\.\.\), not \(3,\)'):
        layer(torch.randn(3))
