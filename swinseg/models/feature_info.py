"""Channels, strides, layers and FSDP units of a backbone: as it publishes them, or as told of one that does not.

A backbone of this package, or of yours, publishes

- ``feature_info``, a sequence of :class:`FeatureInfo`: channels and stride of each map that ``forward`` returns;
- ``in_channels``, an int: channels of the image;
- ``layer_groups()``, the names of its parts from the image on, for layer-wise learning-rate decay;
- ``fsdp_units()``, the modules that FSDP gathers one at a time.

Heads, checks, preparation, learning rates and FSDP ask the functions below and look at no class. For a backbone
without ``feature_info`` (mmseg's; of other classes their attributes of these names mean other things) these say
instead:

- :func:`feature_info`: a forward pass without memory (device ``meta``: shapes alone are computed);
- :func:`image_channels`: the channels that its first convolution takes;
- :func:`layer_groups`: the blocks of mmseg's ``SwinTransformer``, whose names are ours; else each child with
  parameters is one layer, in the order in which they were registered;
- :func:`fsdp_units`: none, so that the weights are gathered for the whole step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from mmseg.models.backbones import SwinTransformer
from torch import Tensor, nn
from torch.func import functional_call

from swinseg.errors import ArchitectureError, quoted

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
    """Return how many channels of an image a backbone takes; None where nothing tells.

    Raises:
        ArchitectureError: it publishes ``feature_info`` with an ``in_channels`` that is no number of channels.
    """
    if _published(backbone) is not None and hasattr(backbone, 'in_channels'):
        channels = backbone.in_channels
        if not isinstance(channels, int) or channels < 1:
            raise ArchitectureError(
                f'in_channels of {type(backbone).__name__} must be the channels of the images that it takes, such '
                f'as 3, found {quoted(channels)}'
            )
        return channels
    convolutions = (each for each in backbone.modules() if isinstance(each, nn.Conv2d))
    first = next(convolutions, None)
    return None if first is None else first.in_channels


def layer_groups(backbone: nn.Module) -> list[tuple[str, ...]]:
    """Return the layers of a backbone from the image on, each as the names of its modules or parameters.

    Parameters that lie in none of them belong behind the last one, with the heads.

    Raises:
        ArchitectureError: the backbone publishes a name under which it has no parameter.
    """
    publish = getattr(backbone, 'layer_groups', None)
    if callable(publish):
        groups = [tuple(group) for group in publish()]
    elif isinstance(backbone, SwinTransformer):
        groups = swin_layer_groups([len(stage.blocks) for stage in backbone.stages])
    else:
        children = backbone.named_children()
        groups = [(name,) for name, child in children if next(child.parameters(), None) is not None]
    names = [name for name, _ in backbone.named_parameters()]
    for part in (part for group in groups for part in group):
        if not any(is_part_of(name, part) for name in names):
            raise ArchitectureError(
                f'layer_groups() of {type(backbone).__name__} names {quoted(part)}, where it has no parameter; '
                'give names of modules or parameters as named_modules() and named_parameters() have them'
            )
    return groups


def is_part_of(name: str, part: str) -> bool:
    """Return whether a parameter is a named one, or lies in the module of that name."""
    return name == part or name.startswith(f'{part}.')


def swin_layer_groups(depths: Sequence[int]) -> list[tuple[str, ...]]:
    """Return the layers of a Swin Transformer: patch embedding, then blocks, the last of a stage with the merging.

    As its authors number them for fine-tuning (Xie et al. 2022, "SimMIM"). Norms of the outputs and an absolute
    position embedding are in none. (Of a ViT the same authors, and mmseg, put that embedding first.)

    Args:
        depths: number of blocks of each stage.
    """
    groups: list[tuple[str, ...]] = [('patch_embed',)]
    for stage, depth in enumerate(depths):
        for block in range(depth):
            ends_stage = block == depth - 1 and stage < len(depths) - 1
            merging = (f'stages.{stage}.downsample',) if ends_stage else ()
            groups.append((f'stages.{stage}.blocks.{block}', *merging))
    return groups


def fsdp_units(backbone: nn.Module) -> list[nn.Module]:
    """Return the modules whose weights FSDP gathers one after the other.

    Each must be called as a whole, and nothing in it be touched in another way.

    Returns:
        Inner ones before those that contain them.

    Raises:
        ArchitectureError: the backbone publishes one that is no part of it.
    """
    publish = getattr(backbone, 'fsdp_units', None)
    units = list(publish()) if callable(publish) else []
    # Parents come before their children there.
    own = {id(part): place for place, part in enumerate(backbone.modules())}
    for unit in units:
        if id(unit) not in own or unit is backbone:
            raise ArchitectureError(
                f'fsdp_units() of {type(backbone).__name__} must be modules inside it, found '
                f'{type(unit).__name__}; give blocks that it calls as a whole'
            )
    return sorted(units, key=lambda unit: -own[id(unit)])


def _published(backbone: nn.Module) -> list[FeatureInfo] | None:
    info: Any = getattr(backbone, 'feature_info', None)
    is_list = isinstance(info, list | tuple) and bool(info)
    # timm's attribute of this name is of another class; mmseg's MobileNetV2 has an in_channels of its last layer.
    return list(info) if is_list and all(isinstance(each, FeatureInfo) for each in info) else None


def _side_of(backbone: nn.Module) -> int:
    """Return the side of an image that a backbone takes; some with absolute positions take only one."""
    size = getattr(backbone, 'img_size', _SIDE)
    first = size[0] if isinstance(size, Sequence) and size else size
    return first if isinstance(first, int) and first > 0 else _SIDE


def _is_map(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 4 and value.shape[2] > 0


def forward_on_shapes(module: nn.Module, *inputs: Any) -> Any:
    """Return what a module makes of tensors without memory (device ``meta``), in evaluation mode.

    Args:
        module: it is left as it is.
        *inputs: tensors on ``meta``.
    """
    state = {
        name: tensor.detach().to('meta')
        for name, tensor in (*module.named_parameters(), *module.named_buffers())
    }
    with torch.no_grad(), _in_evaluation(module):
        return functional_call(module, state, inputs)


def _forward(module: nn.Module, *inputs: Any) -> Any:
    """Return what a module makes of tensors without memory, or None where it cannot."""
    try:
        return forward_on_shapes(module, *inputs)
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
