"""The resident memory of this process, which has what no tensor holds: what kernels need within themselves."""

from __future__ import annotations

import ctypes
import gc
import re
import sys
from collections.abc import Callable
from pathlib import Path


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
    except OSError:
        return None
    call()
    return 1024 * max(0, _kibibytes(status.read_text(), 'VmHWM') - before)


def resident_bytes() -> int | None:
    """Return what this process has in memory now; None where the operating system does not tell."""
    if not sys.platform.startswith('linux'):
        return None
    return 1024 * _kibibytes(Path('/proc/self/status').read_text(), 'VmRSS')


def _kibibytes(status: str, name: str) -> int:
    found = re.search(rf'^{name}:\s*(\d+) kB', status, re.M)
    return int(found[1]) if found else 0
