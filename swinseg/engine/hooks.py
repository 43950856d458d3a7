"""What happens around the training loop: progress line, guard against nan, curve picture, checkpoints."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmseg.registry import HOOKS

from swinseg.engine.errors import TrainingError
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
class NonFiniteGuardHook(Hook):
    """Stop before the optimiser step when the loss is not a finite number.

    One step on such a loss fills every weight with nan, and training would go on for days without a word.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._batch: Any = None

    def before_train(self, runner: Any) -> None:
        """Put the check between the loss and the optimiser."""
        wrapper = runner.optim_wrapper
        update = wrapper.update_params

        def guarded(loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
            if not torch.isfinite(loss).all():
                raise TrainingError(self._message(runner, float(loss.detach().float().mean())))
            update(loss, *args, **kwargs)

        wrapper.update_params = guarded

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Remember the batch for the message."""
        self._batch = data_batch

    def after_train(self, runner: Any) -> None:
        """Take the check away again."""
        vars(runner.optim_wrapper).pop('update_params', None)

    def _message(self, runner: Any, loss: float) -> str:
        samples = self._batch.get('data_samples', ()) if isinstance(self._batch, dict) else ()
        paths = [str(sample.metainfo.get('img_path', '?')) for sample in samples]
        rate = max(group['lr'] for group in runner.optim_wrapper.param_groups)
        return (
            f'the loss became {loss} at iteration {runner.iter + 1} (learning rate {rate:.2e}) on the images '
            f'{", ".join(paths) or "of a batch without paths"}; the weights were left as they were before it: '
            'lower optim_wrapper.optimizer.lr or set optim_wrapper.clip_grad.max_norm, and look at those images'
        )


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


class _DeferredRemovals:
    """A file backend of mmengine whose ``remove`` waits until the new file is there."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._pending: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self._pending.append(path)

    def flush(self, *, keep: Sequence[str | None]) -> None:
        while self._pending:
            path = self._pending.pop()
            if path not in keep and self._backend.isfile(path):
                self._backend.remove(path)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook`` that removes an old checkpoint only after the new one is on disk.

    mmengine removes first: a kill in between leaves no best checkpoint, or none at all with
    ``max_keep_ckpts=1``. Takes the arguments of ``CheckpointHook``.
    """

    def before_train(self, runner: Any) -> None:
        """Find out what earlier runs have left, and put removals off from here on."""
        super().before_train(runner)
        best = getattr(self, 'best_ckpt_path', None)
        if best is not None:
            # A run that was resumed in another folder must not remove the best checkpoint of the first.
            here = Path(self.out_dir) / Path(best).name
            self.best_ckpt_path = str(here) if here.is_file() else None
        self.file_backend: Any = _DeferredRemovals(self.file_backend)

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict) -> None:
        super()._save_checkpoint_with_step(runner, step, meta=meta)
        self._flush()

    def _save_best_checkpoint(self, runner: Any, metrics: dict) -> None:
        super()._save_best_checkpoint(runner, metrics)
        self._flush()

    def _flush(self) -> None:
        if is_main_process() and isinstance(self.file_backend, _DeferredRemovals):
            best = getattr(self, 'best_ckpt_path', None)
            bests = getattr(self, 'best_ckpt_path_dict', {}).values()
            self.file_backend.flush(keep=(self.last_ckpt, best, *bests))
