"""The batch that a recipe's learning rate was chosen for, on a machine whose memory or number of GPUs is another.

``auto_scale_lr.base_batch_size`` is the recipe's batch, over all processes. ``effective_batch`` in a config says
what happens where processes x ``train_dataloader.batch_size`` is another number:

``'as_is'``
    the run is told about it, no more; the default.
``'accumulation'``
    each step of the optimizer sees the recipe's batch, ``train_dataloader.batch_size`` images at a time. The
    loader gives the whole batch, so iterations, schedule, validations and checkpoints, the order of the images
    and their augmentation are the recipe's.
``'learning_rate'``
    the learning rate is scaled in proportion (Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 2.1),
    and what the config counts in iterations in inverse proportion, so that as many images are seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmengine.config import Config
from mmengine.logging import MMLogger

from swinseg.config.standard_hooks import hooks_in
from swinseg.config.training_length import schedulers_in
from swinseg.errors import ConfigError
from swinseg.type_names import has_type

CHOICES = ('as_is', 'accumulation', 'learning_rate')
# Arguments of schedulers that are counted in iterations where by_epoch=False.
_SCHEDULER_COUNTS = (
    *('begin', 'end', 'T_max', 'milestones', 'step_size', 'total_iters', 'total_steps'),
)


@dataclass(frozen=True)
class EffectiveBatch:
    """How many images one step of the optimizer sees.

    Attributes:
        processes: number of processes.
        images: images of each forward pass of a process.
        parts: forward passes of a process for one step.
        recipe: the batch that the learning rate of the config belongs to, None where it does not say.
        is_rate_scaled: whether the learning rate is scaled to this batch.
        planned: iterations in the config, None where it counts epochs.
        steps: steps of the optimizer that there are instead.
    """

    processes: int
    images: int
    parts: int
    recipe: int | None
    is_rate_scaled: bool
    planned: int | None
    steps: int | None

    @property
    def total(self) -> int:
        """Images of one step."""
        return self.processes * self.images * self.parts

    def describe(self) -> str:
        """Return one line for the log."""
        processes = f'{self.processes} process{"es" if self.processes > 1 else ""}'
        parts = f' x {self.parts} parts' if self.parts > 1 else ''
        line = f'batch: {processes} x {self.images} images{parts} = {self.total}'
        recipe = self.recipe or self.total
        if self.recipe is None:
            line += ' (auto_scale_lr.base_batch_size, the batch of the learning rate, is not set)'
        elif self.total == recipe:
            line += ', that of the recipe'
        elif self.is_rate_scaled:
            line += f' for {recipe} of the recipe: learning rate x {self.total / recipe:g}'
            if self.planned != self.steps:
                line += f', {self.steps} iterations for {self.planned}'
        else:
            line += (
                f', but the learning rate is meant for {recipe}: set effective_batch to accumulation or '
                f'learning_rate, or train_dataloader.batch_size={recipe // self.processes or 1}'
            )
        if self.steps and self.planned:
            seen, planned = self.steps * self.total, self.planned * recipe
            line += f'; {self.steps} steps see {seen} images'
            if abs(seen / planned - 1) >= 0.01:
                line += f', {seen / planned:.0%} of the recipe'
        return line

    def log(self, logger: MMLogger) -> None:
        """Write the line into the log, as a warning where the learning rate belongs to another batch."""
        is_other = self.recipe not in (None, self.total) and not self.is_rate_scaled
        (logger.warning if is_other else logger.info)(self.describe())


def apply_effective_batch(cfg: Config, *, processes: int) -> EffectiveBatch | None:
    """Do to a config what its ``effective_batch`` says.

    Args:
        cfg: of a training; it is changed.
        processes: number of processes.

    Returns:
        The batch, None where the config does not say how many images a process has (a ``batch_sampler`` does), or
        says what cannot be.

    Raises:
        ConfigError: the recipe's batch cannot be reached in the way that the config chooses.
    """
    choice = cfg.pop('effective_batch', 'as_is')
    if choice not in CHOICES:
        raise ConfigError(f'effective_batch must be one of {", ".join(CHOICES)}, found {choice!r}')
    scaling = cfg.get('auto_scale_lr') or {}
    recipe: Any = scaling.get('base_batch_size')
    images: Any = cfg.train_dataloader.get('batch_size')
    own_parts = cfg.optim_wrapper.get('accumulative_counts', 1)
    planned = cfg.train_cfg.get('max_iters')
    if any(isinstance(each, str) or each == 0 for each in (recipe, images, own_parts, planned)):
        return None  # mmengine refuses it when it builds what takes it
    if choice != 'as_is':
        for key, value in (
            ('auto_scale_lr.base_batch_size', recipe),
            ('train_dataloader.batch_size', images),
        ):
            if value is None:
                raise ConfigError(f'effective_batch={choice!r} needs {key}, which is not set')
        if own_parts != 1:
            raise ConfigError(
                f'effective_batch={choice!r} and optim_wrapper.accumulative_counts={own_parts} both say what a '
                'step sees; leave accumulative_counts out'
            )
    if images is None:
        return None
    total, parts = processes * images, own_parts
    if choice == 'accumulation':
        if recipe % total:
            raise ConfigError(
                f"effective_batch='accumulation' cannot make a batch of {recipe} out of {processes} x {images} "
                f'images; set train_dataloader.batch_size so that {processes} times it divides {recipe}, or '
                "effective_batch='learning_rate'"
            )
        parts = recipe // total
        if parts > 1:
            _accumulate(cfg, parts=parts)
    elif choice == 'learning_rate' and total != recipe:
        scaling['enable'] = True
        _stretch_schedule(cfg, recipe / total)
    iterations = cfg.train_cfg.get('max_iters')
    return EffectiveBatch(
        processes=processes,
        images=images,
        parts=parts,
        recipe=recipe,
        is_rate_scaled=bool(scaling.get('enable', False)),
        planned=planned,
        # Of its own accumulative_counts mmengine counts every forward pass.
        steps=None if iterations is None else iterations // own_parts,
    )


def _accumulate(cfg: Config, *, parts: int) -> None:
    loader = cfg.train_dataloader
    loader.batch_size *= parts
    # An epoch's last batch need not have a number of images that the parts divide.
    loader.drop_last = True
    hook = dict(type='AccumulationHook', parts=parts)
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), hook]


def _stretch_schedule(cfg: Config, factor: float) -> None:
    """Multiply everything that the config counts in iterations."""

    def stretched(count: Any) -> Any:
        if isinstance(count, (list, tuple)):
            return type(count)(stretched(each) for each in count)
        return max(1, round(count * factor)) if count else count

    def change(node: Any, names: tuple[str, ...]) -> None:
        for name in names:
            if name in node:
                node[name] = stretched(node[name])

    loop = cfg.train_cfg
    if 'max_iters' in loop:
        change(loop, ('max_iters', 'val_interval', 'val_begin'))
        if loop.get('dynamic_intervals'):
            loop.dynamic_intervals = stretched(loop.dynamic_intervals)
    for scheduler in schedulers_in(cfg.get('param_scheduler')):
        if not scheduler.get('by_epoch', True):
            change(scheduler, _SCHEDULER_COUNTS)
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    if not checkpoint.get('by_epoch', True):
        change(checkpoint, ('interval', 'save_begin'))
    for _, hook in hooks_in(cfg):
        change(hook, ('begin_iter',))
        if has_type(hook, 'ExpectedCurveHook') and 'points' in hook:
            hook.points = [(stretched(iteration), miou) for iteration, miou in hook.points]
