"""Optimizer and schedule of a run that is resumed: where the checkpoint and the config say different things.

A checkpoint holds learning rate, weight decay, betas and the lengths of schedules, and PyTorch and mmengine take
all of them over, whatever the config says. Here each one that differs is named, and ``resume_schedule`` says whose
is taken:

``'config'``
    the config's, the default. The schedule is where it would be had it been the config's from the beginning.
``'checkpoint'``
    the checkpoint's.

Moments of the optimizer are the checkpoint's in any case.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from swinseg.checkpoints import CheckpointError
from swinseg.engine.optim.learning_rates import (
    Scheduler,
    Shadow,
    base_of,
    goes_by_validations,
    move,
    pairs_of,
)
from swinseg.errors import ConfigError, shown

CHOICES = ('config', 'checkpoint')
# How a step is computed, not what it is.
_KERNELS = ('params', 'fused', 'foreach', 'capturable', 'differentiable')
# What a scheduler counts while it runs, and what it derives from `begin` and `end`.
_RUNNING = (
    *('optimizer', 'last_step', 'base_values', 'verbose', 'anneal_func', 'cumulative_periods'),
    *('best', 'num_bad_epochs', 'num_bad_steps', 'cooldown_counter', 'mode_worse'),
)
_DERIVED = ('total_iters', 'T_max', 'total_steps')


def check_choice(cfg: Mapping[str, Any]) -> str:
    """Return the ``resume_schedule`` of a config.

    Raises:
        ConfigError: it is none of the choices.
    """
    choice = cfg.get('resume_schedule', 'config')
    if choice not in CHOICES:
        raise ConfigError(f'resume_schedule must be config or checkpoint, not {shown(choice)}')
    return choice


@contextlib.contextmanager
def compare_settings(runner: Any, checkpoint: Mapping[str, Any], *, name: str) -> Iterator[None]:
    """Let the block take optimizers and schedules over from a checkpoint; then do what ``resume_schedule`` says.

    Args:
        runner: with the optimizers and schedulers of its config.
        checkpoint: what the block loads.
        name: of it.

    Raises:
        CheckpointError: it is of another optimizer, or its schedules cannot be gone on with.
        ConfigError: ``resume_schedule`` is something else, or the config's schedule cannot be computed.
    """
    choice = check_choice(runner.cfg)
    settings = _Settings(runner.optim_wrapper, runner.param_schedulers)
    differences = settings.differences(checkpoint, choice, name)
    yield
    if not differences:
        return
    runner.logger.warning(
        f"config and checkpoint differ, and the {choice}'s values are taken (--resume-schedule={choice}): "
        f'{"; ".join(differences)}'
    )
    if choice == 'config':
        loop = runner.train_loop
        settings.restore(loop.iter, loop.epoch, len(loop.dataloader))


class _Settings:
    """The values of a config's optimizers and schedulers, before a checkpoint's take their places.

    Args:
        wrapper: mmengine's around one optimizer, or those of several.
        schedulers: that belong to it.
    """

    def __init__(self, wrapper: Any, schedulers: Any) -> None:
        self._parts = [_Part(each, of_one) for each, of_one in pairs_of(wrapper, schedulers)]

    def differences(self, checkpoint: Mapping[str, Any], choice: str, name: str) -> list[str]:
        """Return what a checkpoint says otherwise: ``'lr: 0.1 in the checkpoint, 0.2 in the config'``.

        Args:
            checkpoint: with ``optimizer`` and, unless it was trained without, ``param_schedulers``.
            choice: ``resume_schedule``.
            name: of the checkpoint.

        Raises:
            CheckpointError: it is of another optimizer, of other groups of parameters, or its schedules are wanted
                and are of another kind than the config's.
        """
        states, schedules = checkpoint['optimizer'], checkpoint.get('param_schedulers') or ()
        is_one = 'param_groups' in states
        pairs = [(states, schedules)] if is_one else [
            (state, schedules.get(key, ()) if isinstance(schedules, Mapping) else schedules)
            for key, state in states.items()
            if isinstance(state, Mapping) and 'param_groups' in state
        ]  # fmt: skip
        if len(pairs) != len(self._parts):
            raise CheckpointError(
                f'{name} has {len(pairs)} optimizers and the config {len(self._parts)}; write optim_wrapper as it '
                f'was, or start a new run from the weights with load_from={name!r}'
            )
        found = []
        for part, (state, of_one) in zip(self._parts, pairs, strict=True):
            found += part.differences(state, of_one, choice, name)
        return found

    def restore(self, iterations: int, epochs: int, epoch_length: int) -> None:
        """Give optimizers and schedulers the values that they would have after so many iterations.

        Args:
            iterations: of the training so far.
            epochs: whole ones of them.
            epoch_length: iterations of each.

        Raises:
            ConfigError: a schedule goes by the figures of validations, so that it cannot be computed.
        """
        for part in self._parts:
            part.restore(iterations, epochs, epoch_length)


class _Part:
    """One optimizer with its schedulers."""

    def __init__(self, wrapper: Any, schedulers: Sequence[Scheduler]) -> None:
        self._wrapper = wrapper
        self._schedulers = schedulers
        self._groups = [_plain(group) for group in wrapper.param_groups]
        self._states = [dict(vars(each)) for each in schedulers]

    def differences(
        self,
        state: Mapping[str, Any],
        schedules: Sequence[Mapping[str, Any]],
        choice: str,
        name: str,
    ) -> list[str]:
        groups = [_plain(group) for group in state['param_groups']]
        own = self._groups[: len(self._wrapper.optimizer.param_groups)]
        if len(groups) != len(own):
            raise CheckpointError(
                f'{name} has {len(groups)} groups of parameters in its optimizer and the config makes {len(own)}: '
                'optim_wrapper.paramwise_cfg is another one than in that training; write it as it was, or start a '
                f'new run from the weights with load_from={name!r}'
            )
        _check_kind(own, groups, name)
        found = list(_group_differences(own, groups))
        own_keys, keys = (
            [_settings(each).keys() for each in of_one] for of_one in (self._states, schedules)
        )
        if own_keys != keys:
            if choice == 'checkpoint':
                raise CheckpointError(
                    f'the schedules of {name} are of another kind or number than param_scheduler of the config, '
                    'so they cannot be gone on with: write it as it was, or take --resume-schedule=config'
                )
            kinds = ', '.join(type(each).__name__ for each in self._schedulers) or 'none'
            return [*found, f'param_scheduler: others in the checkpoint, {kinds} in the config']
        for index, (ours, theirs) in enumerate(zip(self._states, schedules, strict=True)):
            kind = type(self._schedulers[index]).__name__
            found += [
                f'param_scheduler.{index} ({kind}) {clause}'
                for clause in _scheduler_differences(_settings(ours), _settings(theirs))
            ]
        return found

    def restore(self, iterations: int, epochs: int, epoch_length: int) -> None:
        if any(goes_by_validations(each) for each in self._schedulers):
            raise ConfigError(
                'the schedule goes by the figures of validations, so that it cannot be computed where it would be '
                'with the values of the config: go on with --resume-schedule=checkpoint, or start a new run from '
                'the weights with load_from'
            )
        for scheduler, state in zip(self._schedulers, self._states, strict=True):
            vars(scheduler).clear()
            vars(scheduler).update(state)
        # Groups that are alike move alike, and of hundreds most are.
        kinds: dict[str, list[int]] = {}
        for index, group in enumerate(self._groups):
            kinds.setdefault(repr(sorted(group.items())), []).append(index)
        first = [members[0] for members in kinds.values()]
        shadow = Shadow([self._groups[index] for index in first])
        twins = [shadow.follow(each, first) for each in self._schedulers]
        finished = 0
        for iteration in range(1, iterations + 1):
            move(twins, by_epoch=False)
            if finished < epochs and iteration % epoch_length == 0:
                move(twins, by_epoch=True)
                finished += 1
        for _ in range(finished, epochs):
            move(twins, by_epoch=True)
        groups = self._wrapper.param_groups
        for members, moved in zip(kinds.values(), shadow.param_groups, strict=True):
            for index in members:
                groups[index].update(moved)
        for scheduler, twin in zip(self._schedulers, twins, strict=True):
            kept = {name: getattr(scheduler, name) for name in ('optimizer', 'base_values')}
            vars(scheduler).update({**vars(twin), **kept})
            scheduler._last_value = [group[scheduler.param_name] for group in groups]


def _plain(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key not in _KERNELS}


def _check_kind(
    own: Sequence[Mapping[str, Any]], groups: Sequence[Mapping[str, Any]], name: str
) -> None:
    """Compare the names of the values: those of another optimizer are others."""

    def names(group: Mapping[str, Any]) -> set[str]:
        return {key for key in group if not key.startswith(('initial_', 'max_', 'min_'))}

    for ours, theirs in zip(own, groups, strict=True):
        lacking, more = names(ours) - names(theirs), names(theirs) - names(ours)
        if lacking or more:
            raise CheckpointError(
                f'{name} is of another optimizer than optim_wrapper.optimizer of the config ('
                + '; '.join(
                    f'{what} {", ".join(sorted(found))}'
                    for what, found in (('it has no', lacking), ('it has', more))
                    if found
                )
                + '): go on with that of the checkpoint, or start a new run from its weights with '
                f'load_from={name!r}'
            )


def _group_differences(
    own: Sequence[Mapping[str, Any]], groups: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    keys = dict.fromkeys(key for group in own for key in group if not key.startswith('initial_'))
    for key in keys:
        pairs = [
            (base_of(theirs, key), base_of(ours, key))
            for ours, theirs in zip(own, groups, strict=True)
            if key in ours and key in theirs
        ]
        others = [pair for pair in pairs if pair[0] != pair[1]]
        if others:
            theirs, ours = others[0]
            share = f' ({len(others)} of {len(pairs)} groups)' if len(pairs) > 1 else ''
            yield f'{key}{share}: {shown(theirs)} in the checkpoint, {shown(ours)} in the config'


def _settings(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a scheduler was told, without what it counts while it runs."""
    return {
        str(key): value
        for key, value in state.items()
        if not str(key).startswith('_') and key not in _RUNNING
    }


def _scheduler_differences(own: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    differ = [key for key in own if own[key] != other[key]]
    if {'begin', 'end'} & set(differ):
        differ = [key for key in differ if key not in _DERIVED]
    for key in differ:
        yield f'{key}: {shown(other[key])} in the checkpoint, {shown(own[key])} in the config'
