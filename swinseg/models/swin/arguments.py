"""The arguments of :class:`swinseg.models.swin.backbone.SwinBackbone` that no network can be built from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from swinseg.errors import ArchitectureError, quoted

_SIZES = ('in_channels', 'embed_dims', 'patch_size', 'window_size')
_OF_STAGES = ('depths', 'num_heads', 'strides')
_RATES = ('drop_rate', 'attn_drop_rate', 'drop_path_rate')


def is_whole(value: object, *, least: int) -> bool:
    """Whether a value is a whole number, and no truth value, from ``least`` on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_number(value: object) -> bool:
    """Whether a value is a finite number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def check_swin_arguments(arguments: Mapping[str, Any]) -> None:
    """Check each argument alone, and then those that belong together.

    Args:
        arguments: of ``SwinBackbone``, by their names.

    Raises:
        ArchitectureError: one of them is no such number, or they contradict each other.
    """
    for name in _SIZES:
        if not is_whole(arguments[name], least=1):
            raise _refused(name, 'a whole number from 1 on', arguments[name])
    for name in _OF_STAGES:
        _check_of_stages(name, arguments[name])
    for name in _RATES:
        # At 1 everything is dropped, and what is left is divided by a share of 0.
        if not is_number(arguments[name]) or not 0 <= arguments[name] < 1:
            raise _refused(name, 'a share from 0 to below 1', arguments[name])
    hidden = arguments['mlp_ratio']
    if not is_number(hidden) or hidden * arguments['embed_dims'] < 1:
        raise _refused('mlp_ratio', 'a number above 0 that leaves hidden channels', hidden)
    scale = arguments['qk_scale']
    if scale is not None and (not is_number(scale) or scale <= 0):
        raise _refused('qk_scale', 'None or a number above 0', scale)
    _check_stages(arguments)
    _check_pretrain_img_size(arguments['pretrain_img_size'], arguments['patch_size'])
    _check_choices(arguments)


def _refused(name: str, expected: str, found: object) -> ArchitectureError:
    return ArchitectureError(f'{name} of SwinBackbone must be {expected}, found {quoted(found)}')


def _check_of_stages(name: str, values: Any) -> None:
    is_list = isinstance(values, Sequence) and not isinstance(values, str)
    if not is_list or not values or not all(is_whole(value, least=1) for value in values):
        raise _refused(name, 'a list of whole numbers from 1 on, one for each stage', values)


def _check_stages(arguments: Mapping[str, Any]) -> None:
    depths, num_heads, strides = (arguments[name] for name in _OF_STAGES)
    patch_size, embed_dims = arguments['patch_size'], arguments['embed_dims']
    stages = len(depths)
    if not len(num_heads) == len(strides) == stages:
        raise ArchitectureError(
            'depths, num_heads and strides must have one entry for each stage, '
            f'found {tuple(depths)}, {tuple(num_heads)} and {tuple(strides)}'
        )
    if strides[0] != patch_size or any(stride != 2 for stride in strides[1:]):
        raise ArchitectureError(
            f'strides must be (patch_size, 2, 2, ...) = {(patch_size, *[2] * (stages - 1))}, '
            f'found {tuple(strides)}'
        )
    for i, heads in enumerate(num_heads):
        if (embed_dims * 2**i) % heads:
            raise ArchitectureError(
                f'stage {i} has {embed_dims * 2**i} channels, which num_heads={heads} does not divide'
            )
    out_indices = arguments['out_indices']
    _check_out_indices(out_indices, stages)
    if not is_whole(arguments['frozen_stages'], least=-1) or arguments['frozen_stages'] > stages:
        raise _refused(
            'frozen_stages', f'a whole number from -1 to {stages}', arguments['frozen_stages']
        )


def _check_out_indices(out_indices: Any, stages: int) -> None:
    is_list = isinstance(out_indices, Sequence) and not isinstance(out_indices, str)
    if (
        not is_list
        or not out_indices
        or not all(is_whole(i, least=0) and i < stages for i in out_indices)
    ):
        raise ArchitectureError(
            f'out_indices must name stages between 0 and {stages - 1}, found {quoted(out_indices)}'
        )
    if list(out_indices) != sorted(set(out_indices)):
        raise ArchitectureError(
            'out_indices must name each stage once, the finest first, for so they are returned, found '
            f'{quoted(out_indices)}; write {tuple(sorted(set(out_indices)))}'
        )


def _check_pretrain_img_size(size: Any, patch_size: int) -> None:
    sides = size if isinstance(size, Sequence) and not isinstance(size, str) else [size]
    if len(sides) not in (1, 2) or not all(is_whole(side, least=patch_size) for side in sides):
        raise _refused(
            'pretrain_img_size', f'a side or (height, width) in pixels, from {patch_size} on', size
        )


def _check_choices(arguments: Mapping[str, Any]) -> None:
    shifted_windows, attention = arguments['shifted_windows'], arguments['attention']
    if shifted_windows not in ('cyclic', 'padding', 'none'):
        raise ArchitectureError(
            f"shifted_windows must be 'cyclic', 'padding' or 'none', found {quoted(shifted_windows)}"
        )
    if attention not in ('window', 'global'):
        raise ArchitectureError(
            f"attention must be 'window' or 'global', found {quoted(attention)}"
        )
    if attention == 'global' and arguments['use_rel_pos_bias']:
        raise ArchitectureError(
            "attention='global' has no window to which a relative position bias could belong: "
            'set use_rel_pos_bias=False (and, if positions are wanted, use_abs_pos_embed=True)'
        )
