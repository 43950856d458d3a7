"""The peak of live tensor bytes.

On a GPU the allocator knows it. On a CPU every operation is watched: each storage that an operation returns
counts from then until it is freed, forward, backward and recomputation alike. Storages that existed before,
such as weights, gradients and optimiser state, do not count, nor does what a kernel allocates and frees
within itself, which no tensor ever holds. The resident set of the process has that too, beside what the allocator
keeps for later.
"""

from __future__ import annotations

import ctypes
import gc
import re
import sys
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


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


def resident_peak_bytes(call: Callable[[], object]) -> int | None:
    """Return by how many bytes the process's resident memory rises above its present level while ``call`` runs.

    None where the operating system does not tell (it is Linux that does).
    """
    status, reset = Path('/proc/self/status'), Path('/proc/self/clear_refs')
    if not sys.platform.startswith('linux'):
        return None
    gc.collect()
    # What the C library keeps of freed memory would hide a rise.
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim is not None:
        trim(0)
    try:
        reset.write_text('5')  # sets the peak back to the present level
        before = _kibibytes(status.read_text(), 'VmRSS')
        call()
        peak = _kibibytes(status.read_text(), 'VmHWM')
    except OSError:
        return None
    return 1024 * max(0, peak - before)


def _kibibytes(status: str, name: str) -> int:
    found = re.search(rf'^{name}:\s*(\d+) kB', status, re.M)
    return int(found[1]) if found else 0
