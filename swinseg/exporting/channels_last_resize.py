"""Bilinear resizing of channels-last maps, in ONNX, too, where PyTorch's exporter writes that of channels-first.

ONNX Runtime resizes (B, h, w, C) about five times as fast as (B, C, h, w), and no transposition is needed.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from swinseg.exporting.sizes import Size, permuted


def resize(x_BhwC: Tensor, size: tuple[Size, ...], *, align_corners: bool) -> Tensor:
    """Resize (B, h, w, C) bilinearly to (B, H, W, C).

    Args:
        x_BhwC: the map.
        size: H and W.
        align_corners: as ``torch.nn.functional.interpolate`` takes it.
    """
    if torch.onnx.is_in_onnx_export():
        resized: Tensor = _OnnxResize.apply(x_BhwC, _as_tensor(size), align_corners)
        return resized
    return _interpolate(x_BhwC, size, align_corners)


def _interpolate(x_BhwC: Tensor, size: tuple[Size, ...], align_corners: bool) -> Tensor:
    x = permuted(x_BhwC, 0, 3, 1, 2)
    x = F.interpolate(x, size=list(size), mode='bilinear', align_corners=align_corners)
    return permuted(x, 0, 2, 3, 1)


def _as_tensor(size: tuple[Size, ...]) -> Tensor:
    return torch.stack([torch.as_tensor(length) for length in size])


class _OnnxResize(torch.autograd.Function):
    """What the tracer of ONNX records as one ``Resize``."""

    @staticmethod
    def forward(ctx: Any, x_BhwC: Tensor, size: Tensor, align_corners: bool) -> Tensor:
        return _interpolate(x_BhwC, tuple(size.tolist()), align_corners).contiguous()

    @staticmethod
    def symbolic(graph: Any, x: Any, size: Any, align_corners: bool) -> Any:
        shape = graph.op('Shape', x)
        batch, channels = (
            graph.op('Gather', shape, graph.op('Constant', value_t=torch.tensor([axis])))
            for axis in (0, 3)
        )
        target = graph.op('Concat', batch, size, channels, axis_i=0)
        none = graph.op('Constant', value_t=torch.tensor([], dtype=torch.float32))
        return graph.op(
            'Resize',
            x,
            none,
            none,
            target,
            mode_s='linear',
            coordinate_transformation_mode_s='align_corners' if align_corners else 'half_pixel',
        )
