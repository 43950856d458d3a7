"""Batches whose loss is not a finite number: passed over, counted and named."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmseg.registry import HOOKS
from torch import Tensor, nn

from swinseg.engine.distributed.fsdp import local_part
from swinseg.errors import TrainingError
from swinseg.precision import widest_float


@HOOKS.register_module()
class NonFiniteGuardHook(Hook):
    """Leave a batch out when its loss is not a finite number, and stop when there are many of them.

    One step on such a loss fills every weight with nan, and training would go on for days without a word. The
    batch leaves nothing behind: no gradient, and the statistics of batch norms as they were before it.

    Args:
        limit: how many batches may be left out within ``window`` iterations; 0 stops at the first.
        window: iterations.
    """

    # Before RuntimeInfoHook, so that nan does not enter the means of the log.
    priority = 'HIGHEST'

    def __init__(self, limit: int = 10, window: int = 1000) -> None:
        self.limit = limit
        self.window = window
        self._batch: Any = None
        self._passed_over: deque[int] = deque(maxlen=limit + 1)
        self._statistics: list[Tensor] = []
        self._statistics_before: list[Tensor] = []

    def before_train(self, runner: Any) -> None:
        """Put the check between the loss and the optimizer."""
        self._statistics = [
            buffer
            for module in runner.model.modules()
            if isinstance(module, nn.modules.batchnorm._NormBase)
            for buffer in module.buffers(recurse=False)
        ]
        wrapper = runner.optim_wrapper
        update = wrapper.update_params

        def guarded(loss: Tensor, *args: Any, **kwargs: Any) -> None:
            if _is_finite_everywhere(loss):
                update(loss, *args, **kwargs)
            else:
                self._skip_batch(runner, float(loss.detach().float().mean()))

        wrapper.update_params = guarded

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Remember the batch, and what batch norms know before it."""
        self._batch = data_batch
        self._statistics_before = [buffer.clone() for buffer in self._statistics]

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Take figures that are not finite out of what is logged, and those of a GPU to the host."""
        logged = {} if outputs is None else outputs
        _read_at_once(logged)
        for name, value in list(logged.items()):
            if not torch.isfinite(torch.as_tensor(value)).all():
                del logged[name]

    def after_train(self, runner: Any) -> None:
        """Take the check away again, and say how many batches were left out."""
        vars(runner.optim_wrapper).pop('update_params', None)
        count = runner.message_hub.runtime_info.get('passed_over', 0)
        if count:
            runner.logger.warning(
                f'{count} batches were left out because their loss was not finite; the log names their images'
            )

    def _skip_batch(self, runner: Any, loss: float) -> None:
        self._stop_if_nonfinite(runner)
        for buffer, before in zip(self._statistics, self._statistics_before, strict=True):
            buffer.copy_(before)
        _skip_step(runner.optim_wrapper)
        iteration = runner.iter + 1
        self._passed_over.append(iteration)
        # In other processes the loss may have been finite; the batch is theirs too.
        loss, paths = next(
            found
            for found in all_gather_object((loss, self._paths()))
            if not math.isfinite(found[0])
        )
        what = f'the loss became {loss} at iteration {iteration}'
        images = f'on the images {", ".join(paths) or "of a batch without paths"}'
        recent = sum(iteration - earlier < self.window for earlier in self._passed_over)
        if recent > self.limit:
            repeated = f', the last of {recent} such batches' if recent > 1 else ''
            rate = max(group['lr'] for group in runner.optim_wrapper.param_groups)
            raise TrainingError(
                f'{what}{repeated} (learning rate {rate:.2e}) {images}; the weights are as they were before it: '
                'lower optim_wrapper.optimizer.lr or set optim_wrapper.clip_grad.max_norm, and look at those '
                'images'
            )
        count = runner.message_hub.runtime_info.get('passed_over', 0) + 1
        runner.message_hub.update_info('passed_over', count)
        runner.logger.warning(f'{what} {images}; the batch was left out, {count} so far')

    def _stop_if_nonfinite(self, runner: Any) -> None:
        """Stop when it is the weights that are not finite: every later batch would be passed over."""
        spoiled = (
            name
            for name, weight in runner.model.named_parameters()
            if not torch.isfinite(local_part(weight)).all()
        )
        # A process may hold a share of the weights only.
        name = next((each for each in all_gather_object(next(spoiled, None)) if each), None)
        if name is not None:
            raise TrainingError(
                f'the weights {name} are no longer finite at iteration {runner.iter + 1}: an earlier step '
                'had a finite loss and a gradient that was not; set optim_wrapper.clip_grad.max_norm, and go '
                'on from an earlier checkpoint with --resume PATH'
            )

    def _paths(self) -> list[str]:
        samples = self._batch.get('data_samples', ()) if isinstance(self._batch, dict) else ()
        return [str(sample.metainfo.get('img_path', '?')) for sample in samples]


def _read_at_once(logged: dict[str, Any]) -> None:
    """Replace the numbers of a GPU by those of Python, in one copy: mmengine would wait for each."""
    there = {
        name: value.detach()
        for name, value in logged.items()
        if isinstance(value, Tensor) and value.numel() == 1 and value.device.type != 'cpu'
    }
    if there:
        values = [value.reshape(()).to(widest_float(value.device)) for value in there.values()]
        logged.update(zip(there, torch.stack(values).tolist(), strict=True))


def _is_finite_everywhere(loss: Tensor) -> bool:
    """Whether the loss is finite in all processes, which must all step or none."""
    finite = torch.isfinite(loss).all().to(torch.float32)
    if get_world_size() > 1:
        all_reduce(finite, 'min')
    return bool(finite)


def _skip_step(wrapper: OptimWrapper) -> None:
    """Count a batch without a gradient; where gradients of several batches add up, step with the others'."""
    wrapper._inner_count += 1
    gradients = (p.grad for group in wrapper.param_groups for p in group['params'])
    if wrapper.should_update() and any(gradient is not None for gradient in gradients):
        wrapper.step()
        wrapper.zero_grad()
