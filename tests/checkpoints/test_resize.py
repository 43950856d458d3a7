from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmseg.models.backbones.swin import WindowMSA

import swinseg  # noqa: F401
from swinseg.checkpoints.resize import (
    relative_position_index,
    resize_bias_table,
    resize_position_embedding,
    window_size_of,
)
from swinseg.errors import CheckpointError


@given(st.integers(1, 12))
def test_relative_position_index__equals_mmseg(window):
    expected = WindowMSA(embed_dims=2, num_heads=1, window_size=(window, window))
    assert torch.equal(relative_position_index(window), expected.relative_position_index)


@given(st.integers(1, 12), st.integers(1, 3))
def test_window_size_of__inverts_the_table_size(window, heads):
    assert window_size_of(torch.empty((2 * window - 1) ** 2, heads)) == window


@pytest.mark.parametrize('rows', [4, 7, 170])
def test_window_size_of__no_square_window(rows):
    with pytest.raises(CheckpointError, match=f'one of {rows} rows was found'):
        window_size_of(torch.empty(rows, 2))


def test_resize_bias_table__follows_the_window():
    """Rows stay rows, columns columns, and the middle (no offset) stays in the middle."""
    offset = torch.arange(-6.0, 7.0)
    table = torch.stack([offset[:, None].expand(13, 13), offset[None, :].expand(13, 13)], -1)
    resized = resize_bias_table(table.reshape(169, 2), 23 * 23).view(23, 23, 2)
    rows, columns = resized.unbind(-1)
    torch.testing.assert_close(rows, columns.T)
    torch.testing.assert_close(rows, -rows.flip(0), atol=1e-5, rtol=0)
    torch.testing.assert_close(rows, rows[:, :1].expand(23, 23))
    assert (rows[:, 0].diff() > 0).all()
    # Cell centers keep their place: the new middle row is the old one, the others scale by 13 / 23.
    expected = torch.arange(-11.0, 12.0) * 13 / 23
    torch.testing.assert_close(rows[3:-3, 0], expected[3:-3], atol=0.1, rtol=0)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_resize__same_size_is_the_identity(dtype):
    table = torch.randn(49, 3).to(dtype)
    assert torch.equal(resize_bias_table(table, 49), table)
    embedding = torch.randn(1, 36, 5).to(dtype)
    assert torch.equal(resize_position_embedding(embedding, 36), embedding)


def test_resize_position_embedding__keeps_rows_and_columns():
    rows = torch.arange(8.0)[:, None].expand(8, 8)
    embedding = torch.stack([rows, rows.T], -1).reshape(1, 64, 2)
    resized = resize_position_embedding(embedding, 256).view(16, 16, 2)
    torch.testing.assert_close(resized[..., 0], resized[..., 1].T)
    assert (resized[:, 3, 0].diff() > 0).all()
    # The center of a token keeps its place: new token t lies at t / 2 - 1 / 4.
    expected = torch.arange(16.0) / 2 - 0.25
    torch.testing.assert_close(resized[2:-2, 3, 0], expected[2:-2], atol=0.1, rtol=0)
