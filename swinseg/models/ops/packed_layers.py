"""Layers for inference: weights folded, transformed and packed once, activations fused.

They are made by :func:`swinseg.models.prepare.prepare_for_inference`, hold no parameters, and cannot be trained.

Shapes: B images, C input and D output channels, h x w pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swinseg.models.ops import winograd_conv
from swinseg.models.ops.upsampled_conv import (
    add_mixed,
    mixed_when_coarse,
    mixing_matrix,
    pyramid_conv3x3,
)

LinearActivation = Literal['none', 'gelu']


def has_packed_linear(dtype: torch.dtype = torch.float32) -> bool:
    """Tell whether this PyTorch has oneDNN's linear layer with packed weights, which its compiler uses.

    Args:
        dtype: of the weights; bfloat16 needs instructions that processors with no more than AVX2 lack.
    """
    operators = ('_linear_pointwise', '_reorder_linear_weight')
    if not torch.backends.mkldnn.is_available() or not all(
        hasattr(torch.ops.mkldnn, name) for name in operators
    ):
        return False
    try:
        torch.ops.mkldnn._reorder_linear_weight(torch.zeros(1, 1, dtype=dtype), None)
    except RuntimeError:
        return False
    return True


class PackedLinear(nn.Module):
    """``nn.Linear`` on a CPU with its weight in oneDNN's own layout, and the activation after it, if any.

    Args:
        weight: (D, C) float32 or bfloat16.
        bias: (D,) or None.
        activation: ``'gelu'`` (the exact one) or ``'none'``.
    """

    bias: Tensor | None

    def __init__(
        self, weight: Tensor, bias: Tensor | None, *, activation: LinearActivation = 'none'
    ) -> None:
        super().__init__()
        self.activation = activation
        self.approximation = 'none' if activation == 'gelu' else ''
        self.register_buffer('bias', bias)
        # No buffer: an opaque tensor can be neither copied to a device nor stored.
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., D)."""
        return torch.ops.mkldnn._linear_pointwise(
            x, self._packed, self.bias, self.activation, [], self.approximation
        )


class ActivatedLinear(nn.Module):
    """``nn.Linear`` and the activation after it, for where packing does not exist or does not pay."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None, *, activation: LinearActivation = 'none'
    ) -> None:
        super().__init__()
        self.weight: Tensor
        self.bias: Tensor | None
        self.register_buffer('weight', weight)
        self.register_buffer('bias', bias)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., D)."""
        x = F.linear(x, self.weight, self.bias)
        return F.gelu(x) if self.activation == 'gelu' else x


class FoldedConv1x1(nn.Module):
    """A 1x1 convolution with the batch norm in its weights, and ReLU.

    Args:
        weight: (D, C, 1, 1).
        bias: (D,).
        relu: whether ReLU follows.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, relu: bool) -> None:
        super().__init__()
        self.weight: Tensor
        self.bias: Tensor | None
        self.register_buffer('weight', weight)
        self.register_buffer('bias', bias)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, D, h, w)."""
        x = F.conv2d(x, self.weight, self.bias)
        return x.relu_() if self.relu else x


class PackedPyramidConv(nn.Module):
    """The 3x3 convolution of one map, or of several resized to the first, with folded batch norm and ReLU.

    Equals :func:`swinseg.models.ops.upsampled_conv.pyramid_conv3x3`. The kernel's reordered form is kept, and from
    the first large map on the transformed one, 4 times as many numbers in float32 and 11 times in half precision.

    Args:
        weight: (D, sum of C_i, 3, 3), as exact as it is known.
        bias: (D,) or None.
        channels: C_i of each map.
        relu: whether ReLU follows.
        dtype: of inputs and outputs.
        winograd: whether the first map may be convolved by Winograd's algorithm, in float32 whatever ``dtype``.
    """

    weight: Tensor
    bias: Tensor | None
    first: Tensor

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        *,
        channels: Sequence[int],
        relu: bool,
        dtype: torch.dtype,
        winograd: bool,
    ) -> None:
        super().__init__()
        self.relu = relu
        first, *others = weight.split(list(channels), dim=1)
        # No buffers, which a later ``to(dtype)`` of the model would round.
        self.weight = weight.to(dtype).contiguous(memory_format=torch.channels_last)
        self.bias = None if bias is None else bias.to(dtype)
        self.first = first.to(dtype).contiguous(memory_format=torch.channels_last)
        self.mixing = [mixing_matrix(kernel.to(dtype)).contiguous() for kernel in others]
        self.winograd = winograd
        if winograd:
            self.outputs = winograd_conv.EXACT if dtype == torch.float32 else winograd_conv.FAST
            self.exact_first = first.float()
            self.exact_bias = None if bias is None else bias.float()

    def forward(self, maps: Sequence[Tensor], *, align_corners: bool) -> Tensor:
        """Map (B, C_i, h_i, w_i) to (B, D, h_0, w_0)."""
        coarse = mixed_when_coarse(maps)
        if coarse != list(range(1, len(maps))):
            # Tiny images, where some levels are nearly as large as the first.
            out = pyramid_conv3x3(maps, self.weight, self.bias, align_corners=align_corners)
            return out.relu_() if self.relu else out
        finest = maps[0].contiguous(memory_format=torch.channels_last)
        if not coarse:
            return self._convolve_first(finest, relu=self.relu)
        out = self._convolve_first(finest, relu=False)
        for x, mixing in zip(maps[1:], self.mixing, strict=True):
            out = add_mixed(out, x, mixing, align_corners=align_corners)
        return out.relu_() if self.relu else out

    def _convolve_first(self, x: Tensor, *, relu: bool) -> Tensor:
        if self.winograd and winograd_conv.is_large_enough(x, len(self.weight), self.outputs):
            return winograd_conv.convolve(x, self._transformed, self.exact_bias, relu=relu)
        out = F.conv2d(x, self.first, self.bias, padding=1)
        out = out.contiguous(memory_format=torch.channels_last)
        return out.relu_() if relu else out

    @cached_property
    def _transformed(self) -> Tensor:
        """The kernel for Winograd's algorithm; maps that are small never need it."""
        return winograd_conv.transform_kernel(self.exact_first.double(), self.outputs).float()
