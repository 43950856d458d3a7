"""A UPerNet head in operations that every exporter and runtime has, at sizes known only when it runs.

Coarse levels of the pyramid are not resized before the 3x3 convolution that joins them: their channels are mixed
at their own resolution and the result is spread by one matrix for each axis
(:mod:`swinseg.models.ops.upsampled_conv` tells why that is the same). Batch norm is folded into the convolutions.

Everything is channels-last, as the backbone's tokens are, so that all but the 3x3 convolutions are matrix
products; the large ones of these are, too (:mod:`swinseg.exporting.plain_conv`).

Shapes: B images; level i of the backbone has C_i channels and H_i x W_i pixels; D is the head's width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads import UPerHead
from torch import Tensor, nn

from swinseg.errors import ArchitectureError
from swinseg.exporting import plain_conv
from swinseg.exporting.channels_last_resize import resize
from swinseg.exporting.sizes import Size, as_dtype, contiguous, permuted, size_of
from swinseg.models.ops.upsampled_conv import TAPS, mixing_matrix
from swinseg.models.prepare import can_fold, fold_batch_norm
from swinseg.models.upernet import UPerNetHead, is_plain_conv, is_plain_conv3x3


def plain_head(head: Any) -> PlainHead:
    """Return a head in plain operations, with the parameters of the given one.

    Args:
        head: ``UPerNetHead``, or mmseg's ``UPerHead``, whose parts have the same names.

    Raises:
        ArchitectureError: it is of another class, or has a layer that has no plain form here.
    """
    if type(head) not in (UPerNetHead, UPerHead):
        raise ArchitectureError(
            f'expected a decode head of type UPerNetHead or UPerHead to export, found {type(head).__name__}; '
            'other heads have no exportable form here'
        )
    return PlainHead(head)


class _Conv(nn.Module):
    """A convolution with its norm folded into it where it is batch norm, and what follows."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, module: ConvModule) -> None:
        super().__init__()
        size = module.conv.kernel_size
        if not is_plain_conv3x3(module) and not (is_plain_conv(module) and size == (1, 1)):
            raise ArchitectureError(
                f'the head has a convolution {module.conv} that has no exportable form here; ordinary ones of '
                '1x1 and 3x3 have'
            )
        if can_fold(module):
            weight, bias = fold_batch_norm(module)
            following: list[nn.Module] = []
        else:
            weight, bias = module.conv.weight, module.conv.bias
            following = [module.norm] if module.with_norm else []
        if module.with_activation:
            is_relu = isinstance(module.activate, nn.ReLU)
            following.append(nn.ReLU() if is_relu else module.activate)
        # As a matrix where it is one: the step would be left in the graph.
        weight = weight.flatten(1) if size == (1, 1) else weight
        self.register_buffer('weight', weight.detach().float())
        self.register_buffer('bias', None if bias is None else bias.detach().float())
        self.following = _ChannelsLast(following)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        """Convolve (B, H, W, C) to (B, H, W, D)."""
        return self.following(_convolve(x_BHWC, self.weight, self.bias))


