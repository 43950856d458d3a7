"""Resizing of what depends on a window, or on the size or the bands of the images of the training.

Shapes: table (2w-1)^2 x heads for a window of w x w tokens; position embedding 1 x N x C for N tokens; kernel of
the patch embedding C x bands x P x P for patches of P x P pixels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from swinseg.errors import CheckpointError

# Published models have windows of up to 24 tokens; the index of pairs grows with the fourth power.
_LARGEST_WINDOW = 64


def window_size_of(table: Tensor) -> int:
    """Return w for a relative position bias table of shape ((2w-1)^2, heads).

    Raises:
        CheckpointError: the table belongs to no square window.
    """
    rows = table.shape[0] if table.dim() else 0
    side = math.isqrt(rows)
    if side * side != rows or side % 2 == 0 or side > 2 * _LARGEST_WINDOW - 1:
        raise CheckpointError(
            f'a relative position bias table has (2w-1)^2 rows for a window of w x w tokens, up to '
            f'{_LARGEST_WINDOW} x {_LARGEST_WINDOW}, but one of {rows} rows was found; '
            'only square windows are supported'
        )
    return (side + 1) // 2


def relative_position_index(window_size: int) -> Tensor:
    """Return the row of the bias table for every pair of tokens of a window.

    Args:
        window_size: w, in tokens.

    Returns:
        (w*w, w*w) int64, values in [0, (2w-1)^2): entry (a, b) is for query token a and key token b, both
        counted row by row (Liu et al. 2021, section 3.2).
    """
    row, column = torch.meshgrid(
        torch.arange(window_size), torch.arange(window_size), indexing='ij'
    )
    code = (row * (2 * window_size - 1) + column).flatten()
    # code is linear in (row, column), so the last token's code shifts every difference to start at 0.
    return code[:, None] - code[None, :] + code[-1]


def resize_bias_table(table: Tensor, rows: int) -> Tensor:
    """Resize a relative position bias table bicubically to another window, as the official code and mmseg do.

    Args:
        table: ((2w-1)^2, heads) float.
        rows: (2v-1)^2, the rows of the table wanted.

    Returns:
        (rows, heads) in the dtype of ``table``.
    """
    side, new_side = math.isqrt(table.shape[0]), math.isqrt(rows)
    grid = table.T.reshape(1, -1, side, side)
    return _bicubic(grid, new_side, new_side).reshape(-1, rows).T.contiguous()


def resize_position_embedding(embedding: Tensor, tokens: int) -> Tensor:
    """Resize an absolute position embedding of a square image bicubically to another square image.

    Args:
        embedding: (1, N, C) float, N a square number.
        tokens: the number of tokens wanted, a square number.

    Returns:
        (1, tokens, C) in the dtype of ``embedding``.
    """
    side, new_side = math.isqrt(embedding.shape[1]), math.isqrt(tokens)
    grid = embedding.transpose(1, 2).reshape(1, -1, side, side)
    return _bicubic(grid, new_side, new_side).flatten(2).transpose(1, 2).contiguous()


def inflate_kernel(kernel: Tensor, bands: int) -> Tensor:
    """Make a kernel for images of other bands of one for colors, as timm's ``adapt_input_conv`` does.

    The kernels of red, green and blue are taken in turn, and scaled by old bands / new bands, so that activations
    keep their size where bands are alike; those of a single band are the sum, which is what a gray image gave.

    Args:
        kernel: (C, 3, P, P) float.
        bands: of the images, from 1 on.

    Returns:
        (C, bands, P, P) in the dtype of ``kernel``.
    """
    if bands == 1:
        return kernel.sum(dim=1, keepdim=True)
    taken = torch.arange(bands, device=kernel.device) % kernel.shape[1]
    return kernel[:, taken] * (kernel.shape[1] / bands)


def is_square(number: int) -> bool:
    """Whether ``number`` is the square of an integer."""
    return math.isqrt(number) ** 2 == number


def _bicubic(grid: Tensor, height: int, width: int) -> Tensor:
    resized = F.interpolate(grid.float(), size=(height, width), mode='bicubic', align_corners=False)
    return resized.to(grid.dtype)
