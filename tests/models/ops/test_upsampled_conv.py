"""The convolution of an upsampled map against the composition that it replaces."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from swinseg.models.ops import upsampled_conv
from swinseg.models.ops.upsampled_conv import (
    add_upsampled_conv3x3,
    is_cheaper_upsampled,
    pyramid_conv3x3,
    shifted_interpolation,
)

SIDE = st.integers(1, 40)


def channels_last(x):
    return x.contiguous(memory_format=torch.channels_last)


def compose(base, x, weight, *, align_corners):
    resized = F.interpolate(x, size=base.shape[2:], mode='bilinear', align_corners=align_corners)
    return base + F.conv2d(resized, weight, padding=1)


def operands(images, channels, out_channels, size, target, *, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    base = channels_last(draw(images, out_channels, *target))
    return base, draw(images, channels, *size), draw(out_channels, channels, 3, 3)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3),
    st.tuples(SIDE, SIDE),
    st.tuples(SIDE, SIDE),
    st.booleans(),
    st.integers(0, 99),
)
def test_add_upsampled_conv3x3__equals_the_composition(images, size, target, align_corners, seed):
    base, x, weight = operands(images, 5, 3, size, target, seed=seed)
    expected = compose(base, x, weight, align_corners=align_corners)
    found = add_upsampled_conv3x3(base, x, weight, align_corners=align_corners)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert found.data_ptr() == base.data_ptr()


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(('size', 'target'), [((3, 4), (6, 9)), ((5, 2), (4, 7)), ((1, 1), (3, 3))])
def test_add_upsampled_conv3x3__gradcheck(size, target, align_corners):
    base, x, weight = operands(2, 2, 3, size, target)
    leaves = [t.requires_grad_() for t in (base, x, weight)]

    def run(base, x, weight):
        # In place on a copy, as a leaf may not be changed.
        copy = base * 1.0
        return add_upsampled_conv3x3(channels_last(copy), x, weight, align_corners=align_corners)

    assert torch.autograd.gradcheck(run, leaves)


@pytest.mark.parametrize('limit', [1, 700, 2**20])
def test_add_upsampled_conv3x3__bands_of_any_size_agree(limit, monkeypatch):
    base, x, weight = operands(3, 4, 2, (21, 9), (50, 31))
    leaves = [x.requires_grad_(), weight.requires_grad_()]
    expected = compose(base, x, weight, align_corners=False)
    gradient = torch.randn_like(expected)
    monkeypatch.setattr(upsampled_conv, '_LARGEST_MIXED', limit)
    found = add_upsampled_conv3x3(base, x, weight, align_corners=False)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, leaves, gradient),
        torch.autograd.grad(expected, leaves, gradient),
    )


@pytest.mark.parametrize(
    ('dtype', 'tolerance'), [(torch.float32, 3e-6), (torch.bfloat16, 2e-2), (torch.float16, 3e-3)]
)
def test_add_upsampled_conv3x3__is_as_exact_as_its_precision(dtype, tolerance):
    base, x, weight = operands(2, 64, 16, (16, 16), (61, 64))
    expected = compose(base, x, weight, align_corners=False)
    found = add_upsampled_conv3x3(
        channels_last(base.to(dtype)), x.to(dtype), weight.to(dtype), align_corners=False
    )
    assert found.dtype == dtype
    assert (found.double() - expected).abs().max() <= tolerance * expected.abs().max()


def test_add_upsampled_conv3x3__only_the_gradients_that_are_needed():
    base, x, weight = operands(1, 4, 2, (3, 3), (6, 6))
    weight.requires_grad_()
    found = add_upsampled_conv3x3(base, x, weight, align_corners=False)
    found.sum().backward()
    assert weight.grad is not None
    assert x.grad is None


def test_add_upsampled_conv3x3__refuses_other_memory():
    base, x, weight = operands(1, 4, 2, (3, 3), (6, 6))
    with pytest.raises(ValueError, match='channels-last'):
        add_upsampled_conv3x3(base.contiguous(), x, weight, align_corners=False)


def test_shifted_interpolation__fills_with_zeros_at_the_border():
    before, same, after = shifted_interpolation(4, 8, align_corners=False)
    torch.testing.assert_close(same.sum(1), torch.ones(8))
    assert not before[0].any()
    assert not after[-1].any()
    torch.testing.assert_close(before[1:], same[:-1])
    torch.testing.assert_close(after[:-1], same[1:])


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(SIDE, SIDE, st.integers(1, 70)), min_size=1, max_size=4),
    st.booleans(),
    st.booleans(),
)
def test_pyramid_conv3x3__equals_the_concatenation(levels, with_bias, align_corners):
    generator = torch.Generator().manual_seed(len(levels))
    maps = [
        torch.randn(2, channels, height, width, generator=generator, dtype=torch.float64)
        for height, width, channels in levels
    ]
    weight = torch.randn(
        5, sum(x.shape[1] for x in maps), 3, 3, generator=generator, dtype=torch.float64
    )
    bias = torch.randn(5, generator=generator, dtype=torch.float64) if with_bias else None
    resized = [
        F.interpolate(x, size=maps[0].shape[2:], mode='bilinear', align_corners=align_corners)
        for x in maps
    ]
    expected = F.conv2d(torch.cat(resized, 1), weight, bias, padding=1)
    found = pyramid_conv3x3(maps, weight, bias, align_corners=align_corners)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_pyramid_conv3x3__autocast_trains():
    maps = [torch.randn(2, 64, side, side, requires_grad=True) for side in (32, 16, 8)]
    weight = nn.Parameter(torch.randn(16, 192, 3, 3) / 40)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = pyramid_conv3x3(maps, weight, None, align_corners=False)
    assert found.dtype == torch.bfloat16
    expected = pyramid_conv3x3(maps, weight, None, align_corners=False)
    assert (found.float() - expected).abs().max() < 0.03 * expected.abs().max()
    gradient = torch.randn_like(expected)
    leaves = [*maps, weight]
    rough = torch.autograd.grad(found, leaves, gradient.bfloat16())
    for x, y in zip(rough, torch.autograd.grad(expected, leaves, gradient), strict=True):
        assert x.dtype == y.dtype == torch.float32
        assert (x - y).norm() < 0.02 * y.norm()


@pytest.mark.slow
@pytest.mark.parametrize('training', [pytest.param(True, marks=pytest.mark.full), False])
def test_pyramid_conv3x3__compiles_to_one_graph(training):
    maps = [torch.randn(2, 64, s, s + 3, requires_grad=training) for s in (32, 16, 7)]
    weight = torch.randn(8, 192, 3, 3, requires_grad=training)
    compiled = torch.compile(pyramid_conv3x3, backend='aot_eager', fullgraph=True)
    with torch.set_grad_enabled(training):
        found = compiled(maps, weight, None, align_corners=False)
        expected = pyramid_conv3x3(maps, weight, None, align_corners=False)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
    if training:
        gradient, leaves = torch.randn_like(expected), [*maps, weight]
        for x, y in zip(
            torch.autograd.grad(found, leaves, gradient),
            torch.autograd.grad(expected, leaves, gradient),
            strict=True,
        ):
            assert (x - y).norm() < 1e-5 * y.norm()


def test_pyramid_conv3x3__inference_mode_leaves_training_possible():
    maps = [torch.randn(1, 64, side, side) for side in (20, 10)]
    weight = nn.Parameter(torch.randn(8, 128, 3, 3))
    with torch.inference_mode():
        pyramid_conv3x3(maps, weight, None, align_corners=False)
    pyramid_conv3x3(maps, weight, None, align_corners=False).sum().backward()
    assert weight.grad is not None


def test_pyramid_conv3x3__arithmetic_is_linear_in_pixels_and_less_than_plain():
    weight = torch.empty(64, 256, 3, 3, device='meta')
    counts = []
    for side in (64, 256):
        maps = [torch.empty(1, 64, side // s, side // s, device='meta') for s in (1, 2, 4, 8)]
        with FlopCounterMode(display=False) as counter:
            pyramid_conv3x3(maps, weight, None, align_corners=False)
        counts.append(counter.get_total_flops())
        plain = 2 * 9 * 256 * 64 * side**2
        assert counts[-1] < 0.6 * plain
    assert counts[1] == pytest.approx(16 * counts[0], rel=0.1)


def test_is_cheaper_upsampled__cases():
    assert is_cheaper_upsampled(512, (64, 64), (128, 128))
    assert is_cheaper_upsampled(512, (1, 1), (16, 16))
    assert not is_cheaper_upsampled(512, (128, 127), (128, 128))
    assert not is_cheaper_upsampled(512, (128, 128), (64, 64))
    assert not is_cheaper_upsampled(16, (64, 64), (128, 128))
