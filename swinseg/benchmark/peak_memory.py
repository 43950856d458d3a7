"""The peak of live tensor bytes.

On a GPU the allocator knows it. On a CPU every operation is watched: each storage that an operation returns
counts from then until it is freed, forward, backward and recomputation alike. Storages that existed before,
such as weights, gradients and optimizer state, do not count, nor does what a kernel allocates and frees
within itself, which no tensor ever holds; see ``swinseg.inference.memory`` for that.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from swinseg.inference.memory import resident_peak_bytes


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the tensors made within it on this thread, and keeps their peak.

    Attributes:
        live: bytes now.
        peak: the most there were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operation and count what it returns."""
        # An operand that is not known yet existed before; an operation in place returns it again.
        for operand in tree_leaves((args, kwargs)):
            if isinstance(operand, Tensor):
                self._add(operand, counts=False)
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._add(tensor, counts=True)
        return result

    def _add(self, tensor: Tensor, *, counts: bool) -> None:
        if tensor.is_mkldnn:
            return  # packed weights have no storage that could be asked; they are made before the measurement
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        self._known.add(storage)
        if not counts:
            return
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._free, size).atexit = False

    def _free(self, size: int) -> None:
        self.live -= size


def peak_bytes(call: Callable[[], object], *, device: str = 'cpu') -> int:
    """Return by how many bytes the live tensors rise above their present level while ``call`` runs.

    Args:
        call: is run once, with a time of its own: watching slows it down.
        device: on a GPU, PyTorch's allocator is asked.
    """
    gc.collect()
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with LiveBytes() as watch:
        call()
    return watch.peak


WHOLE_PEAK_NOTE = (
    'Peak: resident memory of the process, or memory of the GPU, above the loaded model.'
)
"""What is to be said beside ``whole_peak_bytes``."""


def whole_peak_bytes(call: Callable[[], object], *, device: str) -> int | None:
    """Return by how many bytes the memory of the GPU, or the process's resident memory on a CPU, rises meanwhile.

    Unlike ``peak_bytes`` it has what no tensor holds, and does not slow the call down. None where the operating
    system does not tell.
    """
    if torch.device(device).type == 'cuda':
        return peak_bytes(call, device=device)
    return resident_peak_bytes(call)
