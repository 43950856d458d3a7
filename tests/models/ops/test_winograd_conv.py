"""Winograd's convolution against the direct one."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from swinseg.models.ops import winograd_conv
from swinseg.models.ops.winograd_conv import (
    EXACT,
    FAST,
    conv3x3,
    convolve,
    is_large_enough,
    pays,
    transform_kernel,
    transforms,
)

SIDE = st.integers(1, 30)
both_sizes = pytest.mark.parametrize('outputs', [EXACT, FAST])


@pytest.fixture
def always_winograd(monkeypatch):
    monkeypatch.setattr(winograd_conv, 'pays', lambda x, out_channels: True)


def operands(images, channels, out_channels, size, *, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(images, channels, *size, generator=generator, dtype=torch.float64)
    weight = torch.randn(out_channels, channels, 3, 3, generator=generator, dtype=torch.float64)
    bias = torch.randn(out_channels, generator=generator, dtype=torch.float64)
    return x.to(dtype), weight.to(dtype), bias.to(dtype)


@both_sizes
def test_transforms__filter_a_line(outputs):
    a_t, g, b_t = transforms(outputs, torch.float64)
    line, kernel = torch.randn(outputs + 2, dtype=torch.float64), torch.randn(3).double()
    expected = torch.stack([line[i : i + 3] @ kernel for i in range(outputs)])
    torch.testing.assert_close(a_t @ ((g @ kernel) * (b_t @ line)), expected)


@both_sizes
@settings(max_examples=50, deadline=None)
@given(st.integers(1, 2), st.tuples(SIDE, SIDE), st.booleans(), st.booleans(), st.integers(1, 80))
def test_convolve__equals_the_direct_sum(outputs, images, size, with_bias, relu, tiles):
    x, weight, bias = operands(images, 5, 3, size)
    expected = F.conv2d(x, weight, bias if with_bias else None, padding=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd_conv, '_TILES', tiles)
        kernel = transform_kernel(weight, outputs)
        found = convolve(x, kernel, bias if with_bias else None, relu=relu)
    torch.testing.assert_close(found, expected.relu() if relu else expected)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_convolve__keeps_single_precision():
    x, weight, bias = operands(1, 256, 64, (48, 48), dtype=torch.float32)
    exact = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    found = convolve(x, transform_kernel(weight), bias)
    # The direct sum's own error is about 1e-6 of the largest output.
    assert (found - exact).abs().max() < 6e-6 * exact.abs().max()


def test_convolve__large_tiles_lose_nothing_that_half_precision_keeps():
    x, weight, bias = operands(1, 256, 64, (48, 48), dtype=torch.float32)
    exact = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    found = convolve(x, transform_kernel(weight, FAST), bias)
    # Half a unit in the last place of bfloat16 is 2e-3; found here: up to 2.01e-4, which differs among processors.
    assert (found - exact).abs().max() < 4e-4 * exact.abs().max()


@both_sizes
@pytest.mark.parametrize('relu', [False, True])
def test_convolve__half_precision_is_rounded_once(relu, outputs):
    x, weight, bias = operands(2, 64, 24, (21, 30), dtype=torch.float32)
    kernel, x = transform_kernel(weight, outputs), x.bfloat16()
    found = convolve(x, kernel, bias, relu=relu)
    assert torch.equal(found, convolve(x.float(), kernel, bias, relu=relu).bfloat16())


@pytest.mark.parametrize('size', [(4, 5), (1, 1), (7, 6)])
def test_conv3x3__gradcheck(size, always_winograd):
    leaves = [t.requires_grad_() for t in operands(2, 3, 2, size)]
    assert torch.autograd.gradcheck(conv3x3, leaves)


def test_conv3x3__gradients_in_single_precision(always_winograd):
    leaves = [t.requires_grad_() for t in operands(2, 64, 96, (40, 36), dtype=torch.float32)]
    doubles = [t.detach().double().requires_grad_() for t in leaves]
    expected = F.conv2d(*doubles, padding=1)
    gradient = torch.randn_like(expected)
    exact = torch.autograd.grad(expected, doubles, gradient)
    found = torch.autograd.grad(conv3x3(*leaves), leaves, gradient.float())
    for x, y in zip(found, exact, strict=True):
        assert (x - y).norm() < 1e-5 * y.norm()


def test_conv3x3__only_the_gradients_that_are_needed(always_winograd):
    x, weight, _ = operands(1, 3, 2, (5, 5))
    weight.requires_grad_()
    conv3x3(x, weight, None).sum().backward()
    assert weight.grad is not None
    assert x.grad is None


def test_conv3x3__inference_mode_leaves_training_possible(always_winograd):
    x, weight, bias = operands(1, 3, 2, (5, 5))
    transforms.cache_clear()
    with torch.inference_mode():
        conv3x3(x, weight, bias)
    conv3x3(x, weight.requires_grad_(), bias).sum().backward()
    assert weight.grad is not None


def test_pays__where_digits_and_tiles_suffice():
    x = torch.empty(1, 128, 64, 64)
    assert pays(x, 128)
    assert not pays(x, 32)
    assert not pays(x[:, :32], 128)
    assert not pays(x[:, :, :4], 128)
    assert not pays(x.bfloat16(), 128)
    assert not pays(x.to('meta'), 128)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert not pays(x, 128)


def test_is_large_enough__counts_tiles():
    x = torch.empty(1, 64, 64, 64, device='meta')
    assert is_large_enough(x, 64, FAST)
    assert not is_large_enough(x[:, :, :56], 64, FAST)
    assert is_large_enough(x[:, :, :56], 64, EXACT)
