"""Where the tokens of an attention window come from: pure functions of sizes, no parameters.

Shapes: B images, H x W tokens, C channels, M the window's side, N = M * M tokens per window, nW windows
per image in row-major order. Feature maps are (B, H, W, C).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

# Added to the scores of token pairs that must not attend to each other. The official code and mmseg use
# this finite value, and the numbers of a trained model depend on it in the last digits.
MASKED_SCORE = -100.0

# A mask of a very large image is computed when it is needed: a few of them would fill the memory.
_LARGEST_CACHED_MASK = 16 * 2**20  # elements: 64 MB in float32


def padded_size(size: tuple[int, int], window: int) -> tuple[int, int]:
    """Return (height, width) rounded up to multiples of ``window``."""
    height, width = size
    return -(-height // window) * window, -(-width // window) * window


def partition_windows(x_BHWC: Tensor, window: int) -> Tensor:
    """Cut a feature map into windows.

    Args:
        x_BHWC: (B, H, W, C) with H and W multiples of ``window``.
        window: side M of a window.

    Returns:
        (B * nW, N, C); image by image, windows and tokens in row-major order.
    """
    batch, height, width, channels = x_BHWC.shape
    x = x_BHWC.view(batch, height // window, window, width // window, window, channels)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, window * window, channels)


def merge_windows(windows: Tensor, size: tuple[int, int], window: int) -> Tensor:
    """Put windows back into a feature map; the inverse of :func:`partition_windows`.

    Args:
        windows: (B * nW, N, C).
        size: (H, W) of the feature map, multiples of ``window``.
        window: side M of a window.

    Returns:
        (B, H, W, C).
    """
    height, width = size
    channels = windows.shape[-1]
    x = windows.view(-1, height // window, width // window, window, window, channels)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, height, width, channels)


def relative_position_index(window: int) -> Tensor:
    """Return which row of the bias table belongs to each pair of tokens of a window.

    The table has (2M - 1)^2 rows, one for each difference of positions (Liu et al. 2021, section 3.2).

    Returns:
        (N, N) int64: entry (i, j) = (y_i - y_j + M - 1) * (2M - 1) + (x_i - x_j + M - 1).
    """
    position = torch.arange(window)
    y, x = (axis.flatten() for axis in torch.meshgrid(position, position, indexing='ij'))
    dy = y[:, None] - y[None, :] + window - 1
    dx = x[:, None] - x[None, :] + window - 1
    return dy * (2 * window - 1) + dx


def shift_mask(size: tuple[int, int], window: int, shift: int) -> Tensor:
    """Return the scores that keep a cyclically shifted window from mixing opposite borders of the image.

    After the roll by ``-shift`` the windows of the last row (column) hold tokens of the bottom (right)
    and of the top (left) border; only tokens of one side may attend to each other (Fig. 4 of the paper).

    Args:
        size: (H, W) of the padded feature map, multiples of ``window``.
        window: side M of a window.
        shift: 0 < shift < window.

    Returns:
        (nW, N, N) float32, 0 where attention is allowed and ``MASKED_SCORE`` where it is not.
    """

    def side(length: int) -> Tensor:
        rolled = torch.arange(length)
        return (rolled >= length - window).int() + (rolled >= length - shift).int()

    height, width = size
    region_HW = side(height)[:, None] * 3 + side(width)[None, :]
    region = partition_windows(region_HW[None, :, :, None], window).squeeze(-1)
    differs = region[:, :, None] != region[:, None, :]
    return differs.float() * MASKED_SCORE


def padding_mask(size: tuple[int, int], window: int, shift: int) -> Tensor:
    """Return the scores that hide the tokens with which :func:`pad_for_shift` fills incomplete windows.

    Returns:
        (nW', 1, N) float32 for nW' = (H/M + 1) * (W/M + 1) windows; minus infinity at filled tokens.
    """
    real = torch.zeros(1, *size, 1)
    filled = pad_for_shift(real, window, shift, value=float('-inf'))
    return partition_windows(filled, window).transpose(1, 2)


def pad_for_shift(x_BHWC: Tensor, window: int, shift: int, value: float = 0.0) -> Tensor:
    """Pad so that a regular partition gives the shifted windows, the smaller ones at the borders filled up.

    This is the naive alternative to the cyclic shift (section 3.2): (H/M + 1) x (W/M + 1) windows.

    Args:
        x_BHWC: (B, H, W, C) with H and W multiples of ``window``.
        window: side M of a window.
        shift: how far the windows are displaced, 0 < shift < window.
        value: what to fill with.

    Returns:
        (B, H + M, W + M, C).
    """
    before, after = window - shift, shift
    return F.pad(x_BHWC, (0, 0, before, after, before, after), value=value)


@lru_cache(maxsize=16)
def _cached(
    build: Callable[[tuple[int, int], int, int], Tensor],
    size: tuple[int, int],
    window: int,
    shift: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    return build(size, window, shift).to(device, dtype)


def mask_on(
    build: Callable[[tuple[int, int], int, int], Tensor],
    size: tuple[int, int],
    window: int,
    shift: int,
    *,
    like: Tensor,
) -> Tensor:
    """Return ``build(size, window, shift)`` on the device and in the dtype of ``like``, from a bounded cache."""
    height, width = size
    if height * width * window * window > _LARGEST_CACHED_MASK:
        return build(size, window, shift).to(like.device, like.dtype)
    # A tensor born under inference_mode could not take part in a later training step.
    with torch.inference_mode(False):
        return _cached(build, size, window, shift, like.device, like.dtype)
