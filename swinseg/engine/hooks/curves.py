"""Curves of loss and mIoU, drawn while a run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from swinseg.engine.hooks.runs import is_training_run, scalar_files
from swinseg.errors import UserError
from swinseg.visualization.training.class_iou import plot_class_iou
from swinseg.visualization.training.curves import plot_curves
from swinseg.visualization.training.scalars import class_iou_scalars, class_ious_in, read_scalars


@HOOKS.register_module()
class CurvesHook(Hook):
    """Draw what the log has into ``curves.png`` and ``class_iou.png`` of the work directory.

    The IoU of each class, which mmengine logs nowhere but in a table, becomes a figure of its own, ``IoU/<class>``
    in percent, in ``scalars.json``, TensorBoard and whatever else is among the ``vis_backends``.
    """

    priority = 'LOW'  # after LoggerHook has written the scalars

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Log the IoU of each class and draw, at each validation of a training."""
        if not is_training_run(runner):
            return
        for metric in runner.val_evaluator.metrics:
            report = getattr(metric, 'last_report', None)
            if report is not None and 'IoU' in report.per_class:
                scalars = class_iou_scalars(report.classes, report.per_class['IoU'])
                runner.visualizer.add_scalars(scalars, step=runner.iter)
        self._draw(runner)

    def after_train(self, runner: Any) -> None:
        """Draw at the end."""
        self._draw(runner)

    def _draw(self, runner: Any) -> None:
        if not is_main_process():
            return
        scalars = [path for path in scalar_files(runner) if path.is_file() and path.stat().st_size]
        if not scalars:
            return
        try:
            plot_curves(scalars, Path(runner.work_dir) / 'curves.png')
            ious = class_ious_in(read_scalars(scalars))
            if ious:
                plot_class_iou(ious, Path(runner.work_dir) / 'class_iou.png')
        except UserError as error:
            # A picture is not worth the training.
            runner.logger.warning(f'no curves were drawn: {error}')
