"""The arguments of ``SwinBackbone`` and ``SwinV2Backbone`` that no network can be built from."""

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


def check_swin_arguments(arguments: Mapping[str, Any], *, owner: str) -> None:
    """Check each argument alone, and then those that belong together.

    Args:
        arguments: of ``SwinBackbone`` or ``SwinV2Backbone``, by their names.
        owner: which of the two.

    Raises:
        ArchitectureError: one of them is no such number, or they contradict each other.
    """

    def refused(name: str, expected: str, found: object) -> ArchitectureError:
        return ArchitectureError(f'{name} of {owner} must be {expected}, found {quoted(found)}')

    for name in _SIZES:
        if not is_whole(arguments[name], least=1):
            raise refused(name, 'a whole number from 1 on', arguments[name])
    for name in _OF_STAGES:
        if not _is_of_stages(arguments[name], least=1):
            expected = 'a list of whole numbers from 1 on, one for each stage'
            raise refused(name, expected, arguments[name])
    for name in _RATES:
        # At 1 everything is dropped, and what is left is divided by a share of 0.
        if not is_number(arguments[name]) or not 0 <= arguments[name] < 1:
            raise refused(name, 'a share from 0 to below 1', arguments[name])
    hidden = arguments['mlp_ratio']
    if not is_number(hidden) or hidden * arguments['embed_dims'] < 1:
        raise refused('mlp_ratio', 'a number above 0 that leaves hidden channels', hidden)
    scale = arguments.get('qk_scale')
    if scale is not None and (not is_number(scale) or scale <= 0):
        raise refused('qk_scale', 'None or a number above 0', scale)
    _check_stages(arguments)
    stages = len(arguments['depths'])
    frozen = arguments['frozen_stages']
    if not is_whole(frozen, least=-1) or frozen > stages:
        raise refused('frozen_stages', f'a whole number from -1 to {stages}', frozen)
    if not _is_size(arguments['pretrain_img_size'], least=arguments['patch_size']):
        expected = f'a side or (height, width) in pixels, from {arguments["patch_size"]} on'
        raise refused('pretrain_img_size', expected, arguments['pretrain_img_size'])
    windows = arguments.get('pretrained_window_sizes')
    if windows is not None and not (_is_of_stages(windows, least=0) and len(windows) == stages):
        expected = (
            f'None or a list of {stages} sides in tokens, one for each stage, 0 for window_size'
        )
        raise refused('pretrained_window_sizes', expected, windows)
    if 'attention' in arguments:
        _check_choices(arguments)


def _is_of_stages(values: Any, *, least: int) -> bool:
    is_list = isinstance(values, Sequence) and not isinstance(values, str)
    return is_list and bool(values) and all(is_whole(value, least=least) for value in values)


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
    _check_out_indices(arguments['out_indices'], stages)


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


def _is_size(size: Any, *, least: int) -> bool:
    sides = size if isinstance(size, Sequence) and not isinstance(size, str) else [size]
    return len(sides) in (1, 2) and all(is_whole(side, least=least) for side in sides)


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
