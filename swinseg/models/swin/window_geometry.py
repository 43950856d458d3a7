"""Geometry of attention windows: pure functions of sizes, no parameters.

Shapes: B images, H x W tokens, C channels, M the window's side, N = M * M tokens per window, nW windows
per image in row-major order. Feature maps are (B, H, W, C).

A window is a square of one side, or (height, width), where :func:`fitted` has made it no larger than the map; its
shift then is one for each axis, too.

What depends on nothing but sizes is computed once for each and kept in a cache of bounded length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from swinseg.models.tracing import is_traced
from swinseg.transfers import to_device

Sides: TypeAlias = int | tuple[int, int]
"""One length for both axes, or (along the height, along the width)."""

# Added to the scores of token pairs that must not attend to each other. The official code and mmseg use
# this finite value, and the numbers of a trained model depend on it in the last digits.
MASKED_SCORE = -100.0

# What a very large image needs is computed when it is needed: a few of them would fill the memory.
_LARGEST_CACHED_MASK = 16 * 2**20  # elements: 64 MB in float32
_LARGEST_CACHED_PLAN = 2**20  # tokens: 12 MB


def both(sides: Sides) -> tuple[int, int]:
    """Return what is meant along the height and along the width."""
    return (sides, sides) if isinstance(sides, int) else sides


def fitted(
    size: tuple[int, int], window: int, shift: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Make a window no larger than the map, and shift it only where there is more than one.

    So no window is filled up with padding that outnumbers its tokens, and a map that one window covers is not cut
    by the mask of a shift. The networks of Liu et al. 2022 were trained so in their last stages, at a size of the
    image that is fixed when the network is built; here it is that of each map, along each axis.

    Args:
        size: (H, W) of the feature map.
        window: side M of a window.
        shift: 0 <= shift < window.

    Returns:
        The sides of the window, and the shift along each.
    """
    height, width = (min(window, length) for length in size)
    y, x = (shift if length > window else 0 for length in size)
    return (height, width), (y, x)


