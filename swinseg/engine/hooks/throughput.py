"""Throughput and memory of a training, for its log, its curves and the progress line."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import EpochBasedTrainLoop
from mmseg.registry import HOOKS

from swinseg.inference.memory import resident_bytes


class ThroughputMeter:
    """Images per second over the last steps; pauses are cut out with :meth:`restart`.

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
    def images_per_second(self) -> float:
        """Mean over the window, 0 before the first step."""
        seconds = sum(s for s, _ in self._steps)
        return sum(n for _, n in self._steps) / seconds if seconds > 0 else 0.0


def images_in(data_batch: Any) -> int:
    """Return the number of images of a batch, of all processes together."""
    inputs = data_batch.get('inputs') if isinstance(data_batch, dict) else data_batch
    return (len(inputs) if inputs is not None else 0) * get_world_size()


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Add ``images_per_second`` and ``memory`` to the figures of each training step; every training has it.

    A training that counts epochs gets ``epochs``, the passes over the training set so far, as well.

    Images per second are those of all processes, a mean over the last 50 steps with the loading of their images,
    without validations and the writing of checkpoints. Memory is in MiB: on a GPU the peak of what tensors took
    since the line before, which mmengine logs; else what the training process has resident, without the processes
    that load images.
    """

    # NORMAL: before the logger reads the figures of the step.

    def __init__(self) -> None:
        self._speed = ThroughputMeter()
        self._paused = True

    def before_train(self, runner: Any) -> None:
        """Have validations logged at their iteration, whatever ``log_metric_by_epoch`` says.

        A log has one axis. By epoch, they would lie among its first iterations, and in a training that counts
        iterations all at 0.
        """
        for hook in runner.hooks:
            if isinstance(hook, LoggerHook):
                hook.log_metric_by_epoch = False

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Start the clock after a pause."""
        if self._paused:
            self._paused = False
            self._speed.restart()

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Note the figures of this step."""
        self._speed.step(images_in(data_batch))
        runner.message_hub.update_scalar('train/images_per_second', self._speed.images_per_second)
        memory = None if torch.cuda.is_available() else resident_bytes()
        if memory is not None:
            runner.message_hub.update_scalar('train/memory', round(memory / 2**20))
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            epochs = runner.epoch + (batch_idx + 1) / len(runner.train_dataloader)
            runner.message_hub.update_scalar('train/epochs', epochs)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Stop the clock."""
        self._paused = True

    def before_val(self, runner: Any) -> None:
        """Stop the clock."""
        self._paused = True
