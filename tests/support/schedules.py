"""A runner that has optimizer, schedules and a place in a training, and nothing else."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn


def scheduled_runner(
    *schedulers: dict[str, Any],
    rates: tuple[float, ...] = (1.0,),
    iterations: int | None = None,
    epochs: int | None = None,
    epoch_length: int = 4,
    **options: Any,
) -> Any:
    """Return it at the beginning of a training of so many iterations, or epochs.

    Args:
        *schedulers: as in a config's ``param_scheduler``.
        rates: learning rates of the optimizer's groups.
        iterations: of a training that counts them.
        epochs: of a training that counts them.
        epoch_length: iterations of an epoch.
        **options: further arguments of SGD.
    """
    groups = [{'params': [nn.Parameter(torch.ones(1))], 'lr': rate} for rate in rates]
    wrapper = OptimWrapper(torch.optim.SGD(groups, lr=rates[0], **options))
    loop = SimpleNamespace(iter=0, epoch=0, dataloader=range(epoch_length))
    if epochs is None:
        loop.max_iters, loop.max_epochs = iterations, 1
    else:
        loop.max_iters, loop.max_epochs = epochs * epoch_length, epochs
        loop.iterations_of_epoch = 0
    built = [
        PARAM_SCHEDULERS.build(
            dict(each), default_args=dict(optimizer=wrapper, epoch_length=epoch_length)
        )
        for each in schedulers
    ]
    return SimpleNamespace(
        cfg={},
        train_loop=loop,
        optim_wrapper=wrapper,
        param_schedulers=built,
        logger=logging.getLogger('test'),
    )


def step(runner: Any, iterations: int) -> list[float]:
    """Move the schedules as a training does, and return the highest rate of each iteration."""
    loop, rates = runner.train_loop, []
    for _ in range(iterations):
        rates.append(max(group['lr'] for group in runner.optim_wrapper.param_groups))
        for each in runner.param_schedulers:
            if not each.by_epoch:
                each.step()
        loop.iter += 1
        if hasattr(loop, 'iterations_of_epoch') and loop.iter % len(loop.dataloader) == 0:
            loop.epoch += 1
            for each in runner.param_schedulers:
                if each.by_epoch:
                    each.step()
    return rates
