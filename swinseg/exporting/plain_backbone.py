"""A Swin Transformer in operations that every exporter and runtime has, at sizes known only when it runs.

Nothing here depends on the values of a size: no branch, no loop over windows, no list of numbers. The cyclic shift
is a roll, its end and that of the padding is a choice of rows and columns by a range, the mask of shifted windows
is a comparison of ranges. So a trace at one size holds for all, also one of ``torch.export``, which is the reason
for :func:`~swinseg.exporting.sizes.contiguous` and for the ranges: of a slice to a length it would keep the
condition that it is not longer than the padded one, which it cannot prove.

Shapes: B images, H x W tokens, C channels, M the window's side, N = M * M tokens per window, nH x nW windows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmseg.models.backbones import SwinTransformer
from torch import Tensor, nn

from swinseg.errors import ArchitectureError
from swinseg.exporting.sizes import Size, ceil_div, contiguous, cropped, size_of
from swinseg.models.swin.backbone import SwinBackbone
from swinseg.models.swin.window_geometry import MASKED_SCORE


class Windows(NamedTuple):
    """How the tokens of a stage are cut into windows.

    Attributes:
        rows: nH.
        columns: nW.
        mask: (1, nH * nW, 1, N, N), added to the scores of shifted windows.
        unrolled: where the H rows and the W columns of shifted windows are before they are rolled back; taking
            them is the end of the padding, too.
    """

    rows: Size
    columns: Size
    mask: Tensor | None
    unrolled: tuple[Tensor, Tensor] | None


def plain_backbone(backbone: Any) -> PlainBackbone:
    """Return a backbone in plain operations, with the parameters of the given one.

    Args:
        backbone: ``SwinBackbone``, or mmseg's ``SwinTransformer``, whose parts have the same names.

    Raises:
        ArchitectureError: it is of another class, or has a part that has no plain form here.
    """
    if type(backbone) not in (SwinBackbone, SwinTransformer):
        raise ArchitectureError(
            f'expected a backbone of type SwinBackbone or SwinTransformer to export, found '
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

    def __init__(self, attention: Any) -> None:
        super().__init__()
        inner = attention.w_msa
        window = inner.window_size
        self.window: int = window if isinstance(window, int) else window[0]
        self.shift: int = attention.shift_size
        self.heads: int = inner.num_heads
        channels = inner.qkv.in_features
        scale = torch.ones(3 * channels)
        scale[:channels] = inner.scale
        # The factor on the query belongs to its weights: one multiplication less for each token.
        self.register_buffer('weight', inner.qkv.weight.detach() * scale[:, None])
        bias = inner.qkv.bias
        self.register_buffer('bias', None if bias is None else bias.detach() * scale)
        self.register_buffer('position_bias', _position_bias(inner))
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
        if shift:
            qkv = qkv.roll((-shift, -shift), (1, 2))
        # B, nH, M, nW, M, 3, heads, D -> 3, B, nH, nW, heads, M, M, D; B is what is left over.
        parts = qkv.reshape(-1, nH, M, nW, M, 3, heads, channels // heads)
        parts = contiguous(parts.permute(5, 0, 1, 3, 6, 2, 4, 7))
        q, k, v = parts.reshape(3, -1, heads, M * M, channels // heads).unbind(0)
        scores = q @ k.transpose(-1, -2)  # (B * nH * nW, heads, N, N)
        if self.position_bias is not None:
            scores = scores + self.position_bias
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
    """Return the bias of every pair of tokens, (heads, N, N), of our or mmseg's ``WindowMSA``."""
    table = getattr(attention, 'relative_position_bias_table', None)
    if table is None:
        return None
    index = attention.relative_position_index
    bias = table.detach()[index.flatten()].view(*index.shape, -1)
    return bias.permute(2, 0, 1).contiguous()


class PlainBlock(nn.Module):
    """A block: norm, attention, norm, MLP, two shortcuts."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.norm1, self.norm2 = block.norm1, block.norm2
        self.attention = PlainAttention(block.attn)
        first, last = block.ffn.layers[0], block.ffn.layers[1]
        self.mlp = nn.Sequential(first[0], first[1], last)

    def forward(self, x_BHWC: Tensor, windows: Windows) -> Tensor:
        """Transform tokens; (B, H, W, C) in and out."""
        x = x_BHWC + self.attention(self.norm1(x_BHWC), windows)
        return x + self.mlp(self.norm2(x))


class PlainMerging(nn.Module):
    """Patch merging; the channels in the order of ``nn.Unfold``."""

    def __init__(self, merging: Any) -> None:
        super().__init__()
        self.norm = merging.norm or nn.Identity()
        self.reduction = merging.reduction

    def forward(self, x_BHWC: Tensor) -> Tensor:
        """Merge (B, H, W, C) to (B, ceil(H / 2), ceil(W / 2), 2C)."""
        (height, width), channels = size_of(x_BHWC, 1, 2), x_BHWC.shape[3]
        rows, columns = ceil_div(height, 2), ceil_div(width, 2)
        x = F.pad(x_BHWC, (0, 0, 0, 2 * columns - width, 0, 2 * rows - height))
        x = x.reshape(-1, rows, 2, columns, 2, channels)
        x = contiguous(x.permute(0, 1, 3, 5, 2, 4))
        return self.reduction(self.norm(x.reshape(-1, rows, columns, 4 * channels)))


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
    if not shift:
        return Windows(nH, nW, None, None)
    unrolled = _unrolled(height, nH * M, shift, x_BHWC), _unrolled(width, nW * M, shift, x_BHWC)
    rows, columns = (_side(count, M, shift, x_BHWC) for count in (nH, nW))
    region = (rows[:, None, :, None] * 3 + columns[:, None]).reshape(-1, M * M)
    differs = (region[:, :, None] != region[:, None, :]).to(x_BHWC.dtype)
    return Windows(nH, nW, (differs * MASKED_SCORE)[None, :, None], unrolled)


def _unrolled(length: Size, padded: Size, shift: int, like: Tensor) -> Tensor:
    """Return where the rows or columns of an image are in its padded and rolled form."""
    return (torch.arange(length, device=like.device) + padded - shift) % padded


def _side(count: Size, window: int, shift: int, like: Tensor) -> Tensor:
    """Tell of each row or column of the windows, (count, M), in which of three regions it is after the roll."""
    is_last = torch.arange(count, device=like.device) == count - 1
    place = torch.arange(window, device=like.device)
    return is_last[:, None] * (1 + (place >= window - shift).int())
