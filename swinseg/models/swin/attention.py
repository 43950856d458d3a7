"""Attention within windows: the parameters, and the fast and the plain way of applying them.

Shapes: B images, H x W tokens, C channels, M the window's side, N = M * M tokens per window, nW windows per
image. Feature maps are (B, H, W, C), windows (B * nW, N, C).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmengine.model.weight_init import trunc_normal_
from torch import Tensor, nn

from swinseg.models.swin import window_geometry as geometry
from swinseg.models.swin.fused_attention import attend, windows_per_chunk
from swinseg.models.swin.window_geometry import Sides
from swinseg.models.tracing import is_traced

ShiftedWindows = Literal['cyclic', 'padding', 'none']
Attention = Literal['window', 'global']


class WindowAttention(nn.Module):
    """Multi-head self-attention inside each window, with relative position bias (equation 4).

    There are two ways to the same result. :meth:`attend_tokens` is the fast one: it takes a feature map, and
    neither windows nor scores exist as a whole. ``forward`` is the plain one: it takes windows, any mask
    and dropout of the weights, and :meth:`weights` shows what attends to what.

    A layer put in the place of ``qkv`` must keep its ``bias`` (None or (3C,)): what the padding is mapped to.

    Args:
        embed_dims: C.
        num_heads: heads; C must be a multiple.
        window_size: side M of a window.
        qkv_bias: whether query, key and value have a bias.
        qk_scale: factor on the query instead of ``head_dim ** -0.5``.
        attn_drop_rate: dropout of the attention weights.
        proj_drop_rate: dropout of the output.
        use_rel_pos_bias: whether a relative position bias is added to the scores.
    """

    relative_position_index: Tensor

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        window_size: int,
        *,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        attn_drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        use_rel_pos_bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.window_size = window_size
        self.scale = qk_scale or (embed_dims // num_heads) ** -0.5
        self.use_rel_pos_bias = use_rel_pos_bias
        if use_rel_pos_bias:
            self.relative_position_bias_table = nn.Parameter(
                torch.zeros((2 * window_size - 1) ** 2, num_heads)
            )
            # Persistent, because mmseg's state dicts hold it.
            self.register_buffer(
                'relative_position_index', geometry.relative_position_index(window_size)
            )
        self.qkv = nn.Linear(embed_dims, 3 * embed_dims, bias=qkv_bias)
        self.attn_drop = nn.Dropout(attn_drop_rate)
        self.proj = nn.Linear(embed_dims, embed_dims)
        self.proj_drop = nn.Dropout(proj_drop_rate)
        # What it was computed from, what else it was computed for, and the bias: see _score_bias.
        self._inference_bias: tuple[tuple[Tensor, ...], tuple, Tensor] | None = None

    def relative_position_bias(self) -> Tensor:
        """Return the bias of every pair of tokens, (num_heads, N, N)."""
        index = self.relative_position_index
        return (
            self.relative_position_bias_table[index.flatten()]
            .view(*index.shape, -1)
            .permute(2, 0, 1)
        )

    def attend_tokens(self, x_BHWC: Tensor, window: Sides, shift: Sides) -> Tensor:
        """Attend within the windows of a feature map, displaced by ``shift``; (B, H, W, C) in and out.

        The weights are not dropped out, whatever ``attn_drop_rate`` says.

        Args:
            x_BHWC: (B, H, W, C).
            window: side of the windows, no larger than M.
            shift: how far they are displaced.
        """
        qkv = self._project(x_BHWC)  # (B, H, W, 3C)
        height, width = geometry.both(window)
        plan = geometry.plan_for(
            x_BHWC,
            window,
            shift,
            windows_per_chunk=windows_per_chunk(qkv, height * width),
        )
        # Tokens of the padding are zeros, so this is what they are mapped to.
        padding = self._projection_bias() if plan.has_filled_places else None
        x = attend(
            qkv.view(-1, qkv.shape[-1]),
            None if padding is None else padding.to(qkv.dtype),
            self._score_bias(window, shift, qkv),
            plan,
            num_heads=self.num_heads,
            scale=self._score_scale(),
        )
        return self.proj_drop(self.proj(x.view_as(x_BHWC)))

    def init_weights(self) -> None:
        """Draw what is no weight or bias of a layer."""
        if self.use_rel_pos_bias:
            trunc_normal_(self.relative_position_bias_table, std=0.02)

    def _project(self, x: Tensor) -> Tensor:
        """Return query, key and value of tokens, (..., C) to (..., 3C)."""
        return self.qkv(x)

    def _projection_bias(self) -> Tensor | None:
        """Return what :meth:`_project` makes of zeros, (3C,), or None for zeros."""
        return self.qkv.bias

    def _score_scale(self) -> float | Tensor:
        """Return the scale as :func:`~swinseg.models.swin.fused_attention.attend` takes it."""
        return self.scale

    def _position_tensors(self) -> tuple[Tensor, ...]:
        """Return what the position bias is computed from."""
        return (self.relative_position_bias_table,)

    def _score_bias(self, window: Sides, shift: Sides, qkv: Tensor) -> Tensor | None:
        """Return position bias plus shift mask of each kind of window, (1 or 4, heads or 1, N, N), or None.

        There are no more than four kinds, so at inference the sum is small, whatever the size of the image,
        and is kept until the table changes or the mode does (``train()``, ``eval()``, ``to()``). A change
        through ``table.data`` leaves no trace: call ``eval()`` after it.
        """
        if not self.use_rel_pos_bias:
            return self._masks(window, shift, qkv) if _is_shifted(shift) else None
        sources = self._position_tensors()
        if (
            torch.is_grad_enabled()
            or is_traced()
            or any(each.is_inference() for each in sources)  # have no version
        ):
            return self._sum_of_biases(window, shift, qkv)
        key = (window, shift, qkv.dtype, qkv.device, *(each._version for each in sources))
        kept = self._inference_bias
        if (
            kept is None
            or kept[1] != key
            or any(a is not b for a, b in zip(kept[0], sources, strict=True))
        ):
            # A tensor born under inference_mode could not take part in a later training step.
            with torch.inference_mode(False), torch.no_grad():
                kept = sources, key, self._sum_of_biases(window, shift, qkv)
                self._inference_bias = kept
        return kept[2]

    def _sum_of_biases(self, window: Sides, shift: Sides, qkv: Tensor) -> Tensor:
        on_cpu = qkv.device.type == 'cpu'
        # The CPU's kernel adds float32 to the scores of any type at no cost; others want one type.
        dtype = torch.promote_types(qkv.dtype, torch.float32) if on_cpu else qkv.dtype
        bias = self._bias_within(window)[None].to(dtype)
        if _is_shifted(shift):
            bias = bias + self._masks(window, shift, bias)
        if on_cpu:
            return bias.contiguous()
        # CUDA's memory-efficient kernel reads rows that start at multiples of eight elements.
        tokens = bias.shape[-1]
        return F.pad(bias, (0, -tokens % 8))[..., :tokens]

    def _bias_within(self, window: Sides) -> Tensor:
        """Return the bias of every pair of tokens of a window no larger than M, (num_heads, N, N)."""
        bias, (height, width), M = (
            self.relative_position_bias(),
            geometry.both(window),
            self.window_size,
        )
        if (height, width) == (M, M):
            return bias
        # It depends on differences of positions alone, so that of a corner is that of all such parts.
        corner = bias.view(-1, M, M, M, M)[:, :height, :width, :height, :width]
        return corner.reshape(-1, height * width, height * width)

    def _masks(self, window: Sides, shift: Sides, like: Tensor) -> Tensor:
        # Two by two windows are one of each kind: inner, last column, last row, corner.
        height, width = geometry.both(window)
        size = (2 * height, 2 * width)
        return geometry.mask_on(geometry.shift_mask, size, window, shift, like=like)[:, None]

    def train(self, mode: bool = True) -> WindowAttention:
        """Set the mode, and forget what was kept for inference."""
        self._inference_bias = None
        return super().train(mode)

    def _apply(self, *args: Any, **kwargs: Any) -> WindowAttention:
        self._inference_bias = None
        return super()._apply(*args, **kwargs)

    def weights(self, x: Tensor, mask: Tensor | None = None, window: Sides | None = None) -> Tensor:
        """Return how much each token of a window attends to each, (B * nW, heads, N, N); rows sum to 1.

        Args:
            x: (B * nW, N, C).
            mask: (nW, N, N) or (nW, 1, N), added to the scores of each image's windows, or None.
            window: side of the windows, no larger than M; None for M.
        """
        q, k, _ = self._query_key_value(x)
        return self._weights(q, k, mask, window)

    def forward(self, x: Tensor, mask: Tensor | None = None, window: Sides | None = None) -> Tensor:
        """Attend within each window.

        Args:
            x: (B * nW, N, C).
            mask: as in :meth:`weights`.
            window: likewise.

        Returns:
            (B * nW, N, C).
        """
        q, k, v = self._query_key_value(x)
        weights = self.attn_drop(self._weights(q, k, mask, window))
        return self.proj_drop(self.proj((weights @ v).transpose(1, 2).reshape(x.shape)))

    def _query_key_value(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        windows, tokens, channels = x.shape
        q, k, v = (
            self._project(x)
            .view(windows, tokens, 3, self.num_heads, channels // self.num_heads)
            .permute(2, 0, 3, 1, 4)
            .unbind(0)
        )
        return q, k, v  # each (B * nW, heads, N, C / heads)

    def _scores(self, q: Tensor, k: Tensor) -> Tensor:
        return (q * self.scale) @ k.transpose(-2, -1)

    def _weights(self, q: Tensor, k: Tensor, mask: Tensor | None, window: Sides | None) -> Tensor:
        scores = self._scores(q, k)  # (B * nW, heads, N, N)
        if self.use_rel_pos_bias:
            scores = scores + self._bias_within(self.window_size if window is None else window)
        if mask is not None:
            scores = scores.view(-1, mask.shape[0], *scores.shape[1:]) + mask[:, None]
            scores = scores.flatten(0, 1)
        return scores.softmax(dim=-1)


class ShiftedWindowAttention(nn.Module):
    """W-MSA, SW-MSA or global MSA on a feature map: pad, shift, cut, attend, and put back.

    The order is pad, then roll, then mask; padded tokens are zeros that take part in attention, as in the
    official code. (A roll before the padding would let opposite borders attend to each other.)

    The plain way through :class:`WindowAttention` is taken by the ablations (``shifted_windows='padding'``
    and ``attention='global'``) and by training with dropout of the attention weights; all else is fast.

    Args:
        window_size: side M of a window.
        shift_size: how far the windows are displaced; 0 for W-MSA.
        shifted_windows: ``'cyclic'`` rolls the feature map and masks; ``'padding'`` computes the same
            function on (H/M + 1) x (W/M + 1) windows, the slow alternative that the paper compares with;
            ``'none'`` displaces none.
        attention: ``'window'``, or ``'global'`` for attention among all tokens.
        **attention_options: as :attr:`window_attention` takes them.

    Attributes:
        window_attention: what attends inside the windows.
    """

    window_attention: type[WindowAttention] = WindowAttention

    def __init__(
        self,
        window_size: int,
        shift_size: int,
        *,
        shifted_windows: ShiftedWindows = 'cyclic',
        attention: Attention = 'window',
        **attention_options: Any,
    ) -> None:
        super().__init__()
        self.window_size = window_size
        self.shift_size = 0 if shifted_windows == 'none' else shift_size
        self.shifted_windows = shifted_windows
        self.attention = attention
        self.w_msa = self.window_attention(window_size=window_size, **attention_options)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        """Attend; (B, H, W, C) in and out."""
        if self._is_plain():
            return self._attend_plainly(x_BHWC)
        return self.w_msa.attend_tokens(x_BHWC, *self.placement(_size_of(x_BHWC)))

    def placement(self, size: tuple[int, int]) -> tuple[Sides, Sides]:
        """Return the side of the windows on a map of (H, W) tokens, and how far they are displaced."""
        return self.window_size, self.shift_size

    def weights(self, x_BHWC: Tensor) -> Tensor:
        """Return how much each token of a window attends to each of it.

        Args:
            x_BHWC: (B, H, W, C), what ``forward`` takes.

        Returns:
            (B, nW, heads, N, N), each row of the last axis with sum 1. Windows are in row-major order after
            padding at the bottom and the right and, where ``shift_size`` is not 0, after the roll by minus that
            (or, with ``shifted_windows='padding'``, in :func:`window_geometry.pad_for_shift`). Global
            attention has one window of N = H * W.
        """
        windows, mask = self._windows(x_BHWC)
        weights = self.w_msa.weights(windows, mask, self.placement(_size_of(x_BHWC))[0])
        return weights.view(x_BHWC.shape[0], -1, *weights.shape[1:])

    def _is_plain(self) -> bool:
        drops = self.training and self.w_msa.attn_drop.p > 0
        padding = self.shifted_windows == 'padding' and self.shift_size > 0
        return self.attention == 'global' or padding or drops

    def _windows(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Cut (B, H, W, C) into windows (B * nW, N, C) and their mask."""
        if self.attention == 'global':
            return x.flatten(1, 2), None
        window, shift = self.placement(_size_of(x))
        x = geometry.pad_to_multiple(x, window)
        if not _is_shifted(shift):
            return geometry.partition_windows(x, window), None
        size = (x.shape[1], x.shape[2])
        if self.shifted_windows == 'cyclic':
            mask = geometry.mask_on(geometry.shift_mask, size, window, shift, like=x)
            y_shift, x_shift = geometry.both(shift)
            x = torch.roll(x, shifts=(-y_shift, -x_shift), dims=(1, 2))
        else:
            mask = geometry.mask_on(
                geometry.padding_mask, size, self.window_size, self.shift_size, like=x
            )
            x = geometry.pad_for_shift(x, self.window_size, self.shift_size)
        return geometry.partition_windows(x, window), mask

    def _attend_plainly(self, x_BHWC: Tensor) -> Tensor:
        height, width = _size_of(x_BHWC)
        window, shift = self.placement((height, width))
        windows = self.w_msa(*self._windows(x_BHWC), window)
        if self.attention == 'global':
            return windows.view_as(x_BHWC)
        size = geometry.padded_size((height, width), window)
        if _is_shifted(shift) and self.shifted_windows == 'padding':
            side, before = self.window_size, self.window_size - self.shift_size
            x = geometry.merge_windows(windows, (size[0] + side, size[1] + side), side)
            return x[:, before : before + height, before : before + width]
        x = geometry.merge_windows(windows, size, window)
        if _is_shifted(shift):
            x = torch.roll(x, shifts=geometry.both(shift), dims=(1, 2))
        return x[:, :height, :width]


def _size_of(x_BHWC: Tensor) -> tuple[int, int]:
    # Whole numbers, which torch.jit.trace replaces by tensors.
    return int(x_BHWC.shape[1]), int(x_BHWC.shape[2])


def _is_shifted(shift: Sides) -> bool:
    return any(geometry.both(shift))
