"""Networks of timm by name: built for images of any size, without what only classification needs.

timm is an optional dependency and imported by the functions here alone.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from swinseg.errors import ArchitectureError, quoted, shown
from swinseg.models.feature_info import is_part_of

# What a class may take to accept other sizes than those of its pretraining.
_FOR_ANY_SIZE = {'dynamic_img_size': True, 'strict_img_size': False, 'always_partition': True}
# Arguments of timm's factory that TimmBackbone sets itself, or that would read files and addresses.
_TAKEN: dict[str, str] = {
    'pretrained': 'pretrained',
    'checkpoint_path': 'pretrained',
    'pretrained_cfg': 'pretrained',
    'pretrained_cfg_overlay': 'pretrained',
    'pretrained_model_args': 'pretrained',
    'pretrained_strict': "init_cfg=dict(type='Pretrained', checkpoint=..., minimum=...)",
    'pretrained_filter_fn': 'pretrained',
    'cache_dir': 'the environment variable HF_HOME',
    'in_chans': 'in_channels',
    'out_indices': 'out_indices',
    'features_only': 'out_indices',
    'feature_cls': 'out_indices',
    'num_classes': 'num_classes of the heads',
    'drop_path_rate': 'drop_path_rate',
}
# Maps of networks without padding at their borders are a few pixels smaller than the image's share.
_BORDER = 4
_STRAY = '#'


def import_timm() -> Any:
    """Return the package.

    Raises:
        ArchitectureError: it is not installed, or too old.
    """
    try:
        timm = importlib.import_module('timm')
    except ImportError as error:
        raise ArchitectureError(
            f'TimmBackbone needs the package timm, which cannot be imported ({shown(str(error))}); install it '
            'with: pip install "swinseg[timm]"'
        ) from error
    return timm


def build_network(
    name: str,
    *,
    in_channels: int,
    drop_path_rate: float | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a network of timm with random weights, for images of any size where its class can.

    Args:
        name: of timm, with or without the tag of published weights (``convnext_tiny.fb_in22k``).
        in_channels: channels of the image.
        drop_path_rate: stochastic depth; None leaves it to timm.
        arguments: further ones of the network, such as ``img_size``, ``window_size`` or ``patch_size``.

    Raises:
        ArchitectureError: timm is missing, does not know the name or an argument, or an argument is one that
            belongs elsewhere.
    """
    timm = import_timm()
    if not isinstance(name, str) or ':' in name or '/' in name or not timm.is_model(name):
        known = timm.list_models()
        near = _nearest(str(name).split('.')[0], known)
        raise ArchitectureError(
            f'timm {timm.__version__} has no model {quoted(name)}{near}; '
            'python -c "import timm; print(timm.list_models(\'*convnext*\'))" lists names'
        )
    options = dict(arguments or {})
    for key in options:
        if key in _TAKEN:
            raise ArchitectureError(
                f'{key} in model_args of TimmBackbone is not read; set {_TAKEN[key]} instead'
            )
    options.update(num_classes=0, in_chans=in_channels)
    if drop_path_rate is not None:
        options['drop_path_rate'] = drop_path_rate
    # On shapes alone, to see which arguments its class takes.
    with torch.device('meta'):
        probe = _create(timm, name, options)
    taken = inspect.signature(type(probe).__init__).parameters
    options = {**{k: v for k, v in _FOR_ANY_SIZE.items() if k in taken}, **options}
    return _create(timm, name, options)


def _create(timm: Any, name: str, options: Mapping[str, Any]) -> nn.Module:
    try:
        network: nn.Module = timm.create_model(name, **options)
    except (TypeError, ValueError, AssertionError, RuntimeError, KeyError) as error:
        reason = shown(' '.join(str(error).split()), most=200) or type(error).__name__
        raise ArchitectureError(
            f'timm cannot build {name} with {shown(dict(options), most=200)}: {reason}; change model_args of '
            'TimmBackbone'
        ) from error
    if not callable(getattr(network, 'forward_intermediates', None)):
        raise ArchitectureError(
            f'{name} of timm {timm.__version__} gives no maps of its stages (forward_intermediates); update timm, '
            'or take another network'
        )
    return network


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f', did you mean {near[0]}' if near else ''


