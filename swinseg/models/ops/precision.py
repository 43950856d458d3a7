"""The precision in which a device can compute; Apple's GPUs, and others, have no float64."""

from __future__ import annotations

import torch

_WITH_FLOAT64 = ('cpu', 'cuda')


def widest_float(device: torch.device) -> torch.dtype:
    """Return the dtype for sums and products that are rounded once at their end.

    It is float64 on a CPU and on CUDA or ROCm, and float32 elsewhere: MPS refuses to allocate a float64 tensor,
    and so do some GPUs of other makers.
    """
    return torch.float64 if device.type in _WITH_FLOAT64 else torch.float32
