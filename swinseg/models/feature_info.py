"""Channels and strides of the maps that a backbone gives to the heads.

``SwinBackbone`` publishes them as ``feature_info``. Of any other backbone, and of a neck, a forward pass without
memory tells (device ``meta``: shapes alone are computed).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

# A multiple of every stride in use; the size changes nothing in what the pass costs.
_SIDE = 256


class FeatureInfo(NamedTuple):
    """One map of a backbone.

    Attributes:
        channels: of the map.
        stride: pixels of the image for each pixel of the map.
    """

    channels: int
    stride: int


def feature_info(backbone: nn.Module, neck: nn.Module | None = None) -> list[FeatureInfo] | None:
    """Return what a backbone, and the neck behind it, give to the heads.

    Args:
        backbone: ours, mmseg's or any other; it is left as it is.
        neck: between backbone and heads.

    Returns:
        One entry for each map, or None where it cannot be told: the maps are no tensors in a list, or the pass
        needs numbers.
    """
    published = _published(backbone)
    if published is not None:
        if neck is None:
            return published
        side = max(info.stride for info in published) * 8
        maps: Any = tuple(
            torch.empty(1, info.channels, side // info.stride, side // info.stride, device='meta')
            for info in published
        )
    else:
        side = _side_of(backbone)
        channels = image_channels(backbone)
        if channels is None:
            return None
        maps = _forward(backbone, torch.empty(1, channels, side, side, device='meta'))
    if neck is not None and maps is not None:
        maps = _forward(neck, maps)
    if not isinstance(maps, list | tuple) or not all(_is_map(each) for each in maps):
        return None
    return [FeatureInfo(each.shape[1], round(side / each.shape[2])) for each in maps]


def image_channels(backbone: nn.Module) -> int | None:
    """Return how many channels of an image a backbone takes, those of its first convolution; None without one."""
    convolutions = (each for each in backbone.modules() if isinstance(each, nn.Conv2d))
    first = next(convolutions, None)
    return None if first is None else first.in_channels


def _published(backbone: nn.Module) -> list[FeatureInfo] | None:
    info: Any = getattr(backbone, 'feature_info', None)
    is_list = isinstance(info, list | tuple) and bool(info)
    # timm's attribute of this name is of another class.
    return list(info) if is_list and all(isinstance(each, FeatureInfo) for each in info) else None


def _side_of(backbone: nn.Module) -> int:
    """Return the side of an image that a backbone takes; some with absolute positions take only one."""
    size = getattr(backbone, 'img_size', _SIDE)
    first = size[0] if isinstance(size, Sequence) and size else size
    return first if isinstance(first, int) and first > 0 else _SIDE


def _is_map(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 4 and value.shape[2] > 0


def _forward(module: nn.Module, *inputs: Any) -> Any:
    """Return what a module makes of tensors without memory, or None where it cannot."""
    try:
        state = {
            name: tensor.detach().to('meta')
            for name, tensor in (*module.named_parameters(), *module.named_buffers())
        }
        with torch.no_grad(), _in_evaluation(module):
            return functional_call(module, state, inputs)
    except Exception:  # of whatever kind a module of someone else gives where it needs numbers
        return None


@contextlib.contextmanager
def _in_evaluation(module: nn.Module) -> Iterator[None]:
    """Put all parts of a module into evaluation mode in the block, without their ``train`` methods."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        for part, _ in modes:
            part.training = False
        yield
    finally:
        for part, mode in modes:
            part.training = mode
