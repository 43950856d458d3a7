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
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from swinseg.errors import UserError
from swinseg.inference.tiling import (
    BLENDS,
    Band,
    axis_weights,
    bands,
    final_ends,
    weight_sums,
    window_starts,
)

Predictor = Callable[[Tensor], Tensor]

# Bytes of the scores of one batch where nothing is said. A CPU gains nothing by large batches.
_CPU_BUDGET, _GPU_BUDGET = 2**27, 2**30

_OUT_OF_MEMORY = ('out of memory', 'not enough memory', "can't allocate memory")


class SlideError(UserError):
    """Windows, strides or scores do not fit the image or one another."""


class ImageSource(Protocol):
    """An image that is read piece by piece."""

    @property
    def shape(self) -> tuple[int, int]:
        """H, W."""

    def read(self, top: int, bottom: int, left: int, right: int) -> Tensor:
        """Return (channels, bottom - top, right - left), of any dtype, to be read only."""


class Block(NamedTuple):
    """Finished scores of a part of the image.

    Attributes:
        rows: of the image.
        columns: of the image.
        scores: (K, R, C) weighted mean over the windows, float32 or wider. They lie in a buffer that the next
            block overwrites; until then they may be changed.
    """

    rows: slice
    columns: slice
    scores: Tensor


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

    Args:
        predictor: from (B, channels, h, w) float pixels to (B, K, h, w) scores. It is called without gradients,
            with new memory that it may overwrite.
        image: (channels, H, W) pixels, or a source of them, which is asked for h rows of the whole width at a
            time. Other than float pixels are converted to float32.
        window: side of a window, or height and width. Images that are smaller make one smaller window.
        stride: distance of neighbouring windows, at most the window; or that of rows and of columns.
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
    sizes, steps = _pair(window), _pair(stride)
    _check(source.shape, sizes, steps, batch_size, blend, first_row)
    size = (min(sizes[0], height), min(sizes[1], width))
    weights = [axis_weights(blend, side) for side in size]
    lefts = window_starts(width, sizes[1], steps[1])
    rows_of_windows = bands(height, sizes[0], steps[0])
    tops = [top for band in rows_of_windows for top in band.tops]
    sums = _Sums(
        width,
        size,
        lefts,
        weights,
        (weight_sums(tops, weights[0], height), weight_sums(lefts, weights[1], width)),
        # The rows that neighbouring bands share.
        max([0, *(band.bottom - band.final for band in rows_of_windows)]),
        score_dtype,
    )
    batches = _Batches(predictor, size, batch_size, memory_budget)
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
    """Do what ``slide_blocks`` does, and put its blocks together to whole rows.

    Args:
        reduce: what to make of finished scores, pixel by pixel: from (K, R, C) to (..., R, C), say the labels by
            ``lambda scores: scores.argmax(0)``. It keeps the memory at that of ``slide_blocks``, while whole rows
            of scores take ``stride`` x width x K more.
        predictor, image, window, stride, batch_size, blend, memory_budget, score_dtype, first_row: as in
            ``slide_blocks``.

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


class _Batches:
    """The predictor, fed with as many windows at a time as memory allows."""

    def __init__(
        self,
        predictor: Predictor,
        size: tuple[int, int],
        batch_size: int | None,
        memory_budget: int | None,
    ) -> None:
        self.predictor = predictor
        self.size = size
        self.batch_size = batch_size
        self.memory_budget = memory_budget

    def __call__(self, strip: Tensor, corners: Sequence[tuple[int, int]]) -> Iterator[Tensor]:
        """Yield the scores, (K, h, w), of the windows with these top left corners in ``strip``."""
        done = 0
        while done < len(corners):
            # How much a window's scores take is known after the first.
            batch = corners[done : done + (self.batch_size or 1)]
            scores = self._scores(strip, batch)
            if scores is None:
                self.batch_size = len(batch) // 2
                continue
            self._check(scores, len(batch))
            if self.batch_size is None:
                self.batch_size = self._affordable(scores)
            done += len(batch)
            views = list(scores.unbind(0))
            # Nothing here may hold the scores of a batch while the next one is computed.
            del scores
            while views:
                yield views.pop(0)

    def _scores(self, strip: Tensor, corners: Sequence[tuple[int, int]]) -> Tensor | None:
        """Return (B, K, h, w), or None where a smaller batch may fit the memory."""
        height, width = self.size
        try:
            with torch.no_grad():
                pixels = torch.stack([strip[:, y : y + height, x : x + width] for y, x in corners])
                if not pixels.is_floating_point():
                    pixels = pixels.float()
                return self.predictor(pixels).detach()
        except (RuntimeError, MemoryError) as error:
            if len(corners) == 1 or not _is_out_of_memory(error):
                raise
        return None

    def _affordable(self, scores: Tensor) -> int:
        budget = self.memory_budget
        if budget is None:
            budget = _CPU_BUDGET if scores.device.type == 'cpu' else _GPU_BUDGET
        return max(1, budget // (scores[0].numel() * scores.element_size()))

    def _check(self, scores: Tensor, count: int) -> None:
        if scores.dim() != 4 or (scores.shape[0], *scores.shape[2:]) != (count, *self.size):
            raise SlideError(
                f'the predictor must return (batch, classes, height, width) = '
                f'({count}, K, {self.size[0]}, {self.size[1]}), but returned {tuple(scores.shape)}; '
                'resize its scores to its windows'
            )


class _Sums:
    """The weighted sums of scores that are not finished yet.

    Attributes:
        kept: (K, overlap, W) sums of earlier bands, for the rows that they share with this one.
        tile: (K, rows of the band, w) sums at the present windows.
    """

    def __init__(
        self,
        width: int,
        size: tuple[int, int],
        lefts: Sequence[int],
        weights: Sequence[Tensor],
        totals: tuple[Tensor, Tensor],
        overlap: int,
        score_dtype: torch.dtype,
    ) -> None:
        self.width = width
        self.size = size
        self.ends = dict(zip(lefts, final_ends(lefts, width), strict=True))
        self.is_uniform = all(bool((each == 1).all()) for each in weights)
        self.weight = torch.outer(*weights)
        self.totals = totals
        self.overlap = overlap
        self.score_dtype = score_dtype
        self.kept: Tensor | None = None
        self.tile: Tensor | None = None
        self.edge: Tensor | None = None

    def start(self, band: Band, kept_rows: int) -> None:
        """Begin a band, whose first ``kept_rows`` rows have sums from the bands above."""
        self.band = band
        self.kept_rows = kept_rows
        self.edge = None

    def add(self, left: int, scores: Iterator[Tensor]) -> Block:
        """Add the band's windows at ``left``; return what is finished."""
        covered = 0
        for top in self.band.tops:
            self._put(next(scores), top - self.band.top, covered)
            covered = top - self.band.top + self.size[0]
        assert self.tile is not None
        tile = self.tile[:, :covered]
        reached = 0
        if self.edge is not None:
            reached = self.edge.shape[2]
            tile[:, :, :reached] += self.edge
        if self.kept_rows:
            assert self.kept is not None
            tile[:, : self.kept_rows, reached:] += self.kept[
                :, : self.kept_rows, left + reached : left + tile.shape[2]
            ]
        end = self.ends[left]
        finished = tile[:, :, : end - left]
        self.edge = tile[:, :, end - left :].clone()
        below = self.band.bottom - self.band.final
        if below:
            self._keep(finished[:, covered - below :], slice(left, end))
        rows, columns = slice(self.band.top, self.band.final), slice(left, end)
        finished = finished[:, : covered - below]
        total = torch.outer(self.totals[0][rows], self.totals[1][columns])
        if bool((total != 1).any()):
            finished /= total.to(finished)
        return Block(rows, columns, finished)

    def _put(self, scores: Tensor, top: int, covered: int) -> None:
        """Add a window to the tile, whose first ``covered`` rows hold sums and the others nothing."""
        height, width = self.size
        if self.tile is None:
            dtype = torch.promote_types(scores.dtype, torch.float32)
            self.tile = scores.new_empty((len(scores), height, width), dtype=dtype)
            self.weight = self.weight.to(self.tile)
        if self.tile.shape[1] < top + height:
            taller = self.tile.new_empty((len(scores), top + height, width))
            taller[:, :covered] = self.tile[:, :covered]
            self.tile = taller
        shared = covered - top if covered else 0
        over, fresh = self.tile[:, top : top + shared], self.tile[:, top + shared : top + height]
        if self.is_uniform:
            over += scores[:, :shared]
            fresh.copy_(scores[:, shared:])
        else:
            over.addcmul_(scores[:, :shared].to(over.dtype), self.weight[:shared])
            torch.mul(scores[:, shared:], self.weight[shared:], out=fresh)

    def _keep(self, sums: Tensor, columns: slice) -> None:
        if self.kept is None:
            dtype = self.score_dtype
            self.kept = sums.new_empty((len(sums), self.overlap, self.width), dtype=dtype)
        # This band has read what it overwrites: these columns are final in it.
        self.kept[:, : sums.shape[1], columns] = sums


