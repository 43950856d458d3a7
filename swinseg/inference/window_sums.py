"""The sums of overlapping windows' scores, kept only while a later window can still add to them.

Shapes: H, W = size of the image; h, w = size of a window; K = classes; R, C = rows and columns of a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from swinseg.inference.tiling import Band, axis_weights, final_ends, weight_sums
from swinseg.precision import widest_float
from swinseg.transfers import to_device

# Positions; of longer axes the copies are hidden by the time of their images, and 64 would take memory.
_LONGEST_CACHED = 2**16


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


class Axis(NamedTuple):
    """Windows along the height or the width of an image.

    Attributes:
        starts: where they begin.
        size: of each.
        length: of the image.
        blend: how their pixels count.
    """

    starts: tuple[int, ...]
    size: int
    length: int
    blend: str


class _Weights(NamedTuple):
    """Weights along an axis, in the widest dtype of a device.

    Attributes:
        window: (size,) of a window's pixels.
        total: (length,) their sum over all windows.
    """

    window: Tensor
    total: Tensor


def _weights_on(axis: Axis, device: torch.device) -> _Weights:
    """Return the weights along an axis from a bounded cache: some copies to a device make its host wait."""
    compute = _cached if axis.length <= _LONGEST_CACHED else _computed
    # Made on the CPU whatever the default device is. A tensor born under inference_mode could not take part in a
    # training step.
    with torch.inference_mode(False), torch.device('cpu'):
        return compute(axis, device)


def _computed(axis: Axis, device: torch.device) -> _Weights:
    window = axis_weights(axis.blend, axis.size)
    total = weight_sums(axis.starts, window, axis.length)
    dtype = widest_float(device)
    return _Weights(to_device(window, device, dtype), to_device(total, device, dtype))


_cached = lru_cache(maxsize=64)(_computed)


class WindowSums:
    """The weighted sums of scores that are not finished yet.

    Args:
        rows: the windows along the image's height.
        columns: along its width.
        overlap: rows that neighboring bands share.
        score_dtype: of what is kept from band to band.

    Attributes:
        kept: (K, overlap, W) sums of earlier bands, for the rows that they share with this one.
        tile: (K, rows of the band, w) sums at the present windows; None before ``shape_like``.
    """

    def __init__(self, rows: Axis, columns: Axis, overlap: int, score_dtype: torch.dtype) -> None:
        self.width = columns.length
        self.size = (rows.size, columns.size)
        self.ends = dict(zip(columns.starts, final_ends(columns.starts, self.width), strict=True))
        self.overlap = overlap
        self.score_dtype = score_dtype
        self.kept: Tensor | None = None
        self.tile: Tensor | None = None
        self.edge: Tensor | None = None
        self._axes = (rows, columns)
        on_host = [_weights_on(axis, torch.device('cpu')) for axis in self._axes]
        self._is_uniform = all(bool((each.window == 1).all()) for each in on_host)
        self._totals_on_host = [each.total for each in on_host]

    def shape_like(self, scores: Tensor) -> None:
        """Take the number of classes, the device and the precision from a window's scores, (K, h, w)."""
        dtype = torch.promote_types(scores.dtype, torch.float32)
        self.tile = torch.empty_like(scores, dtype=dtype, memory_format=torch.contiguous_format)
        along_rows, along_columns = (_weights_on(axis, scores.device) for axis in self._axes)
        self._weight = torch.outer(along_rows.window, along_columns.window).to(dtype)
        self._totals = along_rows.total, along_columns.total

    def start(self, band: Band, kept_rows: int) -> None:
        """Begin a band, whose first ``kept_rows`` rows have sums from the bands above."""
        self.band = band
        self.kept_rows = kept_rows
        self.edge = None

    def add(self, left: int, scores: Iterator[Tensor | None]) -> Block:
        """Add the band's windows at ``left``, of which None counts as zeros; return what is finished."""
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
        if any(
            bool((totals[part] != 1).any())
            for totals, part in zip(self._totals_on_host, (rows, columns), strict=True)
        ):
            along_rows, along_columns = self._totals
            finished /= torch.outer(along_rows[rows], along_columns[columns]).to(finished)
        return Block(rows, columns, finished)

    def _put(self, scores: Tensor | None, top: int, covered: int) -> None:
        """Add a window to the tile, whose first ``covered`` rows hold sums and the others nothing."""
        height, width = self.size
        if self.tile is None:
            assert scores is not None
            self.shape_like(scores)
        assert self.tile is not None
        if self.tile.shape[1] < top + height:
            taller = self.tile.new_empty((len(self.tile), top + height, width))
            taller[:, :covered] = self.tile[:, :covered]
            self.tile = taller
        shared = covered - top if covered else 0
        over, fresh = self.tile[:, top : top + shared], self.tile[:, top + shared : top + height]
        if scores is None:
            fresh.zero_()
        elif self._is_uniform:
            over += scores[:, :shared]
            fresh.copy_(scores[:, shared:])
        else:
            over.addcmul_(scores[:, :shared].to(over.dtype), self._weight[:shared])
            torch.mul(scores[:, shared:], self._weight[shared:], out=fresh)

    def _keep(self, sums: Tensor, columns: slice) -> None:
        if self.kept is None:
            dtype = self.score_dtype
            self.kept = sums.new_empty((len(sums), self.overlap, self.width), dtype=dtype)
        # This band has read what it overwrites: these columns are final in it.
        self.kept[:, : sums.shape[1], columns] = sums
