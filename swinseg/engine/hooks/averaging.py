"""mmengine's hooks for averaged weights and early stopping, where they also must load, evaluate and resume."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import EarlyStoppingHook, EMAHook
from mmseg.registry import HOOKS

from swinseg.engine.checks.metrics import require_metric, validation_metrics
from swinseg.engine.hooks.runs import is_training_run
from swinseg.engine.loop.train_loop import position_of


@HOOKS.register_module()
class ResumableEMAHook(EMAHook):
    """mmengine's ``EMAHook``: an exponential moving average of the weights, with which validations are done.

    A checkpoint's ``state_dict`` holds the averaged weights, so that evaluation and prediction use them without
    knowing of it, and ``ema_state_dict`` the trained ones, with which a training is resumed. mmengine's hook fails
    in an evaluation, and in a training that starts from weights of another format than mmengine's.

    Args:
        **options: as ``EMAHook`` takes them; ``momentum`` is the share of the current weights in each step.
    """

    def before_run(self, runner: Any) -> None:
        """Copy the model, in a training."""
        if is_training_run(runner):
            super().before_run(runner)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Take the averages of a resumed training; a new one starts from the weights of its first step."""
        if runner._resume:
            super().after_load_checkpoint(runner, checkpoint)

    def before_test_epoch(self, runner: Any) -> None:
        """Do nothing: the weights of a checkpoint are the averaged ones."""

    def after_test_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Do nothing, as before."""


@HOOKS.register_module()
class ResumableEarlyStoppingHook(EarlyStoppingHook):
    """mmengine's ``EarlyStoppingHook`` that remembers over a resume, and does not mind an evaluation.

    Args:
        monitor: the figure that must rise, such as ``'mIoU'``, or fall, ``'val_loss'``.
        **options: as ``EarlyStoppingHook`` takes them; ``patience`` validations without a gain of ``min_delta``
            end the training.

    Raises:
        ConfigError: validations have no figure of that name.
    """

    priority = 'LOW'  # before the checkpoint of the best weights, which holds the count

    def __init__(self, monitor: str = 'mIoU', **options: Any) -> None:
        rule = 'less' if 'loss' in monitor else 'greater'
        super().__init__(monitor=monitor, **{'rule': rule, **options})

    def before_run(self, runner: Any) -> None:
        """Do nothing: mmengine asks here for a training loop, which an evaluation has not."""

    def before_train(self, runner: Any) -> None:
        """Go on counting where a resumed training stopped."""
        figures = validation_metrics(runner)
        if figures is not None:
            require_metric(self.monitor, figures, setting='monitor of ResumableEarlyStoppingHook')
        known = runner.message_hub.runtime_info.get('early_stopping')
        if known is not None:
            self.best_score, self.wait_count = known

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Count, and end the training when it has not become better for long enough."""
        if not is_training_run(runner):
            return
        figures = metrics or {}
        require_metric(self.monitor, figures, setting='monitor of ResumableEarlyStoppingHook')
        must_stop, reason = self._check_stop_condition(figures[self.monitor])
        runner.message_hub.update_info('early_stopping', (self.best_score, self.wait_count))
        if must_stop:
            runner.train_loop.stop_training = True
            runner.logger.info(f'training ends early, at {position_of(runner)}: {reason.strip()}')