def _blocks(
    source: ImageSource,
    rows_of_windows: Sequence[Band],
    lefts: Sequence[int],
    sums: _Sums,
    batches: _Batches,
    first_row: int,
) -> Iterator[Block]:
    kept_until = 0
    for band in rows_of_windows:
        if band.bottom <= first_row:
            continue
        strip = source.read(band.top, band.bottom, 0, sums.width)
        corners = [(top - band.top, left) for left in lefts for top in band.tops]
        scores = batches(strip, corners)
        sums.start(band, max(0, kept_until - band.top))
        for left in lefts:
            rows, columns, finished = sums.add(left, scores)
            wanted = slice(max(rows.start, first_row), rows.stop)
            if wanted.start < wanted.stop:
                yield Block(wanted, columns, finished[:, wanted.start - rows.start :])
        kept_until = band.bottom
        # Before the next rows are read.
        del strip, scores


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


def _check(
    shape: tuple[int, int],
    window: tuple[int, int],
    stride: tuple[int, int],
    batch_size: int | None,
    blend: str,
    first_row: int,
) -> None:
    for name, size, step in zip(('height', 'width'), window, stride, strict=True):
        if not 0 < step <= size:
            raise SlideError(
                f"the stride must be from 1 to the window's {name}, {size}, but is {step}; "
                'larger ones leave gaps'
            )
    if batch_size is not None and batch_size < 1:
        raise SlideError(f'batch_size must be at least 1, or None, but is {batch_size}')
    if blend not in BLENDS:
        raise SlideError(f'blend must be one of {", ".join(BLENDS)}, but is {blend!r}')
    if not 0 <= first_row <= shape[0]:
        raise SlideError(
            f"first_row must be from 0 to the image's height, {shape[0]}, but is {first_row}"
        )


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return True
    return any(sign in str(error) for sign in _OUT_OF_MEMORY)
