"""Parts of a training beside its weights: optimizers and averages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseAveragedModel
from mmengine.optim import OptimWrapper, OptimWrapperDict

from swinseg.errors import ConfigError

_DECAYS = ('norm_decay_mult', 'bias_decay_mult', 'dwconv_decay_mult', 'flat_decay_mult')


def optimizers_of(wrapper: OptimWrapper | OptimWrapperDict) -> list[torch.optim.Optimizer]:
    """Return the optimizers of a training: one, or those that a config names for parts of the network."""
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    return [each.optimizer for each in wrappers]


def averages_of(hooks: Iterable[Hook]) -> list[BaseAveragedModel]:
    """Return the averaged models that hooks such as ``EMAHook`` keep."""
    return [hook.ema_model for hook in hooks if hasattr(hook, 'ema_model')]


def check_multipliers(cfg: Config) -> None:
    """Refuse multipliers of ``paramwise_cfg`` that have nothing to multiply.

    Args:
        cfg: of a training.

    Raises:
        ConfigError: ``optim_wrapper.optimizer`` does not give the learning rate or the weight decay.
    """
    wrapper = cfg.get('optim_wrapper')
    optimizer = wrapper.get('optimizer') if isinstance(wrapper, Mapping) else None
    rules = wrapper.get('paramwise_cfg') if isinstance(wrapper, Mapping) else None
    if not isinstance(optimizer, Mapping) or not isinstance(rules, Mapping):
        return
    for value, example in (('lr', '0.01'), ('weight_decay', '0.01 or 0.0')):
        place = next(_multipliers(rules, value), None)
        if place is not None and optimizer.get(value) is None:
            raise ConfigError(
                f'optim_wrapper.paramwise_cfg.{place} multiplies the {value} of optim_wrapper.optimizer, which '
                f'has none: set optim_wrapper.optimizer.{value} ({example}), or leave paramwise_cfg out with '
                'optim_wrapper.paramwise_cfg=None'
            )


def _multipliers(rules: Mapping[str, Any], value: str) -> Iterator[str]:
    """Yield the places of the multipliers of the learning rate, or of the weight decay."""
    if value == 'weight_decay':
        yield from (name for name in _DECAYS if rules.get(name) is not None)
    keys = rules.get('custom_keys')
    for key, rule in keys.items() if isinstance(keys, Mapping) else ():
        # Of the learning rate every rule takes a multiple, once or not.
        if isinstance(rule, Mapping) and (value == 'lr' or 'decay_mult' in rule):
            yield f'custom_keys.{key}'
