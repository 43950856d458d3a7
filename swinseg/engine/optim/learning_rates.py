"""The learning rates of the iterations to come, computed before the first of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.optim import OptimWrapperDict

from swinseg.errors import ConfigError

Scheduler = Any
"""One of mmengine's parameter schedulers; their base class has no public name."""


@dataclass(frozen=True)
class Rates:
    """What a training's learning rates will be; iterations count from 1.

    Attributes:
        begin: iteration before the first one.
        first: rate of the first iteration.
        highest: the highest rate.
        highest_at: the first iteration that has it.
        last: rate of the last iteration.
        zero_at: the first iteration, but the training's very first, whose rate is 0; None without any.
    """

    begin: int
    first: float
    highest: float
    highest_at: int
    last: float
    zero_at: int | None


class _NoStep:
    _with_counter = True


class Shadow:
    """What a scheduler sees of an optimizer: groups of numbers, and no weights.

    Args:
        groups: of an optimizer; they are copied.
    """

    def __init__(self, groups: Sequence[Mapping[str, Any]]) -> None:
        self.param_groups = [
            {key: value for key, value in group.items() if key != 'params'} for group in groups
        ]
        # Schedulers look whether the steps of their optimizer are counted, and warn.
        self.step = _NoStep()
        self._global_step = 0

    def follow(self, scheduler: Scheduler, members: Sequence[int]) -> Scheduler:
        """Return a copy of a scheduler that moves these groups.

        Args:
            scheduler: of an optimizer.
            members: which of its groups they are.
        """
        twin = copy.copy(scheduler)
        twin.optimizer = self
        twin.base_values = [scheduler.base_values[index] for index in members]
        return twin


def pairs_of(wrapper: Any, schedulers: Any) -> list[tuple[Any, list[Scheduler]]]:
    """Return each optimizer's wrapper with its schedulers."""
    if isinstance(wrapper, OptimWrapperDict):
        return [(each, list((schedulers or {}).get(name, ()))) for name, each in wrapper.items()]
    return [(wrapper, list(schedulers or ()))]


def goes_by_validations(scheduler: Scheduler) -> bool:
    """Whether a scheduler moves at validations, by their figures."""
    return getattr(scheduler, 'need_val_args', False)


def base_of(group: Mapping[str, Any], name: str) -> Any:
    """Return a value of a group before schedulers have moved it."""
    return group.get(f'initial_{name}', group[name])


def move(schedulers: Sequence[Scheduler], *, by_epoch: bool) -> None:
    """Take the step of the schedulers that count epochs, or of those that count iterations.

    None of them may go by validations.
    """
    for scheduler in schedulers:
        if scheduler.by_epoch is by_epoch:
            scheduler.step()


def rates_to_come(runner: Any) -> Rates | None:
    """Return the learning rates from the runner's iteration on, the highest of all groups and optimizers.

    Args:
        runner: with its training loop, optimizers and schedulers; they are not changed.

    Returns:
        None when no iteration is left.
    """
    loop = runner.train_loop
    begin, end = loop.iter, loop.max_iters
    if begin >= end:
        return None
    courses = [
        _course(wrapper, schedulers, loop)
        for wrapper, schedulers in pairs_of(runner.optim_wrapper, runner.param_schedulers)
    ]
    first = last = highest = 0.0
    highest_at, zero_at = begin + 1, None
    for number, rates in enumerate(zip(*courses, strict=True), begin + 1):
        last = max(rates)
        if number == begin + 1:
            first = last
        if last > highest:
            highest, highest_at = last, number
        if zero_at is None and last == 0 and number > 1:
            zero_at = number
    return Rates(begin, first, highest, highest_at, last, zero_at)


