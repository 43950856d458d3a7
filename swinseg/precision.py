"""The precision in which a device can compute; Apple's GPUs, and others, have no float64."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

_WITH_FLOAT64 = ('cpu', 'cuda')


def widest_float(device: torch.device) -> torch.dtype:
    """Return the dtype for sums and products that are rounded once at their end.

    It is float64 on a CPU and on CUDA or ROCm, and float32 elsewhere: MPS refuses to allocate a float64 tensor,
    and so do some GPUs of other makers.
    """
    return torch.float64 if device.type in _WITH_FLOAT64 else torch.float32


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which operations compute in the dtypes that they are given."""
    # The meta device, on which arithmetic and memory are counted, has no autocast.
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def set_tf32(allowed: bool) -> None:
    """Choose for this process whether a GPU rounds the factors of float32 products to TF32's ten bits.

    Args:
        allowed: for convolutions and matrix products alike. PyTorch by itself allows it for convolutions only.
    """
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed
