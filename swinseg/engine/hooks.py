"""What a training shows: the progress line and the picture of its curves."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from swinseg.engine.terminal import LiveLine
from swinseg.errors import UserError
from swinseg.visualization.curves import plot_curves


def format_duration(seconds: float) -> str:
    """Return ``3725.2`` as ``1:02:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d}:{rest:02d}'


class Speed:
    """Seconds per step and images per second over the last steps; pauses are cut out with :meth:`restart`.

    Args:
        window: how many steps the mean goes over.
        clock: gives the time in seconds.
    """

    def __init__(self, window: int = 50, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._steps: deque[tuple[float, int]] = deque(maxlen=window)
        self._since = clock()

    def restart(self) -> None:
        """Take the next step's time from now."""
        self._since = self._clock()

    def step(self, images: int) -> None:
        """Count a step that ends now and went over ``images`` images."""
        now = self._clock()
        self._steps.append((now - self._since, images))
        self._since = now

    @property
    def seconds_per_step(self) -> float:
        """Mean over the window, 0 before the first step."""
        return sum(s for s, _ in self._steps) / max(len(self._steps), 1)

    @property
    def images_per_second(self) -> float:
        """Mean over the window, 0 before the first step."""
        seconds = sum(s for s, _ in self._steps)
        return sum(n for _, n in self._steps) / seconds if seconds > 0 else 0.0


@HOOKS.register_module()
class ProgressHook(Hook):
    """Show loss, learning rate, images per second and time left.

    On a terminal one line is rewritten; into a file or a pipe goes a line every ``interval`` iterations.

    Args:
        interval: iterations between lines where the output is no terminal; validation and test images too.
    """

    priority = 'LOWEST'  # after checkpoints and curves, so that their time is in nobody's images per second

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval
        self._speed = Speed()
        self._paused = True
        self._terminal = LiveLine(interval)
        self._best: float | None = None

    def _line(self, text: str) -> None:
        if is_main_process():
            self._terminal.say(text)

    def _live(self, text: str, *, step: int, total: int) -> None:
        if is_main_process():
            self._terminal.show(text, step=step, total=total)

    def before_train(self, runner: Any) -> None:
        """Start the clock."""
        self._line(
            f'training from iteration {runner.iter} to {runner.max_iters}; files in {runner.work_dir}'
        )
        self._best = runner.message_hub.runtime_info.get('best_score')
        self._paused = True

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Start the clock after a pause: a validation, or the data that a resumed run skips."""
        if self._paused:
            self._paused = False
            self._speed.restart()

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Show the line of this iteration."""
        self._speed.step(_images_in(data_batch) * get_world_size())
        step, total = runner.iter + 1, runner.max_iters
        scalars = runner.message_hub.log_scalars
        loss = scalars['train/loss'].mean(self.interval) if 'train/loss' in scalars else math.nan
        rate = scalars['train/lr'].current() if 'train/lr' in scalars else math.nan
        left = format_duration(self._speed.seconds_per_step * (total - step))
        self._live(
            f'iteration {step}/{total}  loss {loss:.4f}  lr {rate:.2e}  '
            f'{self._speed.images_per_second:.1f} images/s  left {left}',
            step=step,
            total=total,
        )

    def after_train(self, runner: Any) -> None:
        """Say where things are."""
        self._line(
            f'trained to iteration {runner.iter}; checkpoints and curves in {runner.work_dir}'
        )

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
        figures = '  '.join(f'{k} {v:.2f}' for k, v in metrics.items() if isinstance(v, float))
        mark = ''
        score = metrics.get('mIoU', -math.inf)
        if score > (-math.inf if self._best is None else self._best):
            self._best, mark = score, '  (best so far)'
        self._line(f'validation at iteration {runner.iter}: {figures}{mark}')
        self._paused = True

    def after_test_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Clear the live line, so that what the caller prints starts in an empty one."""
        if is_main_process():
            self._terminal.clear()


def _images_in(data_batch: Any) -> int:
    inputs = data_batch.get('inputs') if isinstance(data_batch, dict) else data_batch
    return len(inputs) if inputs is not None else 0


@HOOKS.register_module()
class CurvesHook(Hook):
    """Draw loss, learning rate and validation figures into ``curves.png`` of the work directory."""

    priority = 'LOW'  # after LoggerHook has written the scalars

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Draw at each validation of a training."""
        if runner.is_training_run:
            self._draw(runner)

    def after_train(self, runner: Any) -> None:
        """Draw at the end."""
        self._draw(runner)

    def _draw(self, runner: Any) -> None:
        if not is_main_process():
            return
        scalars = [path for path in runner.scalar_files() if path.is_file() and path.stat().st_size]
        if not scalars:
            return
        try:
            plot_curves(scalars, Path(runner.work_dir) / 'curves.png')
        except UserError as error:
            # A picture is not worth the training.
            runner.logger.warning(f'no curves were drawn: {error}')
