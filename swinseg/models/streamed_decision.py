"""From scores that arrive piece by piece to labels.

``label_decision`` does the arithmetic; this puts the pieces in their places.

Shapes: K = classes; H, W = size of the labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from swinseg.inference import Block
from swinseg.models.postprocess import decide, padding_of

Area = tuple[slice, slice]


def unpadded_area(size: Sequence[int], meta: Mapping[str, Any]) -> Area:
    """Return the rows and columns of a padded image, (height, width) large, that hold the image."""
    left, right, top, bottom = padding_of(meta)
    return slice(top, size[0] - bottom), slice(left, size[1] - right)


def inside_area(blocks: Iterator[Block], area: Area) -> Iterator[Block]:
    """Crop blocks to an area, and count rows and columns from its corner."""
    for rows, columns, scores in blocks:
        first, last = max(rows.start, area[0].start), min(rows.stop, area[0].stop)
        left, right = max(columns.start, area[1].start), min(columns.stop, area[1].stop)
        if first < last and left < right:
            yield Block(
                slice(first - area[0].start, last - area[0].start),
                slice(left - area[1].start, right - area[1].start),
                scores[
                    :,
                    first - rows.start : last - rows.start,
                    left - columns.start : right - columns.start,
                ],
            )


def rows_between(bands: Iterator[tuple[int, Tensor]], rows: slice) -> Iterator[Tensor]:
    """Crop bands, each with its first row, to some rows."""
    for first, scores in bands:
        part = scores[:, max(0, rows.start - first) : max(0, rows.stop - first)]
        if part.shape[1]:
            yield part


def decide_blocks(
    blocks: Iterator[Block],
    size: tuple[int, int],
    *,
    threshold: float | None,
    with_confidence: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Choose the class of each pixel, as ``decide`` does, where scores need no resize.

    Args:
        blocks: of logits; they cover each pixel once.
        size: H, W.
        threshold: as in ``decide``.
        with_confidence: as in ``decide``.
    """
    labels: Tensor | None = None
    confidence: Tensor | None = None
    for rows, columns, scores in blocks:
        chosen, sureness = decide(scores, threshold=threshold, with_confidence=with_confidence)
        if labels is None:
            labels = chosen.new_empty(size)
        labels[rows, columns] = chosen
        if sureness is not None:
            if confidence is None:
                confidence = sureness.new_empty(size)
            confidence[rows, columns] = sureness
    assert labels is not None
    return labels, confidence
