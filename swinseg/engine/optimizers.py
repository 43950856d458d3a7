"""What belongs to the weights of a training beside them: optimisers and averages."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseAveragedModel
from mmengine.optim import OptimWrapper, OptimWrapperDict


def optimizers_of(wrapper: OptimWrapper | OptimWrapperDict) -> list[torch.optim.Optimizer]:
    """Return the optimisers of a training: one, or those that a config names for parts of the network."""
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    return [each.optimizer for each in wrappers]


def averages_of(hooks: Iterable[Hook]) -> list[BaseAveragedModel]:
    """Return the averaged models that hooks such as ``EMAHook`` keep."""
    return [hook.ema_model for hook in hooks if hasattr(hook, 'ema_model')]
