"""The sums of overlapping windows' scores, kept only while a later window can still add to them.

Shapes: H, W = size of the image; h, w = size of a window; K = classes; R, C = rows and columns of a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from swinseg.inference.tiling import Band, final_ends
from swinseg.precision import widest_float


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


class WindowSums:
    """The weighted sums of scores that are not finished yet.

    Args:
        width: of the image.
        size: h, w.
        lefts: first columns of the windows.
        weights: of a window's pixels, along its height and its width.
        totals: sums of all windows' weights at the image's rows and at its columns.
        overlap: rows that neighboring bands share.
        score_dtype: of what is kept from band to band.

    Attributes:
        kept: (K, overlap, W) sums of earlier bands, for the rows that they share with this one.
        tile: (K, rows of the band, w) sums at the present windows; None before ``shape_like``.
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
        self.totals_there = totals
        self.overlap = overlap
        self.score_dtype = score_dtype
        self.kept: Tensor | None = None
        self.tile: Tensor | None = None
        self.edge: Tensor | None = None

    def shape_like(self, scores: Tensor) -> None:
        """Take the number of classes, the device and the precision from a window's scores, (K, h, w)."""
        dtype = torch.promote_types(scores.dtype, torch.float32)
        self.tile = torch.empty_like(scores, dtype=dtype, memory_format=torch.contiguous_format)
        self.weight = self.weight.to(self.tile)
        # Once for all blocks: at each copy to a GPU the host would wait.
        exact = widest_float(self.tile.device)
        rows, columns = self.totals
        self.totals_there = rows.to(scores.device, exact), columns.to(scores.device, exact)

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
            for totals, part in zip(self.totals, (rows, columns), strict=True)
        ):
            along_rows, along_columns = self.totals_there
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
        elif self.is_uniform:
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