def _course(wrapper: Any, schedulers: Sequence[Scheduler], loop: Any) -> Iterator[float]:
    """Yield the rate of each iteration that is left, of the group whose rate is highest."""
    groups = wrapper.param_groups
    index = max(range(len(groups)), key=lambda index: base_of(groups[index], 'lr'))
    shadow = Shadow([groups[index]])
    twins = [
        shadow.follow(each, [index])
        for each in schedulers
        if each.param_name == 'lr' and not goes_by_validations(each)
    ]
    length = len(loop.dataloader)
    done = getattr(loop, 'iterations_of_epoch', None)
    for _ in range(loop.iter, loop.max_iters):
        if done == length:
            move(twins, by_epoch=True)
            done = 0
        yield shadow.param_groups[0]['lr']
        move(twins, by_epoch=False)
        done = None if done is None else done + 1


def check_rates(runner: Any, rates: Rates | None) -> None:
    """Stop a training that would change nothing, because its learning rate is 0.

    The first iteration of a warm-up may be at 0, and so may the last step of a schedule: mmengine's polynomial one
    is at ``eta_min`` there. Where the schedule counts epochs, that is the last epoch.

    Raises:
        ConfigError: any other iteration has the rate 0.
    """
    if rates is None or rates.zero_at is None:
        return
    loop = runner.train_loop
    pairs = pairs_of(runner.optim_wrapper, runner.param_schedulers)
    schedulers = [each for _, of_one in pairs for each in of_one if each.param_name == 'lr']
    by_epoch = any(each.by_epoch and not goes_by_validations(each) for each in schedulers)
    allowed = len(loop.dataloader) if by_epoch else 1
    if rates.zero_at > loop.max_iters - allowed:
        if by_epoch:
            runner.logger.warning(
                'the last epoch trains with a learning rate of 0, for a schedule that counts epochs ends there: '
                'convert_to_iter_based=True in param_scheduler lets the rate fall within epochs, and eta_min '
                'keeps it above 0'
            )
        return
    what = f'iterations {rates.zero_at} to {loop.max_iters} would train with a learning rate of 0'
    if all(base_of(group, 'lr') == 0 for wrapper, _ in pairs for group in wrapper.param_groups):
        raise ConfigError(f'{what}: set optim_wrapper.optimizer.lr above 0')
    key, length, unit = 'max_iters', loop.max_iters, 'iteration'
    if by_epoch:
        key, length, unit = 'max_epochs', loop.max_epochs, 'epoch'
    names = ' and '.join(
        f'{type(each).__name__}, which ends at {unit} {each.end}' for each in schedulers if each.end < length
    )  # fmt: skip
    advice = 'by leaving its end out of param_scheduler'
    if runner.cfg.get('resume_schedule') == 'checkpoint':
        advice = 'with --resume-schedule=config, which takes that of the config'
    raise ConfigError(
        f'{what}, because of {names or "param_scheduler"}: let the schedule last as long as the training '
        f'(train_cfg.{key}={length}), {advice}'
    )


def describe_schedule(runner: Any, rates: Rates) -> str:
    """Return a line for the log: the schedules, and the rates that they give."""
    length, epochs = runner.train_loop.max_iters, runner.train_loop.max_epochs
    parts = []
    for _, schedulers in pairs_of(runner.optim_wrapper, runner.param_schedulers):
        for each in schedulers:
            total = epochs if each.by_epoch else length
            unit = 'epoch' if each.by_epoch else 'iteration'
            if each.begin >= total:
                parts.append(
                    f'{type(each).__name__} from {unit} {each.begin} on, which is not reached'
                )
            elif each.end == total:
                parts.append(f'{type(each).__name__} from {unit} {each.begin} to the end')
            else:
                beyond = ', beyond the end of the training' if each.end > total else ''
                parts.append(
                    f'{type(each).__name__} from {unit} {each.begin} to {each.end}{beyond}'
                )
    schedule = '; '.join(parts) or 'constant'
    return (
        f'schedule: {schedule}; learning rate {rates.first:.2e} at iteration {rates.begin + 1}, highest '
        f'{rates.highest:.2e} at {rates.highest_at}, {rates.last:.2e} at {length}'
    )