def choose_maps(network: nn.Module, out_indices: Sequence[int] | None, name: str) -> list[int]:
    """Return the indices of the maps that a network is to give.

    Args:
        network: of timm.
        out_indices: as the user chose, negative ones from the end; None for the last map of each stride from 4 on,
            the four of a hierarchical network and the last one of a plain Vision Transformer.
        name: of the network, for the message.

    Raises:
        ArchitectureError: a chosen map is not there, or they are not in order.
    """
    info: Any = network.feature_info
    strides = [each['reduction'] for each in info]
    if out_indices is None:
        return [
            i for i, stride in enumerate(strides) if stride >= 4 and stride not in strides[i + 1 :]
        ]
    count = len(strides)
    is_list = isinstance(out_indices, Sequence) and not isinstance(out_indices, str)
    whole = is_list and all(isinstance(i, int) and -count <= i < count for i in out_indices)
    chosen = [i % count for i in out_indices] if whole else []
    if not chosen or chosen != sorted(set(chosen)):
        listed = ', '.join(f'{i}: stride {stride}' for i, stride in enumerate(strides[:8]))
        raise ArchitectureError(
            f'out_indices must name maps of {name} once each, the finest first, from 0 to {count - 1} '
            f'({listed}{", ..." if count > 8 else ""}), found {quoted(out_indices)}'
        )
    return chosen


