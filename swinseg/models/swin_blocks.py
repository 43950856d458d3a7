"""The parts of a Swin Transformer (Liu et al. 2021): patches, windows, attention, blocks and stages.

Shapes: B images, H x W tokens, C channels, M the window's side, N = M * M tokens per window, nW windows per
image. Feature maps are (B, H, W, C), windows (B * nW, N, C).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmcv.cnn import build_activation_layer, build_norm_layer
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from swinseg.models import window_geometry as geometry

ShiftedWindows = Literal['cyclic', 'padding', 'none']
Attention = Literal['window', 'global']


def pad_to_multiple(x_BHWC: Tensor, multiple: int) -> Tensor:
    """Pad (B, H, W, C) with zeros at the bottom and the right up to multiples of ``multiple``."""
    height, width = x_BHWC.shape[1:3]
    padded_height, padded_width = geometry.padded_size((height, width), multiple)
    if (padded_height, padded_width) == (height, width):
        return x_BHWC
    return F.pad(x_BHWC, (0, 0, 0, padded_width - width, 0, padded_height - height))


class PatchEmbed(nn.Module):
    """Cut the image into patches and embed each ("Patch Partition" and "Linear Embedding" of Fig. 3).

    Args:
        in_channels: channels of the image.
        embed_dims: channels C of a token.
        patch_size: side of a patch in pixels.
        norm_cfg: norm after the embedding, or None.
    """

    def __init__(
        self, in_channels: int, embed_dims: int, patch_size: int, norm_cfg: dict | None
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.projection = nn.Conv2d(
            in_channels, embed_dims, kernel_size=patch_size, stride=patch_size
        )
        self.norm = build_norm_layer(norm_cfg, embed_dims)[1] if norm_cfg else nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        """Embed (B, in_channels, height, width) as (B, H, W, C), H = ceil(height / patch_size)."""
        height, width = image.shape[2:]
        padded_height, padded_width = geometry.padded_size((height, width), self.patch_size)
        if (padded_height, padded_width) != (height, width):
            image = F.pad(image, (0, padded_width - width, 0, padded_height - height))
        return self.norm(self.projection(image).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """Halve the resolution: 2 x 2 neighbouring tokens become one (section 3.1).

    The 4C channels are ordered as ``nn.Unfold`` orders them (channel, then row, then column), which is
    mmseg's layout; the official code concatenates four blocks of C instead, and
    :mod:`swinseg.checkpoints.formats` reorders the weights.

    Args:
        in_channels: C.
        out_channels: usually 2C.
        norm_cfg: norm over the 4C channels, or None.
    """

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict | None) -> None:
        super().__init__()
        self.norm = build_norm_layer(norm_cfg, 4 * in_channels)[1] if norm_cfg else nn.Identity()
        self.reduction = nn.Linear(4 * in_channels, out_channels, bias=False)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        """Merge (B, H, W, C) to (B, ceil(H / 2), ceil(W / 2), out_channels)."""
        x = pad_to_multiple(x_BHWC, 2)
        batch, height, width, channels = x.shape
        x = x.view(batch, height // 2, 2, width // 2, 2, channels)
        x = x.permute(0, 1, 3, 5, 2, 4).reshape(batch, height // 2, width // 2, 4 * channels)
        return self.reduction(self.norm(x))


class WindowAttention(nn.Module):
    """Multi-head self-attention inside each window, with relative position bias (equation 4).

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

    def relative_position_bias(self) -> Tensor:
        """Return the bias of every pair of tokens, (num_heads, N, N)."""
        index = self.relative_position_index
        return (
            self.relative_position_bias_table[index.flatten()]
            .view(*index.shape, -1)
            .permute(2, 0, 1)
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend within each window.

        Args:
            x: (B * nW, N, C).
            mask: (nW, N, N) or (nW, 1, N), added to the scores of each image's windows, or None.

        Returns:
            (B * nW, N, C).
        """
        windows, tokens, channels = x.shape
        q, k, v = (
            self.qkv(x)
            .view(windows, tokens, 3, self.num_heads, channels // self.num_heads)
            .permute(2, 0, 3, 1, 4)
            .unbind(0)
        )  # each (B * nW, heads, N, C / heads)
        scores = (q * self.scale) @ k.transpose(-2, -1)  # (B * nW, heads, N, N)
        if self.use_rel_pos_bias:
            scores = scores + self.relative_position_bias()
        if mask is not None:
            scores = scores.view(-1, mask.shape[0], *scores.shape[1:]) + mask[:, None]
            scores = scores.flatten(0, 1)
        weights = self.attn_drop(scores.softmax(dim=-1))
        x = (weights @ v).transpose(1, 2).reshape(windows, tokens, channels)
        return self.proj_drop(self.proj(x))


class ShiftedWindowAttention(nn.Module):
    """W-MSA, SW-MSA or global MSA on a feature map: pad, shift, cut, attend, and put back.

    The order is pad, then roll, then mask; padded tokens are zeros that take part in attention, as in the
    official code. (A roll before the padding would let opposite borders attend to each other.)

    Args:
        window_size: side M of a window.
        shift_size: how far the windows are displaced; 0 for W-MSA.
        shifted_windows: ``'cyclic'`` rolls the feature map and masks; ``'padding'`` computes the same
            function on (H/M + 1) x (W/M + 1) windows, the slow alternative that the paper compares with.
        attention: ``'window'``, or ``'global'`` for attention among all tokens.
        drop_path_rate: stochastic depth.
        **attention_options: as :class:`WindowAttention` takes them.
    """

    def __init__(
        self,
        window_size: int,
        shift_size: int,
        *,
        shifted_windows: ShiftedWindows,
        attention: Attention,
        drop_path_rate: float,
        **attention_options: Any,
    ) -> None:
        super().__init__()
        self.window_size = window_size
        self.shift_size = shift_size
        self.shifted_windows = shifted_windows
        self.attention = attention
        self.w_msa = WindowAttention(window_size=window_size, **attention_options)
        self.drop = DropPath(drop_path_rate)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        """Attend; (B, H, W, C) in and out."""
        if self.attention == 'global':
            return self.drop(self.w_msa(x_BHWC.flatten(1, 2)).view_as(x_BHWC))
        height, width = x_BHWC.shape[1:3]
        x = pad_to_multiple(x_BHWC, self.window_size)
        if self.shift_size == 0:
            x = self._attend(x, None)
        elif self.shifted_windows == 'cyclic':
            x = self._attend_rolled(x)
        else:
            x = self._attend_padded(x)
        return self.drop(x[:, :height, :width])

    def _attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        size = (x.shape[1], x.shape[2])
        windows = self.w_msa(geometry.partition_windows(x, self.window_size), mask)
        return geometry.merge_windows(windows, size, self.window_size)

    def _attend_rolled(self, x: Tensor) -> Tensor:
        size, shift = (x.shape[1], x.shape[2]), self.shift_size
        mask = geometry.mask_on(geometry.shift_mask, size, self.window_size, shift, like=x)
        x = self._attend(torch.roll(x, shifts=(-shift, -shift), dims=(1, 2)), mask)
        return torch.roll(x, shifts=(shift, shift), dims=(1, 2))

    def _attend_padded(self, x: Tensor) -> Tensor:
        size, shift = (x.shape[1], x.shape[2]), self.shift_size
        mask = geometry.mask_on(geometry.padding_mask, size, self.window_size, shift, like=x)
        before = self.window_size - shift
        x = self._attend(geometry.pad_for_shift(x, self.window_size, shift), mask)
        return x[:, before : before + size[0], before : before + size[1]]


class MLP(nn.Module):
    """Two linear layers with an activation between them; named as mmcv's ``FFN`` names them.

    Args:
        embed_dims: C.
        hidden_dims: channels between the two layers.
        act_cfg: activation.
        drop_rate: dropout after each layer.
        drop_path_rate: stochastic depth.
    """

    def __init__(
        self,
        embed_dims: int,
        hidden_dims: int,
        *,
        act_cfg: dict,
        drop_rate: float,
        drop_path_rate: float,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Sequential(
                nn.Linear(embed_dims, hidden_dims),
                build_activation_layer(act_cfg),
                nn.Dropout(drop_rate),
            ),
            nn.Linear(hidden_dims, embed_dims),
            nn.Dropout(drop_rate),
        )
        self.drop = DropPath(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., C)."""
        return self.drop(self.layers(x))


class SwinBlock(nn.Module):
    """One Swin Transformer block (equation 3): norm, window attention, norm, MLP, two shortcuts."""

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        hidden_dims: int,
        *,
        window_size: int,
        shift: bool,
        shifted_windows: ShiftedWindows,
        attention: Attention,
        use_rel_pos_bias: bool,
        qkv_bias: bool,
        qk_scale: float | None,
        drop_rate: float,
        attn_drop_rate: float,
        drop_path_rate: float,
        act_cfg: dict,
        norm_cfg: dict,
        with_cp: bool,
    ) -> None:
        super().__init__()
        self.with_cp = with_cp
        self.norm1 = build_norm_layer(norm_cfg, embed_dims)[1]
        self.attn = ShiftedWindowAttention(
            window_size,
            window_size // 2 if shift and shifted_windows != 'none' else 0,
            shifted_windows=shifted_windows,
            attention=attention,
            drop_path_rate=drop_path_rate,
            embed_dims=embed_dims,
            num_heads=num_heads,
            qkv_bias=qkv_bias,
            qk_scale=qk_scale,
            attn_drop_rate=attn_drop_rate,
            proj_drop_rate=drop_rate,
            use_rel_pos_bias=use_rel_pos_bias,
        )
        self.norm2 = build_norm_layer(norm_cfg, embed_dims)[1]
        self.ffn = MLP(
            embed_dims,
            hidden_dims,
            act_cfg=act_cfg,
            drop_rate=drop_rate,
            drop_path_rate=drop_path_rate,
        )

    def forward(self, x_BHWC: Tensor) -> Tensor:
        """Transform tokens; (B, H, W, C) in and out."""
        if self.with_cp and x_BHWC.requires_grad:
            return checkpoint(self._transform, x_BHWC, use_reentrant=False)
        return self._transform(x_BHWC)

    def _transform(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class SwinStage(nn.Module):
    """The blocks of one resolution and the patch merging after them (None in the last stage)."""

    def __init__(self, blocks: Sequence[SwinBlock], downsample: PatchMerging | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x_BHWC: Tensor) -> Tensor:
        """Run the blocks; (B, H, W, C) in and out. The caller merges patches."""
        for block in self.blocks:
            x_BHWC = block(x_BHWC)
        return x_BHWC
