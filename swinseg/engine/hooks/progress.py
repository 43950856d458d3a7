"""Progress line of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop
from mmseg.registry import HOOKS

from swinseg.engine.checkpoint.saving import bests_of
from swinseg.engine.hooks.throughput import images_in
from swinseg.engine.loop.train_loop import position_of
from swinseg.evaluation.report import format_metrics
from swinseg.terminal import LiveLine, format_duration


def _scores(runner: Any) -> dict[str, float]:
    return {best.metric: best.score for best in bests_of(runner)}


@HOOKS.register_module()
class ProgressHook(Hook):
    """Show loss, learning rate, images per second and time left.

    On a terminal one line is rewritten; into a file or a pipe goes a line every ``interval`` iterations.

    Args:
        interval: iterations between lines where the output is no terminal; validation and test images too.
    """

    priority = 'LOWEST'  # after the hooks that note what is shown

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval
        self._terminal = LiveLine(interval)
        self._bests: dict[str, float] = {}

    def _line(self, text: str) -> None:
        if is_main_process():
            self._terminal.say(text)

    def _live(self, text: str, *, step: int, total: int) -> None:
        if is_main_process():
            self._terminal.show(text, step=step, total=total)

    def before_train(self, runner: Any) -> None:
        """Say what is trained."""
        loop = runner.train_loop
        steps = f'training from iteration {loop.iter} to {loop.max_iters}'
        if isinstance(loop, EpochBasedTrainLoop):
            steps += (
                f' (epoch {loop.epoch} to {loop.max_epochs}, of {len(loop.dataloader)} iterations)'
            )
        self._line(f'{steps}; files in {runner.work_dir}')
        self._bests = _scores(runner)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Show the line of this iteration."""
        step, total = runner.iter + 1, runner.max_iters
        is_by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        epoch = f'epoch {runner.epoch + 1}/{runner.max_epochs}  ' if is_by_epoch else ''
        scalars = runner.message_hub.log_scalars
        loss = scalars['train/loss'].mean(self.interval) if 'train/loss' in scalars else math.nan
        rate = scalars['train/lr'].current() if 'train/lr' in scalars else math.nan
        figure = scalars.get('train/images_per_second')
        speed = figure.current() if figure else 0.0
        left = format_duration(images_in(data_batch) * (total - step) / speed) if speed else '?'
        self._live(
            f'{epoch}iteration {step}/{total}  loss {loss:.4f}  lr {rate:.2e}  '
            f'{speed:.1f} images/s  left {left}',
            step=step,
            total=total,
        )

    def after_train(self, runner: Any) -> None:
        """Say where things are."""
        self._line(f'trained to {position_of(runner)}; checkpoints and curves in {runner.work_dir}')

    def _after_image(self, what: str, loader: Any, batch_idx: int) -> None:
        total = len(loader)
        if self._terminal.is_rewritten:
            self._live(f'{what} {batch_idx + 1}/{total}', step=batch_idx + 1, total=total + 1)
        elif what == 'testing':
            self._live(f'{what} {batch_idx + 1}/{total}', step=batch_idx + 1, total=total)

    def after_val_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Sequence | None = None
    ) -> None:
        """Show how far the validation is."""
        self._after_image('validating', runner.val_dataloader, batch_idx)

    def after_test_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Sequence | None = None
    ) -> None:
        """Show how far the test is."""
        self._after_image('testing', runner.test_dataloader, batch_idx)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Print the figures of a validation."""
        metrics = metrics or {}
        better = self._improved(runner, metrics)
        mark = f'  (best {better}so far)' if better is not None else ''
        self._line(f'validation at {position_of(runner)}: {format_metrics(metrics)}{mark}')

    def _improved(self, runner: Any, metrics: Mapping[str, Any]) -> str | None:
        """Return the names of the metrics that are best now, '' for the only one; None without any."""
        before, now = self._bests, _scores(runner)
        if not now and 'mIoU' in metrics:  # no checkpoint of the best is kept
            now = {'mIoU': max(metrics['mIoU'], before.get('mIoU', -math.inf))}
        self._bests = now
        better = [name for name, score in now.items() if score != before.get(name)]
        if not better:
            return None
        return '' if len(now) == 1 else f'{" and ".join(better)} '

    def after_test_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Clear the live line, so that what the caller prints starts in an empty one."""
        if is_main_process():
            self._terminal.clear()
