"""Thresholds of a segmentor with several classes at a pixel, as its validations choose them."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from swinseg.engine.checkpoint.saving import AtomicCheckpointHook
from swinseg.engine.hooks.runs import is_training_run
from swinseg.evaluation.multi_label import MultiLabelMetric

_KEY = 'thresholds'


@HOOKS.register_module()
class ChosenThresholdsHook(Hook):
    """Give the model and its checkpoints what ``MultiLabelMetric(choose_thresholds=True)`` has chosen.

    They become ``model.thresholds`` of the config that a checkpoint keeps. ``SwinsegRunner`` always has this hook.
    """

    # Between LOW and VERY_LOW: after averaged weights are out of the model and other hooks have noted what they
    # keep, before the best checkpoint is saved.
    priority = 80

    def before_train(self, runner: Any) -> None:
        """Go on with the thresholds of the run that was resumed."""
        found = runner.message_hub.runtime_info.get(_KEY)
        if found is not None and getattr(runner.bare_model, 'multi_label', False):
            self._set(runner, list(found))

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Take the thresholds of this validation, also into the checkpoint of its iteration."""
        if not is_training_run(runner):
            return
        for metric in runner.val_evaluator.metrics:
            if isinstance(metric, MultiLabelMetric) and metric.chosen_thresholds is not None:
                self._set(runner, list(metric.chosen_thresholds))
                for hook in runner.hooks:
                    if isinstance(hook, AtomicCheckpointHook):
                        hook.save_again(runner)

    def _set(self, runner: Any, thresholds: list[float]) -> None:
        runner.bare_model.set_thresholds(thresholds)
        runner.cfg.model.thresholds = thresholds
        runner.message_hub.update_info(_KEY, thresholds)
