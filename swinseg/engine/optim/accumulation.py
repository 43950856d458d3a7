"""Training steps over more images than the memory has room for at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmseg.registry import HOOKS
from torch import Tensor


@HOOKS.register_module()
class AccumulationHook(Hook):
    """Compute each training step in parts: forward and backward passes over some of its images at a time.

    mmengine's ``accumulative_counts`` counts each forward pass as an iteration, so that schedule, validations
    and checkpoints come too early by its factor. Here an iteration stays a step of the optimizer: the loader
    gives the whole batch, and the gradient is that of the mean loss over its parts. What differs from a run that
    computes the batch at once: batch norm sees the images of a part, and dropout and stochastic depth draw other
    numbers.

    A config gets this hook from ``effective_batch='accumulation'``.

    Args:
        parts: how many; they divide the number of images of each batch.
    """

    priority = 'VERY_HIGH'

    def __init__(self, parts: int) -> None:
        self.parts = parts
        self._train_step: Any = None

    def before_train(self, runner: Any) -> None:
        """Put the division between the loop and the model."""
        model, wrapper, parts = runner.model, runner.optim_wrapper, self.parts
        # Only now: from the config, mmengine would compare it with an iteration count of whole steps.
        wrapper._accumulative_counts = parts
        wrapper.initialize_count_status(model, runner.iter * parts, runner.max_iters * parts)
        whole_step = self._train_step = model.train_step

        def step_in_parts(
            data: Mapping[str, Any], optim_wrapper: OptimWrapper
        ) -> dict[str, Tensor]:
            logs = [whole_step(part, optim_wrapper=optim_wrapper) for part in divide(data, parts)]
            return mean_of(logs)

        model.train_step = step_in_parts

    def after_train(self, runner: Any) -> None:
        """Take the division away again."""
        runner.model.train_step = self._train_step


def divide(data: Mapping[str, Sequence[Any]], parts: int) -> list[dict[str, Sequence[Any]]]:
    """Divide a batch, ``inputs`` and ``data_samples`` of the same length, into ``parts`` of equal length.

    Raises:
        ValueError: the number of images is not a multiple of ``parts``.
    """
    count = len(data['inputs'])
    if count % parts:
        raise ValueError(f'{count} images cannot be divided into {parts} parts of equal size')
    size = count // parts
    return [
        {key: values[start : start + size] for key, values in data.items()}
        for start in range(0, count, size)
    ]


def mean_of(logs: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of each value that all parts have logged."""
    return OrderedDict(
        (name, torch.stack([log[name].detach() for log in logs]).mean(0)) for name in logs[0]
    )
