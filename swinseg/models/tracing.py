"""Questions of whether the running code is recorded rather than computed for its result."""

from __future__ import annotations

import torch


def is_traced() -> bool:
    """Whether a compiler, an exporter or ``torch.jit.trace`` records the operations.

    Operations whose gradient is written by hand have no record, and what is born now must not enter a cache.
    """
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def may_need_gradient() -> bool:
    """Whether a gradient may be asked for of what is computed, so that inputs are not overwritten or detached.

    ``torch.jit.trace`` compares its record with one that it makes without gradients, and wants the same.
    """
    return torch.is_grad_enabled() or torch.jit.is_tracing()
