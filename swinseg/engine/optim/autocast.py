"""Mixed precision that also works without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmseg.registry import OPTIM_WRAPPERS
from torch import nn

from swinseg.errors import ConfigError
from swinseg.models.prepare import computes_bfloat16


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """mmengine's ``OptimWrapper`` with the forward pass under ``torch.autocast`` and no loss scaling.

    mmengine's ``AmpOptimWrapper`` refuses to run on a CPU. bfloat16 has the exponent range of float32, so no
    loss needs scaling, and this wrapper gives the same run on a CPU and on a GPU. For float16 on a GPU use
    ``AmpOptimWrapper``, which scales.

    Args:
        dtype: ``'bfloat16'``, or ``'auto'`` for that where the device has instructions for it, and float32
            elsewhere: a processor with AVX2 only emulates bfloat16, at a tenth of the speed of float32.
        **kwargs: as ``OptimWrapper`` takes them.

    Raises:
        ConfigError: another dtype.
    """

    def __init__(self, dtype: str = 'bfloat16', **kwargs: Any) -> None:
        if dtype not in ('bfloat16', 'auto'):
            raise ConfigError(
                f"optim_wrapper.dtype must be 'bfloat16' or 'auto' for AutocastOptimWrapper, which does not "
                f"scale the loss, got {dtype!r}; for float16 on a GPU set optim_wrapper.type='AmpOptimWrapper'"
            )
        super().__init__(**kwargs)
        self._is_asked_for = dtype == 'bfloat16'
        self._has_told = False

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass of ``model`` in bfloat16 on the device of its parameters."""
        device = next(model.parameters()).device.type
        is_used = self._is_asked_for or computes_bfloat16(device)
        if not is_used and not self._has_told:
            self._has_told = True
            MMLogger.get_current_instance().info(
                f'computing in float32: this {device} has no instructions for bfloat16, which it would emulate'
            )
        with (
            super().optim_context(model),
            torch.autocast(device, dtype=torch.bfloat16, enabled=is_used),
        ):
            yield
