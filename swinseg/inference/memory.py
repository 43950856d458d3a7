"""Memory plan: how many windows at a time, and which precision of unfinished scores, fit a limit.

Shapes: H, W = size of the image; h, w = size of a window; K = classes.
"""

from __future__ import annotations

import ctypes
import gc
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from swinseg.errors import SlideError
from swinseg.inference.tiling import bands, checked_windows, final_ends, window_starts
from swinseg.inference.window_batches import default_budget

# Per pixel of a window, beside its scores, where no one tells: more than was measured of any Swin-T or Swin-B.
_ASSUMED_BYTES_PER_PIXEL = 3000

_FLOAT32 = 4


@dataclass(frozen=True)
class WindowNeeds:
    """What a predictor makes of one window.

    Attributes:
        classes: K.
        peak_bytes: memory that one window takes while it is computed, its pixels and scores included.
    """

    classes: int
    peak_bytes: int


@dataclass(frozen=True)
class MemoryPlan:
    """How to slide within a limit of memory: options of ``slide``.

    Attributes:
        batch_size: windows at a time.
        score_dtype: of the sums that are kept from one row of windows to the next.
        peak_bytes: what that takes at most above the loaded model, on the device that holds the scores.
    """

    batch_size: int
    score_dtype: torch.dtype
    peak_bytes: int


def measure_window(
    predictor: Callable[[Tensor], Tensor],
    window: tuple[int, int],
    *,
    channels: int = 3,
    device: str | torch.device = 'cpu',
) -> WindowNeeds:
    """Run a predictor on one empty window and see what it takes.

    On a GPU PyTorch's allocator knows; on a CPU the rise of the process's resident memory tells, or, on systems
    that do not show it, 3,000 bytes a pixel beside the scores are assumed.

    Args:
        predictor: from (1, channels, h, w) float32 pixels to (1, K, h, w) scores.
        window: h, w.
        channels: of the pixels.
        device: on which the predictor computes.
    """
    shapes: list[torch.Size] = []

    def call() -> None:
        with torch.no_grad():
            shapes.append(predictor(torch.zeros(1, channels, *window)).shape)

    if torch.device(device).type == 'cuda':
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        needed: int | None = torch.cuda.max_memory_allocated(device) - before
    else:
        needed = resident_peak_bytes(call)
        if needed is None:
            call()
    classes = shapes[-1][1]
    pixels = window[0] * window[1]
    if needed is None:
        needed = pixels * (_ASSUMED_BYTES_PER_PIXEL + classes * _FLOAT32)
    return WindowNeeds(classes, needed)


def plan_memory(
    limit: int,
    shape: tuple[int, int],
    *,
    window: int | tuple[int, int],
    stride: int | tuple[int, int],
    needs: WindowNeeds,
    channels: int = 3,
    device: str | torch.device = 'cpu',
) -> MemoryPlan:
    """Choose the batch size and the precision of what is kept, so that sliding stays within a limit of memory.

    Half precision rounds, so it is taken only where float32 does not fit. The batch is never larger than the one
    that ``slide`` takes where nothing is said, nor than a row of windows.

    Args:
        limit: bytes above the loaded model, on the device that holds the scores.
        shape: H, W.
        window: side of a window, or height and width.
        stride: distance of windows, at most the window; or that of rows and of columns.
        needs: of one window, see ``measure_window``.
        channels: of the image, one byte each.
        device: on which the predictor computes.

    Raises:
        SlideError: not even one window at a time fits; says what is needed.
    """
    sizes, steps = checked_windows(window, stride)
    task = _Task(shape, sizes, steps, needs, channels)
    for dtype in (torch.float32, torch.float16):
        largest = min(task.windows_in_a_band, max(1, default_budget(device) // task.score_bytes))
        for batch_size in range(largest, 0, -1):
            peak = task.peak_bytes(batch_size, dtype)
            if peak <= limit:
                return MemoryPlan(batch_size, dtype, peak)
    raise SlideError(
        f'an image {shape[1]} pixels wide with {needs.classes} classes takes {_mebibytes(peak)} in windows of '
        f'{sizes[0]} x {sizes[1]} every {steps[0]} rows, but {_mebibytes(limit)} are allowed; allow more, take '
        'smaller windows or a stride closer to them, or cut the image into narrower pieces'
    )


class _Task:
    """The sizes of what ``slide_blocks`` holds."""

    def __init__(
        self,
        shape: tuple[int, int],
        window: tuple[int, int],
        stride: tuple[int, int],
        needs: WindowNeeds,
        channels: int,
    ) -> None:
        rows_of_windows = bands(shape[0], window[0], stride[0])
        lefts = window_starts(shape[1], window[1], stride[1])
        height, width = min(window[0], shape[0]), min(window[1], shape[1])
        # The last band may have two rows of windows.
        tallest = max(band.bottom - band.top for band in rows_of_windows)
        overlap = max(band.bottom - band.final for band in rows_of_windows)
        ends = zip(lefts, final_ends(lefts, shape[1]), strict=True)
        carried = max(left + width - end for left, end in ends)
        self.windows_in_a_band = len(lefts) * max(len(band.tops) for band in rows_of_windows)
        self.needs = needs
        self.score_bytes = needs.classes * height * width * _FLOAT32
        self._kept_scores = needs.classes * overlap * shape[1]
        self._tile = needs.classes * tallest * width * _FLOAT32
        # Two bands of pixels with their validity, as one is read ahead; labels that are collected or wait to be
        # written.
        self._pixels = shape[1] * tallest * (2 * (channels + 1) + 4)
        # What a tile hands on to the next one to its right; or a lower tile on to one that is taller.
        self._edge = needs.classes * tallest * carried * _FLOAT32
        self._shorter = self.score_bytes if tallest > height else 0
        # A sum is formed in float32.
        self._widened = needs.classes * overlap * width * _FLOAT32

    def peak_bytes(self, batch_size: int, score_dtype: torch.dtype) -> int:
        """Return the most that is held at a time, whatever the blend."""
        kept = self._kept_scores * score_dtype.itemsize
        is_half = score_dtype != torch.float32
        adding = (
            batch_size * self.score_bytes
            + self._edge
            + self._shorter
            + (self._widened if is_half else 0)
        )
        computing = batch_size * self.needs.peak_bytes
        return kept + self._pixels + self._tile + self._edge + max(adding, computing)


def _mebibytes(size: int) -> str:
    return f'{size / 2**20:,.0f} MiB'


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
        reset.write_text('5', encoding='utf-8')  # sets the peak back to the present level
        before = _kibibytes(status.read_text(encoding='utf-8'), 'VmRSS')
    except OSError:
        return None
    call()
    return 1024 * max(0, _kibibytes(status.read_text(encoding='utf-8'), 'VmHWM') - before)


def resident_bytes() -> int | None:
    """Return what this process has in memory now; None where the operating system does not tell."""
    if not sys.platform.startswith('linux'):
        return None
    return 1024 * _kibibytes(Path('/proc/self/status').read_text(encoding='utf-8'), 'VmRSS')


def _kibibytes(status: str, name: str) -> int:
    found = re.search(rf'^{name}:\s*(\d+) kB', status, re.M)
    return int(found[1]) if found else 0