class MapsOfStages(nn.Module):
    """A network of timm without what lies behind the last chosen map, which gives maps.

    Args:
        network: of timm; it is changed.
        indices: of the maps, from 0 on.
    """

    def __init__(self, network: nn.Module, indices: Sequence[int]) -> None:
        super().__init__()
        model: Any = network
        if callable(getattr(model, 'prune_intermediate_layers', None)):
            indices = model.prune_intermediate_layers(list(indices), prune_norm=True)
        self.model = model
        self.indices = list(indices)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Turn (B, C, H, W) of a size that the network takes into one (B, C_i, H_i, W_i) for each map."""
        maps: list[Tensor] = self.model.forward_intermediates(
            pixels, indices=self.indices, output_fmt='NCHW', intermediates_only=True
        )
        return maps


def pretraining_side(network: nn.Module, arguments: Mapping[str, Any]) -> int:
    """Return the larger side in pixels of the images that a network was made for."""
    settings: Any = network.pretrained_cfg
    size = arguments.get('img_size') or settings['input_size'][1:]
    return max(size) if isinstance(size, Sequence) else int(size)


def find_divisor(
    maps_of: Callable[[tuple[int, int]], Sequence[tuple[int, ...]]],
    infos: Sequence[tuple[int, int]],
    *,
    pretraining_side: int,
    name: str,
) -> int:
    """Find what height and width must be multiples of, on shapes alone.

    Args:
        maps_of: gives the (C, H, W) shapes of the maps of an image of (height, width); raises where the network
            cannot take it.
        infos: channels and stride of each map, as the network publishes them.
        pretraining_side: side of the images that it was made for.
        name: of the network, for the message.

    Returns:
        The smallest of 1, the first and the last stride and the pretraining side with which each map has
        ``ceil(side / stride)`` pixels, or nearly so where the network does not pad its layers.

    Raises:
        ArchitectureError: the network takes images of one size only.
    """
    top = max(stride for _, stride in infos)
    candidates = dict.fromkeys((1, infos[0][1], top, pretraining_side))
    nearly: int | None = None
    reason = ''
    for divisor in candidates:
        height, width = (
            math.ceil(side / divisor) * divisor for side in (3 * top + top // 2 + 3, 5 * top + 5)
        )
        size = (height, width)
        if height == width:
            size = (height, 2 * width)
        try:
            off = _largest_difference(maps_of(size), infos, size)
        except Exception as error:  # of whatever kind a network gives where a size does not fit
            reason = shown(' '.join(str(error).split()), most=120)
            continue
        if off == 0:
            return divisor
        if off <= _BORDER and divisor % top == 0 and nearly is None:
            nearly = divisor
        reason = 'its maps do not grow with the image'
    if nearly is not None:
        return nearly
    raise ArchitectureError(
        f'{name} of timm takes images of {pretraining_side} x {pretraining_side} only ({reason}), but images and '
        'windows to be segmented have other sizes; take a network for any size, such as convnext_tiny, '
        'efficientvit_b0, pvt_v2_b0, vit_small_patch14_dinov2 or swin_tiny_patch4_window7_224'
    )


def _largest_difference(
    shapes: Sequence[tuple[int, ...]],
    infos: Sequence[tuple[int, int]],
    size: Sequence[int],
) -> int:
    """Return by how many pixels a map is larger or smaller than its share of the image."""
    off = 0
    for (channels, height, width), (published, stride) in zip(shapes, infos, strict=True):
        if channels != published:
            raise ValueError(f'a map has {channels} channels where {published} are published')
        off = max(
            off, abs(height - math.ceil(size[0] / stride)), abs(width - math.ceil(size[1] / stride))
        )
    return off


def layers_of(network: nn.Module, *, coarse: bool) -> list[tuple[str, ...]]:
    """Return the layers of a network from the image on, each as the names of its parameters.

    Args:
        network: of timm.
        coarse: whether a stage is one layer; a plain Vision Transformer has blocks in both cases.

    Returns:
        As its own ``group_matcher`` says, without what that leaves to the head; of a network without one, each
        child with parameters is a layer, and each member of a sequence.
    """
    names = [name for name, _ in network.named_parameters()]
    publish: Any = getattr(network, 'group_matcher', None)
    if publish is None:
        children = [
            child for name, module in network.named_children() for child in _parts(name, module)
        ]
        groups = [tuple(n for n in names if is_part_of(n, child)) for child in children]
        return [group for group in groups if group]
    from timm.models import group_parameters

    matcher = publish(coarse=coarse)
    if isinstance(matcher, dict):
        # What no pattern matches comes last of all: so does a name that surely matches none.
        names.append(_STRAY)
    named: Any = SimpleNamespace(named_parameters=lambda: [(name, None) for name in names])
    groups = [group for _, group in sorted(group_parameters(named, matcher).items())]
    return [tuple(group) for group in groups if _STRAY not in group]


def _parts(name: str, module: nn.Module) -> list[str]:
    """Return the names of the members of a sequence, or that of any other module."""
    if isinstance(module, nn.Sequential | nn.ModuleList):
        return [f'{name}.{child}' for child, _ in module.named_children()]
    return [name]


def repeated_blocks(network: nn.Module) -> list[nn.Module]:
    """Return the blocks of a network: the fine layers that are one member of a sequence, called as a whole."""
    blocks = []
    for group in layers_of(network, coarse=False):
        split = [name.split('.')[:-1] for name in group]
        common: list[str] = []
        for parts in zip(*split, strict=False):
            if len(set(parts)) > 1:
                break
            common.append(parts[0])
        while common and not common[-1].isdigit():
            common.pop()
        if not common:
            continue
        parent = network.get_submodule('.'.join(common[:-1]))
        if isinstance(parent, nn.Sequential | nn.ModuleList):
            blocks.append(network.get_submodule('.'.join(common)))
    return blocks


def to_network_names(
    network: nn.Module, state_dict: Mapping[str, Tensor], name: str, in_channels: int
) -> dict[str, Tensor]:
    """Return weights of timm, or of the files that timm knows how to read, in a network's names and shapes.

    Args:
        network: of timm.
        state_dict: of the classifier, with its names.
        name: of the network.
        in_channels: of the network; the first convolution is adapted to it as timm does.

    Raises:
        ValueError, KeyError, RuntimeError: timm's function for the family cannot read them.
    """
    from timm.models import adapt_input_conv, model_entrypoint

    # Each family has a function of that name where its files need one: renamings of the original code, and
    # position embeddings and patches of other sizes.
    module = sys.modules[model_entrypoint(name).__module__]
    adapt = getattr(module, 'checkpoint_filter_fn', None)
    weights = dict(adapt(dict(state_dict), network) if adapt is not None else state_dict)
    settings: Any = network.pretrained_cfg
    first = settings.get('first_conv') or ()
    for conv in (first,) if isinstance(first, str) else first:
        key = f'{conv}.weight'
        if key in weights and weights[key].shape[1] == 3 != in_channels:
            weights[key] = adapt_input_conv(in_channels, weights[key])
    return weights