def padded_size(size: tuple[int, int], window: Sides) -> tuple[int, int]:
    """Return (height, width) rounded up to multiples of ``window``."""
    (height, width), (rows, columns) = size, both(window)
    return -(-height // rows) * rows, -(-width // columns) * columns


def pad_to_multiple(x_BHWC: Tensor, multiple: Sides) -> Tensor:
    """Pad (B, H, W, C) with zeros at the bottom and the right up to multiples of ``multiple``."""
    height, width = x_BHWC.shape[1:3]
    padded_height, padded_width = padded_size((height, width), multiple)
    if (padded_height, padded_width) == (height, width):
        return x_BHWC
    return F.pad(x_BHWC, (0, 0, 0, padded_width - width, 0, padded_height - height))


def partition_windows(x_BHWC: Tensor, window: Sides) -> Tensor:
    """Cut a feature map into windows.

    Args:
        x_BHWC: (B, H, W, C) with H and W multiples of ``window``.
        window: side M of a window.

    Returns:
        (B * nW, N, C); image by image, windows and tokens in row-major order.
    """
    (batch, height, width, channels), (rows, columns) = x_BHWC.shape, both(window)
    x = x_BHWC.view(batch, height // rows, rows, width // columns, columns, channels)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, rows * columns, channels)


def merge_windows(windows: Tensor, size: tuple[int, int], window: Sides) -> Tensor:
    """Put windows back into a feature map; the inverse of :func:`partition_windows`.

    Args:
        windows: (B * nW, N, C).
        size: (H, W) of the feature map, multiples of ``window``.
        window: side M of a window.

    Returns:
        (B, H, W, C).
    """
    (height, width), (rows, columns) = size, both(window)
    channels = windows.shape[-1]
    x = windows.view(-1, height // rows, width // columns, rows, columns, channels)
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


def relative_log_coordinates(window: int, unit: int) -> Tensor:
    """Return the log-spaced differences of positions that a continuous bias is computed from.

    A difference d is ``sign(d) log2(1 + 8 |d| / (unit - 1)) / log2(8)``: Liu et al. 2022, equation 4, in the
    units of the published code.

    Args:
        window: side M of a window.
        unit: side of the window in pretraining.

    Returns:
        ((2M - 1)^2, 2) float32, in the order of :func:`relative_position_index`; along height and width.
    """
    difference = torch.arange(1 - window, window, dtype=torch.float32)
    scaled = difference / max(unit - 1, 1) * 8
    logarithm = scaled.sign() * (scaled.abs() + 1).log2() / 3
    return torch.cartesian_prod(logarithm, logarithm)


def shift_mask(size: tuple[int, int], window: Sides, shift: Sides) -> Tensor:
    """Return the scores that keep a cyclically shifted window from mixing opposite borders of the image.

    After the roll by ``-shift`` the windows of the last row (column) hold tokens of the bottom (right)
    and of the top (left) border; only tokens of one side may attend to each other (Fig. 4 of the paper).

    Args:
        size: (H, W) of the padded feature map, multiples of ``window``.
        window: side M of a window.
        shift: 0 < shift < window along one axis at least.

    Returns:
        (nW, N, N) float32, 0 where attention is allowed and ``MASKED_SCORE`` where it is not.
    """

    def side(length: int, window: int, shift: int) -> Tensor:
        rolled = torch.arange(length)
        return (rolled >= length - window).int() + (rolled >= length - shift).int()

    rows, columns = map(side, size, both(window), both(shift))
    region_HW = rows[:, None] * 3 + columns[None, :]
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


@dataclass(frozen=True, eq=False)
class WindowChunk:
    """Some windows of one kind, processed together.

    Attributes:
        kind: which of the masks ``shift_mask((2 * M, 2 * M), M, shift)`` the windows need; 0 if not shifted.
        sources: (n * N,) int32, the token at each place of the n windows, counted through all images; 0
            where there is none.
        targets: (n * N,) int64, the same, but B * H * W where there is none.
        filled: int64, the places where there is none because the map was padded; None if there are no such.
    """

    kind: int
    sources: Tensor
    targets: Tensor
    filled: Tensor | None


@dataclass(frozen=True, eq=False)
class WindowPlan:
    """Which token goes to which place of which window: padding, cyclic shift and partition in one.

    Attributes:
        tokens_per_window: N.
        chunks: all windows of all images, those of one kind one after the other.
    """

    tokens_per_window: int
    chunks: tuple[WindowChunk, ...]

    @property
    def has_filled_places(self) -> bool:
        """Whether any place holds no token."""
        return any(chunk.filled is not None for chunk in self.chunks)


def window_plan(
    batch: int,
    size: tuple[int, int],
    window: Sides,
    shift: Sides,
    *,
    windows_per_chunk: int,
    device: torch.device,
) -> WindowPlan:
    """Plan the way of the tokens of ``batch`` feature maps into windows and back.

    The map is padded at the bottom and the right, then rolled by ``-shift``, then cut. After the roll
    only the windows of the last row and the last column hold tokens of opposite borders, so there are four
    kinds of windows: inner, last column, last row, and the corner.

    Args:
        batch: images B.
        size: (H, W) of the feature map, any size.
        window: side M of a window.
        shift: 0 <= shift < window.
        windows_per_chunk: at most so many windows are gathered at once.
        device: where the indices are put.
    """
    height, width = size
    padded_height, padded_width = padded_size(size, window)
    (window_height, window_width), (shift_y, shift_x) = both(window), both(shift)
    y = (torch.arange(padded_height) + shift_y) % padded_height
    x = (torch.arange(padded_width) + shift_x) % padded_width
    token_HW = torch.where((y < height)[:, None] & (x < width), y[:, None] * width + x, -1)
    token = partition_windows(token_HW[None, :, :, None], window).squeeze(-1)  # (nW, N)
    first_of_image = torch.arange(batch)[:, None, None] * (height * width)
    token = torch.where(token < 0, token, token + first_of_image).flatten(0, 1)  # (B * nW, N)

    rows, columns = padded_height // window_height, padded_width // window_width
    real_rows = _real_per_window(height, padded_height, window_height, shift_y)
    real_columns = _real_per_window(width, padded_width, window_width, shift_x)
    tokens_per_window = window_height * window_width
    of_kind: list[list[int]] = [[], [], [], []]
    filled_places = []  # of each window
    for i, (_, row, column) in enumerate(product(range(batch), range(rows), range(columns))):
        crosses_y, crosses_x = shift_y and row == rows - 1, shift_x and column == columns - 1
        of_kind[2 * bool(crosses_y) + bool(crosses_x)].append(i)
        filled_places.append(tokens_per_window - real_rows[row] * real_columns[column])

    kinds: list[int] = []
    indices: list[Tensor | None] = []  # of each chunk its places, and which of them are filled
    for kind, windows in enumerate(of_kind):
        for start in range(0, len(windows), windows_per_chunk):
            chosen = windows[start : start + windows_per_chunk]
            places = token[torch.tensor(chosen)].flatten()
            number_filled = sum(filled_places[i] for i in chosen)
            # The number is known beforehand, so that a tracer need not look at the values.
            filled = torch.argsort((places >= 0).int(), stable=True)[:number_filled]
            kinds.append(kind)
            indices += [places, filled if number_filled else None]
    moved = _moved(indices, device)
    chunks = []
    for kind, places_there, filled_there in zip(kinds, moved[::2], moved[1::2], strict=True):
        assert places_there is not None
        targets = torch.where(places_there < 0, batch * height * width, places_there)
        sources = places_there.clamp(min=0).int()
        chunks.append(WindowChunk(kind, sources, targets, filled_there))
    return WindowPlan(tokens_per_window, tuple(chunks))


def _moved(indices: list[Tensor | None], device: torch.device) -> list[Tensor | None]:
    """Bring int64 indices to a device in one copy, for each makes a GPU's host wait."""
    if device.type == 'cpu':
        return indices
    there = [each for each in indices if each is not None]
    parts = iter(to_device(torch.cat(there), device).split([len(each) for each in there]))
    return [None if each is None else next(parts) for each in indices]


def _real_per_window(length: int, padded: int, window: int, shift: int) -> list[int]:
    """Return how many positions of each window, along one axis, are not padding."""
    real = [(i + shift) % padded < length for i in range(padded)]
    return [sum(real[start : start + window]) for start in range(0, padded, window)]


@lru_cache(maxsize=64)
def _cached_plan(
    batch: int,
    size: tuple[int, int],
    window: Sides,
    shift: Sides,
    windows_per_chunk: int,
    device: torch.device,
) -> WindowPlan:
    return window_plan(
        batch, size, window, shift, windows_per_chunk=windows_per_chunk, device=device
    )


def plan_for(
    x_BHWC: Tensor, window: Sides, shift: Sides, *, windows_per_chunk: int | None = None
) -> WindowPlan:
    """Return the :func:`window_plan` of a feature map, from a bounded cache.

    Args:
        x_BHWC: (B, H, W, C), only its sizes and its device matter.
        window: side M of a window.
        shift: 0 <= shift < window.
        windows_per_chunk: at most so many windows are gathered at once; None for all of a kind.
    """
    # Whole numbers, which torch.jit.trace replaces by tensors.
    batch, height, width = map(int, x_BHWC.shape[:3])
    limit = windows_per_chunk or batch * height * width
    if _is_recorded(x_BHWC) or batch * height * width > _LARGEST_CACHED_PLAN:
        return window_plan(
            batch, (height, width), window, shift, windows_per_chunk=limit, device=x_BHWC.device
        )
    with torch.inference_mode(False):  # as in mask_on
        return _cached_plan(batch, (height, width), window, shift, limit, x_BHWC.device)


def _is_recorded(like: Tensor) -> bool:
    """Return whether a compiler or exporter looks on: its stand-ins for tensors must not enter a cache."""
    return is_traced() or type(like) is not Tensor


@lru_cache(maxsize=16)
def _cached(
    build: Callable[..., Tensor],
    size: tuple[int, int],
    window: Sides,
    shift: Sides,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    return to_device(build(size, window, shift), device, dtype)


def mask_on(
    build: Callable[..., Tensor],
    size: tuple[int, int],
    window: Sides,
    shift: Sides,
    *,
    like: Tensor,
) -> Tensor:
    """Return ``build(size, window, shift)`` on the device and in the dtype of ``like``, from a bounded cache."""
    (height, width), (rows, columns) = size, both(window)
    if _is_recorded(like) or height * width * rows * columns > _LARGEST_CACHED_MASK:
        return build(size, window, shift).to(like.device, like.dtype)
    # A tensor born under inference_mode could not take part in a later training step.
    with torch.inference_mode(False):
        return _cached(build, size, window, shift, like.device, like.dtype)
