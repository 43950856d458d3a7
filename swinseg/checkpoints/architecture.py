"""Architecture of the network that a state dict belongs to, and the lines of a config that describe it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from swinseg.checkpoints.formats import backbone_part, is_v2
from swinseg.checkpoints.resize import window_size_of

# Numbers of few digits: a file may name any, and what is counted up to them here must end.
_BLOCK = re.compile(r'stages\.(\d{1,2})\.blocks\.(\d{1,4})\.(.+)')
_VERSIONS = {1: ('Swin', 'Swin Transformer'), 2: ('SwinV2', 'Swin Transformer V2')}
_VARIANTS = {
    (96, (2, 2, 6, 2)): 'T',
    (96, (2, 2, 18, 2)): 'S',
    (128, (2, 2, 18, 2)): 'B',
    (192, (2, 2, 18, 2)): 'L',
}
# What must agree for weights to mean the same; windows are resized and classes may differ.
# A file of one version fills nearly all of the other, whose numbers mean something else.
_DECISIVE = ('version', 'embed_dims', 'depths', 'num_heads', 'patch_size')


def infer_architecture(state_dict: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the sizes of a Swin backbone and its head off the shapes of a state dict in mmseg's names.

    Args:
        state_dict: of a backbone, with or without the prefix ``backbone.``, or of a segmentor.

    Returns:
        ``version`` (1, or 2 for Swin Transformer V2), ``embed_dims`` (channels of the first stage), ``depths``
        (blocks per stage), ``num_heads`` (per stage), ``window_size`` (tokens), ``patch_size`` and ``in_channels``
        (pixels, channels of the patch embedding), ``num_classes``; each None where the state dict does not tell
        it, as one of V2 does not tell the window.
    """
    backbone = backbone_part(state_dict)
    depths: dict[int, int] = {}
    heads: dict[int, int] = {}
    embed_dims = window_size = None
    for key, value in backbone.items():
        match = _BLOCK.fullmatch(key)
        if match is None:
            continue
        stage = int(match[1])
        depths[stage] = max(depths.get(stage, 0), int(match[2]) + 1)
        if key.endswith('relative_position_bias_table') and value.dim() == 2:
            heads[stage] = value.shape[1]
            window_size = window_size_of(value)
        elif key.endswith('.logit_scale') and value.dim() == 3:
            heads[stage] = value.shape[0]
        elif match[3] == 'norm1.weight' and value.dim() == 1:
            embed_dims = value.shape[0] >> stage
    stages = range(max(depths, default=-1) + 1)
    projection = _kernel(backbone.get('patch_embed.projection.weight'))
    classifier = _kernel(state_dict.get('decode_head.conv_seg.weight'))
    return {
        'version': (2 if is_v2(backbone) else 1) if depths else None,
        'embed_dims': embed_dims if projection is None else projection.shape[0],
        'depths': tuple(depths.get(stage, 0) for stage in stages) or None,
        'num_heads': tuple(heads.get(stage, 0) for stage in stages) if heads else None,
        'window_size': window_size,
        'patch_size': None if projection is None else projection.shape[-1],
        'in_channels': None if projection is None else projection.shape[1],
        'num_classes': None if classifier is None else classifier.shape[0],
    }


def _kernel(value: Tensor | None) -> Tensor | None:
    """Return the kernel of a convolution, (out, in, H, W), or None where something else stands in its place."""
    return value if value is not None and value.dim() == 4 else None


def describe(architecture: Mapping[str, Any]) -> str:
    """Return e.g. ``Swin-B: embed_dims 128, depths 2-2-18-2, num_heads 4-8-16-32, window 12``."""
    depths = architecture['depths']
    if depths is None:
        return 'no Swin Transformer'
    short, long = _VERSIONS[architecture['version']]
    variant = _VARIANTS.get((architecture['embed_dims'], depths))
    name = f'{short}-{variant}' if variant else f'a {long}'
    parts = [f'embed_dims {architecture["embed_dims"]}', f'depths {_dashed(depths)}']
    if architecture['num_heads'] is not None:
        parts.append(f'num_heads {_dashed(architecture["num_heads"])}')
    if architecture['window_size'] is not None:
        parts.append(f'window {architecture["window_size"]}')
    if architecture['patch_size'] not in (None, 4):
        parts.append(f'patch {architecture["patch_size"]}')
    return f'{name}: {", ".join(parts)}'


def difference(file: Mapping[str, Any], model: Mapping[str, Any]) -> str | None:
    """Return the first decisive item in which a file's network differs from the model's, or None.

    Stages that only one of the two has are not compared: a model may end early.
    """
    for name in _DECISIVE:
        ours, theirs = model[name], file[name]
        if ours is None or theirs is None:
            continue
        if isinstance(ours, tuple):
            common = min(len(ours), len(theirs))
            ours, theirs = ours[:common], theirs[:common]
        if ours != theirs:
            return name
    return None


def config_change(architecture: Mapping[str, Any], *, with_type: bool = False) -> str:
    """Return the part of a config that builds a network with this backbone, in one line to paste.

    Args:
        architecture: as :func:`infer_architecture` returns it, with ``depths``.
        with_type: whether the class is another one, too.
    """
    embed_dims, depths = architecture['embed_dims'], architecture['depths']
    channels = [embed_dims << stage for stage in range(len(depths))]
    backbone = [f'embed_dims={embed_dims}', f'depths={list(depths)}']
    if with_type:
        kind = 'SwinV2Backbone' if architecture['version'] == 2 else 'SwinBackbone'
        backbone.insert(0, f'type={kind!r}')
    if architecture['num_heads'] is not None:
        backbone.append(f'num_heads={list(architecture["num_heads"])}')
    if architecture['window_size'] is not None:
        backbone.append(f'window_size={architecture["window_size"]}')
    change = f'model = dict(backbone=dict({", ".join(backbone)}), decode_head=dict(in_channels={channels})'
    if len(channels) > 2:
        change += f', auxiliary_head=dict(in_channels={channels[2]})'
    return change + ')'


def is_complete(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether a backbone lacks no block and no part of one, so that what it looks like is what it is."""
    backbone = backbone_part(state_dict)
    blocks: dict[tuple[int, int], set[str]] = {}
    for key in backbone:
        match = _BLOCK.fullmatch(key)
        if match is not None:
            blocks.setdefault((int(match[1]), int(match[2])), set()).add(match[3])
    depths = infer_architecture(backbone)['depths'] or ()
    expected = [(stage, block) for stage, depth in enumerate(depths) for block in range(depth)]
    merging = (f'stages.{stage}.downsample.reduction.weight' for stage in range(len(depths) - 1))
    return (
        sorted(blocks) == expected
        and 0 not in depths
        and len({frozenset(parts) for parts in blocks.values()}) == 1
        and 'patch_embed.projection.weight' in backbone
        and all(key in backbone for key in merging)
    )


def _dashed(numbers: tuple[int, ...]) -> str:
    return '-'.join(str(number) for number in numbers)
