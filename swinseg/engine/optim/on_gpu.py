"""Kernels of the optimizer's step on a GPU, and the precision of float32 there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from swinseg.errors import ConfigError, shown
from swinseg.precision import set_tf32
from swinseg.type_names import type_name

_WITH_FUSED_STEP = ('AdamW', 'Adam', 'SGD')
# Settings by which a config has chosen kernels, or needs those that are not fused.
_CHOICES = ('fused', 'foreach', 'differentiable')


def choose_tf32(env_cfg: Mapping[str, Any]) -> None:
    """Allow or forbid TF32 in this process as ``env_cfg.tf32`` says; without it PyTorch's choice stays.

    Raises:
        ConfigError: it is neither true nor false.
    """
    tf32 = env_cfg.get('tf32')
    if tf32 is None:
        return
    if not isinstance(tf32, bool):
        raise ConfigError(
            f'env_cfg.tf32 must be True or False, whether a GPU may compute float32 in TF32, not {shown(tf32)}; '
            "leave it out for PyTorch's choice"
        )
    set_tf32(tf32)


def with_fused_step(optim_wrapper: Any, model: nn.Module) -> Any:
    """Return the config of an optimizer wrapper with ``fused=True`` for a model on a CUDA device.

    A step is then one kernel for many weights, with the same formula; otherwise about ten kernels for as many. On
    other devices, for other optimizers, and where the config says ``fused`` or ``foreach`` it stays as it is.

    Args:
        optim_wrapper: the config, which is not changed, or a wrapper that is built already.
        model: whose weights are trained.
    """
    optimizer = optim_wrapper.get('optimizer') if isinstance(optim_wrapper, Mapping) else None
    if not isinstance(optimizer, Mapping):
        return optim_wrapper
    kind = type_name(optimizer.get('type', ''))
    if kind.startswith('torch.optim.'):  # a class
        kind = kind.rpartition('.')[2]
    if kind not in _WITH_FUSED_STEP:
        return optim_wrapper
    on_cuda = all(each.is_cuda and each.is_floating_point() for each in model.parameters())
    if not on_cuda or any(name in optimizer for name in _CHOICES):
        return optim_wrapper
    return {**optim_wrapper, 'optimizer': {**optimizer, 'fused': True}}
