"""Fused window attention against equation 4 on explicit windows, in double precision; products and cosines."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swinseg.models.swin import window_geometry as geometry
from swinseg.models.swin.fused_attention import attend, windows_per_chunk


def case(*, batch, size, window, shift, heads=2, channels=4, chunk=2, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    tokens, pairs = batch * size[0] * size[1], window**2
    plan = geometry.window_plan(
        batch, size, window, shift, windows_per_chunk=chunk, device=torch.device('cpu')
    )
    bias = draw(1, heads, pairs, pairs)
    if shift:
        masks = geometry.shift_mask((2 * window, 2 * window), window, shift)
        bias = bias + masks[:, None].to(dtype)
    inputs = draw(tokens, 3 * channels), draw(3 * channels), bias
    return inputs, plan, dict(num_heads=heads, scale=0.7)


def reference(qkv, padding, bias, *, batch, size, window, shift, num_heads, scale):
    """Pad, roll, cut, attend and back, each as its own step."""
    height, width = geometry.padded_size(size, window)
    x = padding.expand(batch, height, width, -1).clone()
    x[:, : size[0], : size[1]] = qkv.view(batch, *size, -1)
    x = geometry.partition_windows(torch.roll(x, (-shift, -shift), (1, 2)), window)
    q, k, v = x.view(*x.shape[:2], 3, num_heads, -1).permute(2, 0, 3, 1, 4)
    kinds = torch.zeros(height // window, width // window, dtype=torch.long)
    if shift:
        kinds[-1] += 2
        kinds[:, -1] += 1
    if isinstance(scale, torch.Tensor):  # cosines, each head with a scale
        q, k = (torch.nn.functional.normalize(each, dim=-1) for each in (q, k))
        scale = scale[:, None, None]
    scores = scale * q @ k.transpose(-2, -1) + bias[kinds.flatten()].repeat(batch, 1, 1, 1)
    x = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
    x = geometry.merge_windows(x, (height, width), window)
    return torch.roll(x, (shift, shift), (1, 2))[:, : size[0], : size[1]].reshape(-1, x.shape[-1])


shapes = st.fixed_dictionaries(
    dict(
        batch=st.integers(1, 3),
        size=st.tuples(st.integers(1, 11), st.integers(1, 11)),
        window=st.integers(2, 4),
    )
)


@settings(deadline=None)
@given(shape=shapes, chunk=st.integers(1, 7), data=st.data())
def test_attend__equals_the_single_steps(shape, chunk, data):
    shift = data.draw(st.integers(0, shape['window'] - 1))
    inputs, plan, options = case(**shape, shift=shift, chunk=chunk)
    leaves = list(inputs)
    if data.draw(st.booleans()):
        options['scale'] = torch.tensor([0.5, 20.0], dtype=torch.float64)
        leaves.append(options['scale'])
    for x in leaves:
        x.requires_grad_()
    expected = reference(*inputs, **shape, shift=shift, **options)
    found = attend(*inputs, plan, **options)
    torch.testing.assert_close(found, expected)
    with torch.no_grad():
        assert torch.equal(attend(*inputs, plan, **options), found)
    direction = torch.randn_like(expected)
    gradients = torch.autograd.grad(expected, leaves, direction, allow_unused=True)
    for x, y in zip(torch.autograd.grad(found, leaves, direction), gradients, strict=True):
        torch.testing.assert_close(x, torch.zeros_like(x) if y is None else y)


@pytest.mark.parametrize('shift', [0, 1])
def test_attend__gradcheck(shift):
    inputs, plan, options = case(batch=2, size=(3, 5), window=2, shift=shift)
    if shift:  # the derivative by a masked score is below what differences resolve
        inputs = (*inputs[:2], inputs[2].clamp(min=-3))
    for x in inputs:
        x.requires_grad_()
    assert torch.autograd.gradcheck(lambda *xs: attend(*xs, plan, **options), inputs)


@pytest.mark.parametrize('frozen', [0, 1, 2])
def test_attend__a_frozen_input_changes_no_other_gradient(frozen):
    inputs, plan, options = case(batch=1, size=(5, 4), window=3, shift=1)
    for x in inputs:
        x.requires_grad_()
    attend(*inputs, plan, **options).square().sum().backward()
    detached = [x.detach().clone().requires_grad_(i != frozen) for i, x in enumerate(inputs)]
    attend(*detached, plan, **options).square().sum().backward()
    for i, (x, y) in enumerate(zip(inputs, detached, strict=True)):
        if i == frozen:
            assert y.grad is None
        else:
            torch.testing.assert_close(y.grad, x.grad)


def test_attend__without_bias_and_padding():
    (qkv, padding, bias), plan, options = case(batch=1, size=(4, 6), window=2, shift=0)
    qkv.requires_grad_()
    with_zeros = attend(qkv, torch.zeros_like(padding), torch.zeros_like(bias), plan, **options)
    without = attend(qkv, None, None, plan, **options)
    torch.testing.assert_close(without, with_zeros)
    gradients = [torch.autograd.grad(x.square().sum(), qkv)[0] for x in (with_zeros, without)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_attend__low_precision_stays_within_its_rounding(dtype):
    shape = dict(batch=1, size=(9, 10), window=4, shift=2)
    exact, plan, options = case(**shape)
    low = [x.to(dtype) for x in exact[:2]] + [exact[2].float()]
    for x in (*exact, *low):
        x.requires_grad_()
    direction = torch.randn(90, 4, dtype=torch.float64)
    expected, found = attend(*exact, plan, **options), attend(*low, plan, **options)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, atol=0.05, rtol=0.05)
    expected.backward(direction)
    found.backward(direction.to(dtype))
    for x, y in zip(exact, low, strict=True):
        assert y.grad.dtype == y.dtype
        torch.testing.assert_close(y.grad.double(), x.grad, atol=0.15, rtol=0.05)


def test_attend__keeps_nothing_of_the_size_of_the_scores():
    inputs, plan, options = case(batch=1, size=(40, 40), window=5, shift=2, dtype=torch.float32)
    kept = []
    for x in inputs:
        x.requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        attend(*inputs, plan, **options)
    assert sum(x.numel() for x in kept) == sum(x.numel() for x in inputs)


def test_windows_per_chunk__bounds_the_bytes_but_not_below_four():
    small, large = torch.empty(1, 30), torch.empty(1, 3 * 1024)
    assert windows_per_chunk(large, 144) == max(
        4, torch.get_num_threads() * 2**20 // (144 * 3072 * 4)
    )
    assert windows_per_chunk(small, 49) == torch.get_num_threads() * 2**20 // (49 * 30 * 4)
