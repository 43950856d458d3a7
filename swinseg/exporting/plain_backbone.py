"""A Swin Transformer in operations that every exporter and runtime has, at sizes known only when it runs.

Nothing here depends on the values of a size: no branch, no loop over windows, no list of numbers. The cyclic shift
is a roll, its end and that of the padding is a choice of rows and columns by a range, the mask of shifted windows
is a comparison of ranges. A window of the second version is no larger than the map: it is filled up here, the
filling hidden by a score that leaves it no weight, and whether it is shifted is a factor of 0 or 1. So a trace at
one size holds for all, also one of ``torch.export``, which is the reason for
:func:`~swinseg.exporting.sizes.contiguous` and for the ranges: of a slice to a length it would keep the condition
that it is not longer than the padded one, which it cannot prove.

Shapes: B images, H x W tokens, C channels, M the window's side, N = M * M tokens per window, nH x nW windows.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmseg.models.backbones import SwinTransformer
from torch import Tensor, nn

from swinseg.errors import ArchitectureError
from swinseg.exporting.sizes import Size, as_dtype, ceil_div, contiguous, cropped, size_of
from swinseg.models.swin.backbone import SwinBackbone
from swinseg.models.swin.backbone_v2 import SwinV2Backbone
from swinseg.models.swin.blocks import PostNormBlock
from swinseg.models.swin.cosine_attention import CosineWindowAttention
from swinseg.models.swin.window_geometry import MASKED_SCORE

# Beside scores between -100 and 116 this leaves no weight in any precision, and half precision has it.
HIDDEN_SCORE = -10000.0


class Windows(NamedTuple):
    """How the tokens of a stage are cut into windows.

    Attributes:
        rows: nH.
        columns: nW.
        mask: (1, nH * nW, 1, N, N), added to the scores of shifted windows.
        hidden: (N,), added to the scores of the keys of all windows; None where all take part.
        rolled: which H and W go to each row and column of shifted windows; None where that is a roll.
        unrolled: where the H rows and the W columns of shifted windows are before they are rolled back; taking
            them is the end of the padding, too.
    """

    rows: Size
    columns: Size
    mask: Tensor | None
    hidden: Tensor | None
    rolled: tuple[Tensor, Tensor] | None
    unrolled: tuple[Tensor, Tensor] | None


def plain_backbone(backbone: Any) -> PlainBackbone:
    """Return a backbone in plain operations, with the parameters of the given one.

    Args:
        backbone: ``SwinBackbone``, ``SwinV2Backbone``, or mmseg's ``SwinTransformer``, whose parts have the same
            names.

    Raises:
        ArchitectureError: it is of another class, or has a part that has no plain form here.
    """
    if type(backbone) not in (SwinBackbone, SwinV2Backbone, SwinTransformer):
        raise ArchitectureError(
            f'expected a backbone of type SwinBackbone, SwinV2Backbone or SwinTransformer to export, found '
            f'{type(backbone).__name__}; other backbones have no exportable form here'
        )
    if backbone.use_abs_pos_embed:
        raise ArchitectureError(
            'a backbone with use_abs_pos_embed=True has no exportable form here; export one without'
        )
    for module in backbone.modules():
        is_global = getattr(module, 'attention', 'window') == 'global'
        if is_global or getattr(module, 'shifted_windows', 'cyclic') == 'padding':
            raise ArchitectureError(
                "a backbone with attention='global' or shifted_windows='padding' has no exportable form here; "
                "shifted_windows='cyclic' computes the same as 'padding'"
            )
    return PlainBackbone(backbone)


class PlainAttention(nn.Module):
    """Attention within windows and shifted windows, from the parameters of ``ShiftedWindowAttention``."""

    weight: Tensor
    bias: Tensor | None
    position_bias: Tensor | None
    scale: Tensor | None

    def __init__(self, attention: Any) -> None:
        super().__init__()
        inner = attention.w_msa
        window = inner.window_size
        self.window: int = window if isinstance(window, int) else window[0]
        self.shift: int = attention.shift_size
        self.heads: int = inner.num_heads
        channels = inner.qkv.in_features
        bias = inner.qkv.bias
        factor = torch.ones(3 * channels)
        scale = None
        if isinstance(inner, CosineWindowAttention):
            inner = copy.deepcopy(inner)
            inner.fold()
            bias, scale = inner.qkv.bias, inner.scale_of_heads()[:, None, None]
        else:
            # The factor on the query belongs to its weights: one multiplication less for each token.
            factor[:channels] = inner.scale
        self.register_buffer('weight', inner.qkv.weight.detach() * factor[:, None])
        self.register_buffer('bias', None if bias is None else bias.detach() * factor)
        self.register_buffer('position_bias', _position_bias(inner))
        self.register_buffer('scale', scale)
        self.proj = inner.proj

    def forward(self, x_BHWC: Tensor, windows: Windows) -> Tensor:
        """Attend; (B, H, W, C) in and out."""
        M, heads, shift = self.window, self.heads, self.shift
        nH, nW = windows.rows, windows.columns
        (height, width), channels = size_of(x_BHWC, 1, 2), x_BHWC.shape[3]
        # Before the padding, whose tokens are zeros and so become the bias.
        qkv = F.linear(x_BHWC, self.weight)
        qkv = F.pad(qkv, (0, 0, 0, nW * M - width, 0, nH * M - height))
        if self.bias is not None:
            qkv = qkv + self.bias
        if shift and windows.rolled is not None:
            rows, columns = windows.rolled
            qkv = qkv.index_select(1, rows).index_select(2, columns)
        elif shift:
            qkv = qkv.roll((-shift, -shift), (1, 2))
        # B, nH, M, nW, M, 3, heads, D -> 3, B, nH, nW, heads, M, M, D; B is what is left over.
        parts = qkv.reshape(-1, nH, M, nW, M, 3, heads, channels // heads)
        parts = contiguous(parts.permute(5, 0, 1, 3, 6, 2, 4, 7))
        q, k, v = parts.reshape(3, -1, heads, M * M, channels // heads).unbind(0)
        if self.scale is not None:
            q, k = _direction(q) * self.scale, _direction(k)
        scores = q @ k.transpose(-1, -2)  # (B * nH * nW, heads, N, N)
        bias = self.position_bias
        if bias is not None:
            scores = scores + (bias if windows.hidden is None else bias + windows.hidden)
        if shift:
            assert windows.mask is not None
            scores = scores.reshape(-1, nH * nW, heads, M * M, M * M) + windows.mask
            scores = scores.reshape(-1, heads, M * M, M * M)
        x = scores.softmax(-1) @ v
        x = x.reshape(-1, nH, nW, heads, M, M, channels // heads)
        x = contiguous(x.permute(0, 1, 4, 2, 5, 3, 6)).reshape(-1, nH * M, nW * M, channels)
        if shift:
            assert windows.unrolled is not None
            rows, columns = windows.unrolled
            return self.proj(x.index_select(1, rows).index_select(2, columns))
        return self.proj(cropped(x, height, width))


def _position_bias(attention: Any) -> Tensor | None:
    """Return the bias of every pair of tokens, (heads, N, N), of our attention or mmseg's ``WindowMSA``."""
    if isinstance(attention, CosineWindowAttention):
        return attention.relative_position_bias().detach().contiguous()
    table = getattr(attention, 'relative_position_bias_table', None)
    if table is None:
        return None
    index = attention.relative_position_index
    bias = table.detach()[index.flatten()].view(*index.shape, -1)
    return bias.permute(2, 0, 1).contiguous()


