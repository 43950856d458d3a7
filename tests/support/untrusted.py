"""Configs as a stranger's checkpoint may hold them: a good one, and every place where something else can stand."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support import tiny_checkpoint
from swinseg.checkpoints.meta import parse_config_text

Place = tuple[Any, ...]


def content(root: Path, **options: Any) -> dict[str, Any]:
    """Return the literals of a good config with nested parts: losses, wrapped datasets, scales and flips."""
    cfg = parse_config_text(tiny_checkpoint.config(root, **options).pretty_text)
    cfg['model']['decode_head']['loss_decode'] = [
        {'type': 'CrossEntropyLoss', 'loss_weight': 1.0},
        {'type': 'SoftDiceLoss', 'loss_name': 'loss_dice'},
    ]
    cfg['model']['decode_head']['sampler'] = {'type': 'OHEMPixelSampler', 'thresh': 0.7}
    cfg['model']['decode_head']['act_cfg'] = {'type': 'ReLU'}
    cfg['model']['decode_head']['conv_cfg'] = {'type': 'Conv2d'}
    cfg['model']['backbone']['norm_cfg'] = {'type': 'LN'}
    cfg['test_dataloader']['dataset'] = {
        'type': 'ConcatDataset',
        'datasets': [cfg['test_dataloader']['dataset']],
    }
    return cfg


def places(node: Any, place: Place = ()) -> Iterator[Place]:
    """Yield the place of everything in a config but the whole."""
    entries: Any = ()
    if isinstance(node, dict):
        entries = node.items()
    elif isinstance(node, (list, tuple)):
        entries = enumerate(node)
    for key, value in entries:
        yield (*place, key)
        yield from places(value, (*place, key))


def put(cfg: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    """Return a copy of a config with something else at a place."""
    return _put(copy.deepcopy(cfg), place, value)


def _put(node: Any, place: Place, value: Any) -> Any:
    if not place:
        return value
    changed = _put(node[place[0]], place[1:], value)
    if isinstance(node, tuple):
        return (*node[: place[0]], changed, *node[place[0] + 1 :])
    node[place[0]] = changed
    return node


def text(cfg: dict[str, Any]) -> str:
    """Return a config as the text that a checkpoint holds."""
    return '\n'.join(f'{key} = {value!r}' for key, value in cfg.items())
