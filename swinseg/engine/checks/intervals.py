"""Checks of a config's intervals, before anything is built.

mmengine and its hooks divide by these numbers in the middle of a run, or never do what a negative one says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from swinseg.config.standard_hooks import hooks_in
from swinseg.config.training_length import counts_epochs
from swinseg.errors import ConfigError, shown

# Arguments that count, with the least that they may be. Of checkpoints -1 means none, as in mmengine.
_OF_LOOP = {'max_iters': 1, 'max_epochs': 1, 'val_interval': 1, 'val_begin': 0}
_OF_HOOK = {'interval': 1, 'save_begin': 0, 'begin_iter': 0}


def check_intervals(cfg: Config) -> None:
    """Refuse intervals and lengths that are no whole numbers, or too small.

    Args:
        cfg: of a training.

    Raises:
        ConfigError: one is.
    """
    loop = cfg.get('train_cfg') or {}
    for key, least in _OF_LOOP.items():
        if loop.get(key) is not None:
            _check(f'train_cfg.{key}', loop[key], least)
    _check_dynamic(loop.get('dynamic_intervals'))
    for place, hook in hooks_in(cfg):
        for key, least in _OF_HOOK.items():
            if hook.get(key) is None:
                continue
            if key == 'interval' and place == 'default_hooks.checkpoint':
                least = -1
            _check(f'{place}.{key}', hook[key], least)
    if counts_epochs(loop) and loop.get('max_epochs') is not None:
        _check_epochs(cfg, loop)


def _check_epochs(cfg: Config, loop: Mapping[str, Any]) -> None:
    """Refuse intervals that were inherited from a training that counts iterations."""
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    counted = [('train_cfg.val_interval', loop.get('val_interval'))]
    if checkpoint.get('by_epoch', True):
        counted.append(('default_hooks.checkpoint.interval', checkpoint.get('interval')))
    for place, interval in counted:
        if interval is not None and interval > loop['max_epochs']:
            raise ConfigError(
                f'{place}={shown(interval)} counts epochs in a training of {shown(loop["max_epochs"])}, so '
                f'nothing would be done before its end; set {place}=1 for once in each epoch'
            )


def _check(place: str, value: Any, least: int) -> None:
    is_whole = (
        isinstance(value, (int, float)) and not isinstance(value, bool) and value == _whole(value)
    )
    if not is_whole or value < least:
        hint = ''
        if place == 'train_cfg.val_interval':
            hint = '; to train without validation set val_dataloader, val_cfg and val_evaluator to None'
        raise ConfigError(
            f'{place} must be a whole number from {least} on, not {shown(value)}{hint}'
        )


def _whole(value: float) -> int | None:
    try:
        return int(value)
    except (OverflowError, ValueError):  # infinity and nan
        return None


def _check_dynamic(pairs: Any) -> None:
    if pairs is None:
        return
    are_pairs = isinstance(pairs, (list, tuple)) and all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs
    )
    if not are_pairs:
        raise ConfigError(
            'train_cfg.dynamic_intervals must be pairs (iteration, val_interval from there on), not '
            f'{shown(pairs)}'
        )
    for begin, interval in pairs:
        _check('the iteration of train_cfg.dynamic_intervals', begin, 0)
        _check('the interval of train_cfg.dynamic_intervals', interval, 1)
