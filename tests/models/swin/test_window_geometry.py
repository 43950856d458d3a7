"""Windows, masks and indices against mmseg's and against their definitions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmseg.models.backbones.swin import ShiftWindowMSA, WindowMSA

from swinseg.models.swin import window_geometry as geometry


@pytest.mark.parametrize(
    ('size', 'window', 'expected'),
    [((7, 7), 7, (7, 7)), ((1, 8), 7, (7, 14)), ((130, 128), 12, (132, 132))],
)
def test_padded_size(size, window, expected):
    assert geometry.padded_size(size, window) == expected


@given(
    batch=st.integers(1, 3),
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    window=st.integers(1, 5),
    channels=st.integers(1, 3),
)
def test_partition_windows__merge_gives_it_back(batch, rows, columns, window, channels):
    x = torch.rand(batch, rows * window, columns * window, channels)
    windows = geometry.partition_windows(x, window)
    assert windows.shape == (batch * rows * columns, window * window, channels)
    merged = geometry.merge_windows(windows, (rows * window, columns * window), window)
    assert torch.equal(merged, x)


def test_partition_windows__window_is_a_block_of_the_map():
    x = torch.arange(6 * 9).view(1, 6, 9, 1)
    windows = geometry.partition_windows(x, 3)
    assert torch.equal(windows[4].view(3, 3), x[0, 3:6, 3:6, 0])


@pytest.mark.parametrize('window', [1, 2, 7, 12])
def test_relative_position_index__equals_mmseg(window):
    stock = WindowMSA(embed_dims=8, num_heads=2, window_size=(window, window))
    assert torch.equal(geometry.relative_position_index(window), stock.relative_position_index)


@given(rows=st.integers(1, 4), columns=st.integers(1, 4), data=st.data())
def test_shift_mask__allows_exactly_the_pairs_of_one_side(rows, columns, data):
    window = data.draw(st.integers(2, 5))
    shift = data.draw(st.integers(1, window - 1))
    height, width = rows * window, columns * window
    mask = geometry.shift_mask((height, width), window, shift)
    # Each token's own coordinates, rolled as the feature map is; neighbors in a window that the roll
    # brought together from opposite borders are further apart than a window.
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    rolled = torch.roll(torch.stack([y, x], dim=-1)[None], (-shift, -shift), dims=(1, 2))
    position = geometry.partition_windows(rolled, window)
    first, second = position[:, :, None], position[:, None, :]
    # A token belongs to the shifted window whose number is (coordinate + window - shift) // window.
    same_window = ((first + window - shift) // window == (second + window - shift) // window).all(
        -1
    )
    assert torch.equal(mask == 0, same_window)
    assert torch.equal(mask == geometry.MASKED_SCORE, ~same_window)


@given(rows=st.integers(1, 3), columns=st.integers(1, 3), data=st.data())
def test_padding_mask__hides_exactly_the_filled_tokens(rows, columns, data):
    window = data.draw(st.integers(2, 5))
    shift = data.draw(st.integers(1, window - 1))
    size = (rows * window, columns * window)
    mask = geometry.padding_mask(size, window, shift)
    assert mask.shape == ((rows + 1) * (columns + 1), 1, window * window)
    assert int((mask == 0).sum()) == size[0] * size[1]
    assert int(torch.isinf(mask).sum()) == mask.numel() - size[0] * size[1]


def test_mask_on__is_computed_once_for_each_shape():
    like = torch.zeros(1)
    first = geometry.mask_on(geometry.shift_mask, (28, 14), 7, 3, like=like)
    again = geometry.mask_on(geometry.shift_mask, (28, 14), 7, 3, like=like)
    assert first is again
    half = geometry.mask_on(geometry.shift_mask, (28, 14), 7, 3, like=like.half())
    assert half.dtype == torch.float16


def test_mask_on__does_not_grow_with_the_number_of_sizes():
    like = torch.zeros(1)
    for rows in range(1, 40):
        geometry.mask_on(geometry.shift_mask, (7 * rows, 7), 7, 3, like=like)
    info = geometry._cached.cache_info()
    assert info.currsize <= info.maxsize == 16


def test_mask_on__made_under_inference_mode_serves_training():
    with torch.inference_mode():
        geometry.mask_on(geometry.shift_mask, (35, 21), 7, 3, like=torch.zeros(1))
    mask = geometry.mask_on(geometry.shift_mask, (35, 21), 7, 3, like=torch.zeros(1))
    weight = torch.ones(1, requires_grad=True)
    (weight * mask).sum().backward()
    assert weight.grad is not None


def test_shift_mask__equals_the_mask_that_mmseg_applies():
    window, shift, size = 4, 2, (12, 8)
    stock = ShiftWindowMSA(embed_dims=4, num_heads=1, window_size=window, shift_size=shift)
    seen = {}
    stock.w_msa.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.update(kwargs), with_kwargs=True
    )
    stock(torch.zeros(1, size[0] * size[1], 4), size)
    assert torch.equal(geometry.shift_mask(size, window, shift), seen['mask'])
