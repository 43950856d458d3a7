"""Copies to a GPU for which the host does not wait.

Only page-locked ("pinned") memory can be copied while the host goes on: for a copy from ordinary memory it waits
until all that the GPU was given before is done. Pinning is itself a copy, which on a CPU would gain nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor


def gains_by_pinning(device: torch.device | str) -> bool:
    """Return whether copies to a device overlap with computing when they come from pinned memory: CUDA and ROCm.

    MPS shares its memory with the CPU, and cannot pin.
    """
    return torch.device(device).type == 'cuda'


def to_device(x: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Do what ``x.to(device, dtype)`` does, without a wait where ``x`` is on the CPU and the device is a GPU.

    Args:
        x: of any shape and dtype.
        device: of the result.
        dtype: of the result; None for that of ``x``.

    Returns:
        The same values; ``x`` itself where it is there already.
    """
    is_upload = x.device.type == 'cpu' and gains_by_pinning(device)
    # A compiler records the copy, and where it came from would be recorded with it.
    if not is_upload or torch.compiler.is_compiling():
        return x.to(device=device, dtype=dtype)
    # Converted first: PyTorch would convert into ordinary memory, and copy from there.
    return x.to(dtype=dtype).pin_memory().to(device=device, non_blocking=True)
