"""Length of a training, in iterations or in epochs, and schedules that are as long as it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mmengine.config import Config

from swinseg.errors import ConfigError, shown
from swinseg.type_names import type_name

_EPOCH_LOOPS = ('EpochBasedTrainLoop', 'ExactEpochTrainLoop')
_ITERATION_LOOPS = ('IterBasedTrainLoop', 'ExactTrainLoop')
# Arguments of schedulers that are the length of the training, or what is left of it at their beginning.
_LENGTHS = ('end', 'T_max', 'total_steps')


def counts_epochs(loop: Mapping[str, Any]) -> bool:
    """Whether a ``train_cfg`` counts epochs: its ``type`` or its ``by_epoch`` says so."""
    return type_name(loop.get('type') or '') in _EPOCH_LOOPS or loop.get('by_epoch') is True


def settle_length(cfg: Config) -> None:
    """Let ``train_cfg`` say one thing: epochs or iterations.

    A config that inherits one that counts iterations says ``train_cfg=dict(by_epoch=True, max_epochs=20)``, or
    names the loop as ``type``; what it has inherited of the other kind is taken out.

    Args:
        cfg: its ``train_cfg`` is changed.

    Raises:
        ConfigError: it counts epochs and does not say how many, or has ``max_epochs`` and counts iterations.
    """
    loop = cfg.get('train_cfg')
    if not isinstance(loop, dict):
        return
    kind = type_name(loop.get('type') or '')
    if counts_epochs(loop):
        if loop.get('max_epochs') is None:
            raise ConfigError(
                'train_cfg counts epochs and does not say how many: set train_cfg.max_epochs'
            )
        loop.pop('max_iters', None)
        if kind in _ITERATION_LOOPS:
            del loop['type']
        elif kind:
            loop.pop('by_epoch', None)
    elif kind in ('', *_ITERATION_LOOPS):
        if loop.get('max_epochs') is not None:
            raise ConfigError(
                f'train_cfg.max_epochs={shown(loop["max_epochs"])} is not read by a training that counts '
                'iterations: add train_cfg.by_epoch=True to count epochs'
            )
        if kind:
            loop.pop('by_epoch', None)


def length_of(loop: Any) -> tuple[str, Any]:
    """Return the key of a ``train_cfg`` that has the length, and the length, None where it is not given."""
    if not isinstance(loop, Mapping):
        return 'max_iters', None
    key = 'max_epochs' if counts_epochs(loop) else 'max_iters'
    return key, loop.get(key)


def follow_length(cfg: Config, *, planned: Any, options: Iterable[str]) -> None:
    """Let the schedules that ended with the training of a config end with the one that options ask for.

    Args:
        cfg: with the options in it; ``end`` and the like are taken out of its schedulers, which then end with the
            training.
        planned: key and length before, of :func:`length_of`.
        options: their keys. One that says where a schedule ends keeps all schedules as they are.
    """
    key, length = planned
    if length is None or length_of(cfg.get('train_cfg')) == planned:
        return
    if any(_sets_an_end(option) for option in options):
        return
    for scheduler in schedulers_in(cfg.get('param_scheduler')):
        if scheduler.get('by_epoch', True) is not (key == 'max_epochs'):
            continue
        rest = length - _number(scheduler.get('begin'))
        for name in _LENGTHS:
            if scheduler.get(name) in ((length,) if name == 'end' else (length, rest)):
                del scheduler[name]


def _sets_an_end(option: str) -> bool:
    top, _, rest = option.partition('.')
    return top == 'param_scheduler' and (
        not rest or rest.isdigit() or rest.rpartition('.')[2] in _LENGTHS
    )


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def schedulers_in(node: Any) -> Iterator[Any]:
    """Yield the dicts of the schedulers of one optimizer, or of several by their names."""
    if isinstance(node, (list, tuple)):
        for each in node:
            yield from schedulers_in(each)
    elif isinstance(node, dict) and 'type' not in node:
        yield from schedulers_in(list(node.values()))
    elif isinstance(node, dict):
        yield node


def with_end(scheduler: Mapping[str, Any], *, iterations: int, epochs: int) -> dict[str, Any]:
    """Return a scheduler's dict that ends with the training, where it does not say when it ends.

    One that begins only there, as after a warm-up that is longer than a short trial, has no part in the training;
    mmengine's would refuse it.

    Args:
        scheduler: it is not changed.
        iterations: of the training.
        epochs: of the training.
    """
    length = epochs if scheduler.get('by_epoch', True) else iterations
    return {'end': max(length, _number(scheduler.get('begin')) + 1), **scheduler}


def check_schedulers(cfg: Config) -> None:
    """Refuse schedulers that count epochs in a training that has none: their rate would never change.

    Raises:
        ConfigError: one does.
    """
    loop = cfg.get('train_cfg') or {}
    if counts_epochs(loop) or type_name(loop.get('type') or '') not in ('', *_ITERATION_LOOPS):
        return
    for scheduler in schedulers_in(cfg.get('param_scheduler')):
        kind = type_name(scheduler.get('type') or '')
        goes_by_validations = kind.startswith('ReduceOnPlateau')
        is_converted = scheduler.get('convert_to_iter_based', False)
        if scheduler.get('by_epoch', True) and not goes_by_validations and not is_converted:
            raise ConfigError(
                f'{kind} of param_scheduler counts epochs (by_epoch=True, the default), but the training counts '
                'iterations, so that the schedule would never move: set by_epoch=False there, or '
                'train_cfg=dict(by_epoch=True, max_epochs=...)'
            )