def _convolve(x_BHWC: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return the convolution with a kernel (D, C) or (D, C, 3, 3), as (B, H, W, D)."""
    if weight.dim() == 2:
        return F.linear(x_BHWC, weight, bias)
    if plain_conv.pays(weight):
        out = plain_conv.conv3x3(x_BHWC, weight)
        return out if bias is None else out + bias
    return permuted(F.conv2d(permuted(x_BHWC, 0, 3, 1, 2), weight, bias, padding=1), 0, 2, 3, 1)


class _ChannelsLast(nn.Module):
    """Layers for (B, C, H, W), on (B, H, W, C)."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.is_elementwise = all(isinstance(layer, nn.ReLU) for layer in layers)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        """Apply the layers."""
        if self.is_elementwise:
            return self.layers(x_BHWC)
        return permuted(self.layers(permuted(x_BHWC, 0, 3, 1, 2)), 0, 2, 3, 1)


class _PyramidConv(nn.Module):
    """A 3x3 convolution of maps that belong side by side, resized to the size of the first."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, module: ConvModule, channels: Sequence[int], *, align_corners: bool) -> None:
        super().__init__()
        self.align_corners = align_corners
        whole = _Conv(module)
        first, *coarse = whole.weight.split(list(channels), 1)
        self.register_buffer('weight', first.contiguous())
        self.register_buffer('bias', whole.bias)
        self.following = whole.following
        for i, kernel in enumerate(coarse):
            self.register_buffer(f'mixing{i}', mixing_matrix(kernel).contiguous())

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Convolve maps (B, h_i, w_i, C_i) to (B, H, W, D), H x W the size of the first."""
        out = _convolve(maps[0], self.weight, self.bias)
        channels = self.weight.shape[0]
        height, width = size_of(out, 1, 2)
        for i, x in enumerate(maps[1:]):
            h, w = size_of(x, 1, 2)
            mixed = F.linear(x, getattr(self, f'mixing{i}'))
            spread = shifted_interpolation(w, width, align_corners=self.align_corners, like=x)
            wide = _product(spread, mixed.reshape(-1, TAPS * w, TAPS * channels))
            # B, h, W, ky, D -> B, h, ky, W, D; B is what is left over.
            wide = contiguous(wide.reshape(-1, h, width, TAPS, channels).transpose(2, 3))
            spread = shifted_interpolation(h, height, align_corners=self.align_corners, like=x)
            spread = _product(spread, wide.reshape(-1, TAPS * h, width * channels))
            out = out + spread.reshape(-1, height, width, channels)
        return self.following(out)


def _product(matrix: Tensor, x: Tensor) -> Tensor:
    """Multiply each of (N, K, L) by one (M, K) matrix."""
    if torch.compiler.is_exporting():
        # What matmul does; of that, torch.export would keep that no size is 1.
        return torch.bmm(matrix.expand(x.shape[0], *matrix.shape), x)
    return matrix @ x


def shifted_interpolation(
    length: Size, target: Size, *, align_corners: bool, like: Tensor
) -> Tensor:
    """Return what upsamples a line and shifts it by the taps of a convolution, from arithmetic alone.

    Returns:
        (target, length * 3), the tap running fastest: ``swinseg.models.ops.upsampled_conv.shifted_interpolation``,
        to rounding, in the order in which the mixed channels are counted. It is computed in float32, in which
        the places are exact, and has the type of ``like``.
    """
    targets = torch.arange(target, device=like.device)[:, None]
    place = targets + torch.arange(TAPS, device=like.device)[None] - 1  # (target, 3)
    is_inside = ((place >= 0) & (place < target)).float()
    source = place.float()
    if align_corners:
        # A single target reads the first input, whatever the quotient.
        gaps = _number(target - 1, like).clamp(min=1)
        source = source * (_number(length - 1, like) / gaps)
    else:
        source = (source + 0.5) * (_number(length, like) / _number(target, like)) - 0.5
    source = torch.minimum(source.clamp(min=0), _number(length - 1, like))
    inputs = torch.arange(length, device=like.device).float()
    weights = (1 - (source[:, None, :] - inputs[None, :, None]).abs()).clamp(min=0)
    return as_dtype((weights * is_inside[:, None, :]).reshape(target, -1), like.dtype)


def pooled(x_BHWC: Tensor, counts: Sequence[int]) -> list[Tensor]:
    """Average (B, H, W, C) to a (B, n, n, C) for each of some counts, as ``nn.AdaptiveAvgPool2d(n)`` does."""
    (height, width), channels = size_of(x_BHWC, 1, 2), x_BHWC.shape[3]
    averages = []
    for n in counts:
        rows, columns = (pooling_matrix(n, side, x_BHWC) for side in (height, width))
        averages.append((rows[:, None, :, None] * columns[:, None]).reshape(n * n, height * width))
    # One product for all of them.
    matrix = as_dtype(torch.cat(averages), x_BHWC.dtype)
    parts = _product(matrix, x_BHWC.reshape(-1, height * width, channels))
    squares = map(contiguous, parts.split([n * n for n in counts], 1))
    return [part.reshape(-1, n, n, channels) for n, part in zip(counts, squares, strict=True)]


def pooling_matrix(count: int, length: Size, like: Tensor) -> Tensor:
    """Return the (count, length) float32 matrix with which ``nn.AdaptiveAvgPool2d`` averages along one axis."""
    part = torch.arange(count, device=like.device)
    first = (part * length) // count
    end = ((part + 1) * length + count - 1) // count
    place = torch.arange(length, device=like.device)
    is_inside = (place[None] >= first[:, None]) & (place[None] < end[:, None])
    return is_inside.float() / (end - first)[:, None].float()


def _number(value: Size, like: Tensor) -> Tensor:
    if isinstance(value, Tensor):
        return value.float()
    return torch.full((), value, dtype=torch.float32, device=like.device)


class PlainHead(nn.Module):
    """The whole head; see :func:`plain_head`."""

    def __init__(self, head: Any) -> None:
        super().__init__()
        top, width = head.in_channels[-1], head.channels
        self.in_index = tuple(head.in_index)
        self.align_corners: bool = head.align_corners
        pools = [pooled[0].output_size for pooled in head.psp_modules]
        self.scales = [scale if isinstance(scale, int) else scale[0] for scale in pools]
        self.pooled = nn.ModuleList(_Conv(pooled[1]) for pooled in head.psp_modules)
        self.laterals = nn.ModuleList(_Conv(conv) for conv in head.lateral_convs)
        self.levels = nn.ModuleList(_Conv(conv) for conv in head.fpn_convs)
        self.bottleneck = _PyramidConv(
            head.bottleneck,
            [top, *[width] * len(self.scales)],
            align_corners=self.align_corners,
        )
        self.joined = _PyramidConv(
            head.fpn_bottleneck,
            [width] * len(head.in_channels),
            align_corners=self.align_corners,
        )
        self.classifier = head.conv_seg

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Classify the pixels of the finest level: (B, K, H_0, W_0) logits of (B, C_i, H_i, W_i)."""
        *finer, top = (features[i].permute(0, 2, 3, 1) for i in self.in_index)
        laterals = [conv(x) for conv, x in zip(self.laterals, finer, strict=True)]
        averages = pooled(top, self.scales)
        coarse = [conv(average) for conv, average in zip(self.pooled, averages, strict=True)]
        x = self.bottleneck([top, *coarse])
        pyramid = [x]
        for lateral, conv in zip(reversed(laterals), reversed(self.levels), strict=True):
            x = lateral + resize(x, size_of(lateral, 1, 2), align_corners=self.align_corners)
            pyramid.append(conv(x))
        # Not as a product of channels-last maps: of two transpositions that undo each other, one of them to be the
        # logits, runtimes keep neither, and the logits would not be found by their name.
        logits: Tensor = self.classifier(permuted(self.joined(pyramid[::-1]), 0, 3, 1, 2))
        return logits
