"""Activations in main memory between the forward and the backward pass, to train with less memory of a GPU."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from swinseg.transfers import gains_by_pinning

# Bytes; what is smaller saves less memory than its two copies take time.
_LEAST = 2**20


class _Offloaded(NamedTuple):
    """A tensor of a device, in pinned memory."""

    host: Tensor
    device: torch.device


def offload_activations() -> saved_tensors_hooks:
    """Return a context in which autograd keeps what it saves of a CUDA device in pinned main memory.

    The copies are begun in order with the computation: the host waits for none, and gradients are the same bit for
    bit. ``torch.autograd.graph.save_on_cpu`` waits for each, and copies weights as well. What is on a CPU or small
    stays where it is. A tensor that two operations save is kept twice.
    """
    return saved_tensors_hooks(_pack, _unpack)


def _pack(tensor: Tensor) -> Tensor | _Offloaded:
    base = tensor._base if tensor._is_view() else tensor
    is_small = tensor.numel() * tensor.element_size() < _LEAST
    if is_small or isinstance(base, nn.Parameter) or not gains_by_pinning(tensor.device):
        # Detached, for an output that its own node keeps would never be freed.
        return tensor.detach()
    host = torch.empty_like(tensor, device='cpu', pin_memory=True, requires_grad=False)
    host.copy_(tensor.detach(), non_blocking=True)
    return _Offloaded(host, tensor.device)


def _unpack(kept: Tensor | _Offloaded) -> Tensor:
    if isinstance(kept, Tensor):
        return kept
    return kept.host.to(kept.device, non_blocking=True)
