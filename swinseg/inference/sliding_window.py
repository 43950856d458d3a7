"""Class scores of an image of any size, window by window, in memory that its height does not change.

A sum of scores lives only as long as a later window can still add to it. Windows go row by row, left to right.
After each, the columns that the next one does not reach are cut loose; of their rows, those that the next row of
windows reaches are kept, and all others are finished and handed on. So what is kept is
(window - stride) x width x K scores, and beside it a few windows.

Shapes: H, W = size of the image; h, w = size of a window, or of the image where that is smaller; K = classes;
B = windows of a batch; R, C = rows and columns of a finished block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import compress
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swinseg.errors import SlideError
from swinseg.inference.tiling import (
    BLENDS,
    Band,
    bands,
    checked_windows,
    window_starts,
)
from swinseg.inference.window_batches import Predictor, WindowBatches
from swinseg.inference.window_sums import Axis, Block, WindowSums


class ImageSource(Protocol):
    """An image that is read piece by piece."""

    @property
    def shape(self) -> tuple[int, int]:
        """H, W."""

    def read(self, top: int, bottom: int, left: int, right: int) -> Tensor:
        """Return (channels, bottom - top, right - left), of any dtype, to be read only."""


@runtime_checkable
class MaskedImageSource(ImageSource, Protocol):
    """An image that knows where it has data; windows without any are not computed."""

    def valid(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
        """Return (bottom - top, right - left): where there is data. Asked just before ``read``, for the same."""


def slide_blocks(
    predictor: Predictor,
    image: Tensor | ImageSource,
    *,
    window: int | tuple[int, int],
    stride: int | tuple[int, int],
    batch_size: int | None = None,
    blend: str = 'uniform',
    memory_budget: int | None = None,
    score_dtype: torch.dtype = torch.float32,
    first_row: int = 0,
) -> Iterator[Block]:
    """Average the scores of overlapping windows; hand on each pixel's once no window can add to them.

    With ``blend='uniform'`` the scores are those of mmseg's ``slide_inference`` to rounding.

    Where the image has a ``valid`` method, a window in which nothing is valid is not computed and counts as
    zeros. Scores of valid pixels are the same with it as without; those of other pixels mean nothing (they are
    zero where no window was computed), so give these pixels the label of missing data.

    Args:
        predictor: from (B, channels, h, w) float pixels to (B, K, h, w) scores. It is called without gradients,
            with new memory that it may overwrite.
        image: (channels, H, W) pixels, or a source of them, which is asked for the rows of a band (h, and fewer
            than 2 h in the last band) of the whole width at a time. Other than float pixels are converted to
            float32.
        window: side of a window, or height and width. Images that are smaller make one smaller window.
        stride: distance of neighboring windows, at most the window; or that of rows and of columns.
        batch_size: number of windows that the predictor gets at once; None for as many as fit the memory budget.
            Either way it is halved, as often as needed, when memory runs out.
        blend: how windows count: ``'uniform'`` all the same; ``'gaussian'`` or ``'hann'`` less towards their
            rims, so that none shows as a seam.
        memory_budget: bytes that the scores of a batch may take where ``batch_size`` is None; None for 128 MiB on
            a CPU and 1 GiB on a GPU. One window is computed in any case.
        score_dtype: of what is kept for the next row of windows; sums are computed in float32 or wider. Half
            precision halves the peak on wide images, and rounds.
        first_row: hand on the pixels from this row down only, and compute no window that lies above it. With a
            given ``batch_size`` they are the same to the bit as those of a run from the top.

    Yields:
        Blocks that cover each pixel once: from left to right in each band of rows, bands from top to bottom.

    Raises:
        SlideError: on call, a wrong argument; on iteration, scores of another size than their windows.
    """
    source = _WholeImage(image) if isinstance(image, Tensor) else image
    height, width = source.shape
    sizes, steps = checked_windows(window, stride)
    _check(height, batch_size, blend, first_row)
    size = (min(sizes[0], height), min(sizes[1], width))
    lefts = window_starts(width, sizes[1], steps[1])
    rows_of_windows = bands(height, sizes[0], steps[0])
    tops = [top for band in rows_of_windows for top in band.tops]
    sums = WindowSums(
        Axis(tuple(tops), size[0], height, blend),
        Axis(tuple(lefts), size[1], width, blend),
        # The rows that neighboring bands share.
        max([0, *(band.bottom - band.final for band in rows_of_windows)]),
        score_dtype,
    )
    batches = WindowBatches(predictor, size, batch_size, memory_budget)
    return _blocks(source, rows_of_windows, lefts, sums, batches, first_row)


def slide(
    predictor: Predictor,
    image: Tensor | ImageSource,
    *,
    window: int | tuple[int, int],
    stride: int | tuple[int, int],
    batch_size: int | None = None,
    blend: str = 'uniform',
    memory_budget: int | None = None,
    score_dtype: torch.dtype = torch.float32,
    first_row: int = 0,
    reduce: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """Do what ``slide_blocks`` does, with its arguments, and put its blocks together to whole rows.

    Args:
        reduce: what to make of finished scores, pixel by pixel: from (K, R, C) to (..., R, C), say the labels by
            ``lambda scores: scores.argmax(0)``. It keeps the memory at that of ``slide_blocks``, while whole rows
            of scores take ``stride`` x width x K more.

    Yields:
        The first row of a band, and its scores (K, R, W), or what ``reduce`` made of them, (..., R, W); from
        top to bottom, each pixel once, each tensor new.

    Raises:
        SlideError: as in ``slide_blocks``.
    """
    blocks = slide_blocks(
        predictor,
        image,
        window=window,
        stride=stride,
        batch_size=batch_size,
        blend=blend,
        memory_budget=memory_budget,
        score_dtype=score_dtype,
        first_row=first_row,
    )
    width = image.shape[-1]
    return _whole_rows(blocks, width, reduce)


class _WholeImage:
    """A tensor as a source."""

    def __init__(self, pixels: Tensor) -> None:
        if pixels.dim() != 3 or 0 in pixels.shape:
            raise SlideError(
                f'an image must be (channels, height, width), but is {tuple(pixels.shape)}; '
                'give the images of a batch one by one'
            )
        self.pixels = pixels

    @property
    def shape(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[2]

    def read(self, top: int, bottom: int, left: int, right: int) -> Tensor:
        return self.pixels[:, top:bottom, left:right]


def _blocks(
    source: ImageSource,
    rows_of_windows: Sequence[Band],
    lefts: Sequence[int],
    sums: WindowSums,
    batches: WindowBatches,
    first_row: int,
) -> Iterator[Block]:
    kept_until = 0
    for band in rows_of_windows:
        if band.bottom <= first_row:
            continue
        corners = [(top - band.top, left) for left in lefts for top in band.tops]
        has_data = _windows_with_data(source, band, corners, sums)
        strip = source.read(band.top, band.bottom, 0, sums.width)
        if sums.tile is None and not has_data[0]:
            # Only scores tell the number of classes. On its own, so that it moves no window to another batch.
            sums.shape_like(next(batches(strip, corners[:1])))
        computed = batches(strip, list(compress(corners, has_data)))
        scores = (next(computed) if each else None for each in has_data)
        sums.start(band, max(0, kept_until - band.top))
        for left in lefts:
            rows, columns, finished = sums.add(left, scores)
            wanted = slice(max(rows.start, first_row), rows.stop)
            if wanted.start < wanted.stop:
                yield Block(wanted, columns, finished[:, wanted.start - rows.start :])
        kept_until = band.bottom
        # Before the next rows are read.
        del strip, computed, scores


def _windows_with_data(
    source: ImageSource, band: Band, corners: Sequence[tuple[int, int]], sums: WindowSums
) -> list[bool]:
    """Return which of a band's windows, by top left corners in it, hold a valid pixel."""
    if not isinstance(source, MaskedImageSource):
        return [True] * len(corners)
    height, width = sums.size
    valid = source.valid(band.top, band.bottom, 0, sums.width)
    return [bool(valid[y : y + height, x : x + width].any()) for y, x in corners]


def _whole_rows(
    blocks: Iterator[Block], width: int, reduce: Callable[[Tensor], Tensor] | None
) -> Iterator[tuple[int, Tensor]]:
    band: Tensor | None = None
    for rows, columns, scores in blocks:
        part = scores if reduce is None else reduce(scores)
        if band is None:
            band = part.new_empty((*part.shape[:-1], width))
        band[..., columns] = part
        if columns.stop == width:
            yield rows.start, band
            band = None


def _check(height: int, batch_size: int | None, blend: str, first_row: int) -> None:
    if batch_size is not None and batch_size < 1:
        raise SlideError(f'batch_size must be at least 1, or None, but is {batch_size}')
    if blend not in BLENDS:
        raise SlideError(f'blend must be one of {", ".join(BLENDS)}, but is {blend!r}')
    if not 0 <= first_row <= height:
        raise SlideError(
            f"first_row must be from 0 to the image's height, {height}, but is {first_row}"
        )