def _direction(x: Tensor) -> Tensor:
    """Divide by the length along the last axis, as :func:`~swinseg.models.swin.fused_attention.attend` does."""
    wide = as_dtype(x, torch.float32)  # squares soon leave the range of float16
    square = (wide * wide).sum(-1, keepdim=True)
    return as_dtype(wide * square.clamp(min=1e-24).rsqrt(), x.dtype)


class PlainBlock(nn.Module):
    """A block: norm, attention, norm, MLP, two shortcuts; the norms last in the second version."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.norm1, self.norm2 = block.norm1, block.norm2
        self.attention = PlainAttention(block.attn)
        first, last = block.ffn.layers[0], block.ffn.layers[1]
        self.mlp = nn.Sequential(first[0], first[1], last)
        self.is_post_norm = isinstance(block, PostNormBlock)

    def forward(self, x_BHWC: Tensor, windows: Windows) -> Tensor:
        """Transform tokens; (B, H, W, C) in and out."""
        if self.is_post_norm:
            x = x_BHWC + self.norm1(self.attention(x_BHWC, windows))
            return x + self.norm2(self.mlp(x))
        x = x_BHWC + self.attention(self.norm1(x_BHWC), windows)
        return x + self.mlp(self.norm2(x))


class PlainMerging(nn.Module):
    """Patch merging; the channels in the order of ``nn.Unfold``."""

    def __init__(self, merging: Any) -> None:
        super().__init__()
        self.norm = merging.norm or nn.Identity()
        self.reduction = merging.reduction
        self.norm_last: bool = getattr(merging, 'norm_last', False)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        """Merge (B, H, W, C) to (B, ceil(H / 2), ceil(W / 2), 2C)."""
        (height, width), channels = size_of(x_BHWC, 1, 2), x_BHWC.shape[3]
        rows, columns = ceil_div(height, 2), ceil_div(width, 2)
        x = F.pad(x_BHWC, (0, 0, 0, 2 * columns - width, 0, 2 * rows - height))
        x = x.reshape(-1, rows, 2, columns, 2, channels)
        x = contiguous(x.permute(0, 1, 3, 5, 2, 4))
        x = x.reshape(-1, rows, columns, 4 * channels)
        return self.norm(self.reduction(x)) if self.norm_last else self.reduction(self.norm(x))


class PlainBackbone(nn.Module):
    """The whole backbone; see :func:`plain_backbone`."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        embedding = backbone.patch_embed
        self.projection = embedding.projection
        patch = embedding.projection.stride
        self.patch: int = patch if isinstance(patch, int) else patch[0]
        self.norm = embedding.norm or nn.Identity()
        self.out_indices = tuple(backbone.out_indices)
        used = list(backbone.stages)[: max(self.out_indices) + 1]
        self.stages = nn.ModuleList(
            nn.ModuleList(PlainBlock(block) for block in stage.blocks) for stage in used
        )
        self.merging = nn.ModuleList(PlainMerging(stage.downsample) for stage in used[:-1])
        self.norms = nn.ModuleDict(
            {str(i): getattr(backbone, f'norm{i}') for i in self.out_indices}
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Compute one (B, C_i, H_i, W_i) for each of ``out_indices`` from (B, channels, height, width)."""
        height, width = size_of(image, 2, 3)
        rows, columns = ceil_div(height, self.patch), ceil_div(width, self.patch)
        image = F.pad(image, (0, columns * self.patch - width, 0, rows * self.patch - height))
        x = self.norm(self.projection(image).permute(0, 2, 3, 1))
        outputs = []
        for i, stage in enumerate(self.stages):
            assert isinstance(stage, nn.ModuleList)
            windows = _windows(x, stage)
            for block in stage:
                x = block(x, windows)
            if i in self.out_indices:
                outputs.append(self.norms[str(i)](x).permute(0, 3, 1, 2))
            if i < len(self.merging):
                x = self.merging[i](x)
        return outputs


def _windows(x_BHWC: Tensor, blocks: nn.ModuleList) -> Windows:
    """Say how a stage is cut; once for its blocks, which all have windows of one size and at most one shift."""
    attentions = [block.attention for block in blocks if isinstance(block, PlainBlock)]
    M = attentions[0].window
    shift = max(attention.shift for attention in attentions)
    height, width = size_of(x_BHWC, 1, 2)
    nH, nW = ceil_div(height, M), ceil_div(width, M)
    hidden = rolled = None
    shift_y: int | Tensor = shift
    shift_x: int | Tensor = shift
    if attentions[0].scale is not None:
        # No larger than the map, and not shifted where there is one: window_geometry.fitted.
        several_y, several_x = _is_several(nH, x_BHWC), _is_several(nW, x_BHWC)
        empty_y = _is_empty(height, nH, M, several_y, x_BHWC)
        empty_x = _is_empty(width, nW, M, several_x, x_BHWC)
        hidden = torch.maximum(empty_y[:, None], empty_x).flatten() * HIDDEN_SCORE
        shift_y, shift_x = several_y * shift, several_x * shift
        rolled = _rolled(nH * M, shift_y, x_BHWC), _rolled(nW * M, shift_x, x_BHWC)
    if not shift:
        return Windows(nH, nW, None, hidden, None, None)
    unrolled = _unrolled(height, nH * M, shift_y, x_BHWC), _unrolled(width, nW * M, shift_x, x_BHWC)
    rows, columns = _side(nH, M, shift_y, x_BHWC), _side(nW, M, shift_x, x_BHWC)
    region = (rows[:, None, :, None] * 3 + columns[:, None]).reshape(-1, M * M)
    differs = (region[:, :, None] != region[:, None, :]).to(x_BHWC.dtype)
    return Windows(nH, nW, (differs * MASKED_SCORE)[None, :, None], hidden, rolled, unrolled)


def _is_several(count: Size, like: Tensor) -> Tensor:
    """Tell whether there is more than one window along an axis, as 1 or 0."""
    return torch.arange(count, device=like.device).amax().clamp(max=1)


def _is_empty(length: Size, count: Size, window: int, several: Tensor, like: Tensor) -> Tensor:
    """Tell of the rows or columns of the only window along an axis, (M,), whether the map does not reach there."""
    inside = F.pad(like.new_ones(length), (0, count * window - length))
    inside = inside.index_select(0, torch.arange(window, device=like.device))
    return (1 - inside) * (1 - several).to(like.dtype)


def _rolled(padded: Size, shift: int | Tensor, like: Tensor) -> Tensor:
    """Return which rows or columns of a padded image come where in its rolled form."""
    return (torch.arange(padded, device=like.device) + shift) % padded


def _unrolled(length: Size, padded: Size, shift: int | Tensor, like: Tensor) -> Tensor:
    """Return where the rows or columns of an image are in its padded and rolled form."""
    return (torch.arange(length, device=like.device) + padded - shift) % padded


def _side(count: Size, window: int, shift: int | Tensor, like: Tensor) -> Tensor:
    """Tell of each row or column of the windows, (count, M), in which of three regions it is after the roll."""
    is_last = torch.arange(count, device=like.device) == count - 1
    place = torch.arange(window, device=like.device)
    return is_last[:, None] * (1 + (place >= window - shift).int())
