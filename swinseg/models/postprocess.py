"""From class scores to labels at the original size, in blocks of rows.

mmseg resizes all scores to the image's size and takes the argmax then: 150 classes at 2,048 x 2,048
are 2.5 GB of float32. Here only a few rows of resized scores exist at a time. The numbers are those of
``F.interpolate``, because the order of its arithmetic is kept: columns first, then two rows. On a CPU
they are the same bits, save where PyTorch takes another of its kernels (channels-last scores, few
columns), which rounds differently.

Shapes: K = classes (1 for a binary head, whose score is compared with a threshold); h, w = size of the
scores; H, W = size of the labels; R = rows of a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swinseg.datasets.labels.dtype import label_dtype, label_tensor_dtype
from swinseg.errors import ArchitectureError
from swinseg.inference import Block
from swinseg.transfers import to_device

# Elements of a block. On a CPU it stays in the cache of a core; a GPU wants few large kernels.
_CPU_BLOCK, _GPU_BLOCK = 2**19, 2**24


def threshold_of(model: nn.Module) -> float | None:
    """Return the probability from which on the one score of a binary segmentor means class 1.

    Args:
        model: mmseg's ``EncoderDecoder``; of a cascade the last head decides.

    Returns:
        None where there is none: heads such as K-Net's, which score each class.

    Raises:
        ArchitectureError: the head gives one score for each pixel and has no threshold.
    """
    heads = model.decode_head
    head = heads[-1] if isinstance(heads, nn.ModuleList) else heads
    threshold = getattr(head, 'threshold', None)
    if threshold is None and model.out_channels == 1:
        raise ArchitectureError(
            f'{type(head).__name__} gives one score for each pixel and has no threshold to compare it with; '
            'set num_classes=2, or threshold=0.5 in decode_head where it takes one'
        )
    return threshold


def padding_of(meta: Mapping[str, Any]) -> Sequence[int]:
    """Return what was added to an image at left, right, top, bottom, in pixels."""
    return meta.get('img_padding_size', meta.get('padding_size', (0,) * 4))


def without_padding_and_flip(scores: Tensor, meta: Mapping[str, Any]) -> Tensor:
    """Undo what the pipeline did to an image, save its resize.

    Args:
        scores: (K, h, w) of the padded, flipped image.
        meta: the image's metainfo; ``img_padding_size`` or ``padding_size`` (left, right, top, bottom),
            ``flip`` and ``flip_direction`` are read.

    Returns:
        (K, h', w'), a view unless it was flipped.
    """
    left, right, top, bottom = padding_of(meta)
    height, width = scores.shape[1:]
    scores = scores[:, top : height - bottom, left : width - right]
    if not meta.get('flip'):
        return scores
    assert meta['flip_direction'] in ('horizontal', 'vertical')
    return scores.flip(2 if meta['flip_direction'] == 'horizontal' else 1)


class ScoreRows:
    """(K, h, w) scores that come in bands from top to bottom, and are forgotten when they have been read.

    Stands for a tensor where rows are read from top to bottom.

    Args:
        bands: (K, rows, w) each, with h rows in all.
        height: h.
    """

    def __init__(self, bands: Iterator[Tensor], height: int) -> None:
        self._bands = bands
        self._held = next(bands)
        self._first = 0
        self.shape = (self._held.shape[0], height, self._held.shape[2])
        self.dtype = self._held.dtype
        self.device = self._held.device

    def __getitem__(self, index: tuple[slice, slice]) -> Tensor:
        """Return ``[:, first:stop]``; what lies above ``first`` is gone then."""
        first, stop = index[1].start, index[1].stop
        self._held = self._held[:, first - self._first :]
        self._first = first
        while self._held.shape[1] < stop - first:
            self._held = torch.cat([self._held, next(self._bands)], 1)
        return self._held[:, : stop - first]


def resized_rows(
    scores: Tensor | ScoreRows, size: Sequence[int], *, align_corners: bool
) -> Iterator[tuple[slice, Tensor]]:
    """Resize scores bilinearly, as ``F.interpolate`` does without antialiasing, block by block.

    Args:
        scores: (K, h, w) float; half precision is resized in float32. Their gradient is not followed.
        size: H, W.
        align_corners: as in ``F.interpolate``.

    Yields:
        The rows of the result from top to bottom and their scores, (K, R, W), to read until the next
        block is taken: they are a part of ``scores``, or of a buffer of all blocks.
    """
    height, width = size
    if tuple(scores.shape[1:]) == (height, width):
        blocks = _rows_as_they_are(scores)
    elif scores.device.type == 'cpu':
        blocks = _rows_from_slices(scores, height, width, align_corners)
    else:
        blocks = _rows_from_gathers(scores, height, width, align_corners)
    yield from blocks


def predict_labels(
    scores: Tensor | ScoreRows,
    size: Sequence[int] | None = None,
    *,
    align_corners: bool = False,
    threshold: float | None,
    are_probabilities: bool = False,
    with_confidence: bool = False,
    probabilities: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Choose the class of each pixel.

    Args:
        scores: (K, h, w) logits, or probabilities.
        size: H, W to resize the scores to; None leaves them.
        align_corners: as in ``F.interpolate``.
        threshold: of the probability of a binary head; used only where K = 1.
        are_probabilities: whether the scores are probabilities already.
        with_confidence: whether the probability of the chosen class is wanted, too.
        probabilities: (K, H, W) float, on any device, to write the probabilities of logits into; None where they
            are not wanted.

    Returns:
        labels: (H, W) uint8, or int64 where K > 256 (:func:`~swinseg.datasets.labels.dtype.label_tensor_dtype`);
            of equal scores the first class wins.
        confidence: (H, W) float in [0, 1], or None.
    """
    num_classes = scores.shape[0]
    size = tuple(scores.shape[1:] if size is None else size)
    dtype = label_tensor_dtype(num_classes)
    labels = torch.empty(size, dtype=dtype, device=scores.device)
    confidence: Tensor | None = None
    first_best = _FirstBest(num_classes)
    for rows, block in resized_rows(scores, size, align_corners=align_corners):
        if probabilities is not None:
            probabilities[:, rows] = block.softmax(0) if num_classes > 1 else block.sigmoid()
        if num_classes == 1:
            assert threshold is not None
            positive = block[0] if are_probabilities else block[0].sigmoid()
            labels[rows] = positive > threshold
            chosen = torch.where(labels[rows] > 0, positive, 1 - positive)
        else:
            best = block.amax(0)
            labels[rows] = first_best(block, best)
            chosen = best
            if with_confidence and not are_probabilities:
                # The softmax of the largest logit.
                chosen = (block - best).exp_().sum(0).reciprocal_()
        if with_confidence:
            if confidence is None:
                confidence = chosen.new_empty(size)
            confidence[rows] = chosen
    return labels, confidence


class _FirstBest:
    """``scores.argmax(0)`` of blocks of (K, R, W) scores, given their maximum.

    PyTorch's argmax over an axis that is not the last compares pixel by pixel. These passes use vector
    instructions; NumPy's comparison, too, where PyTorch's into booleans does not.
    """

    def __init__(self, num_classes: int) -> None:
        # PyTorch has no maximum of uint16.
        self.dtype = np.dtype(np.uint8 if label_dtype(num_classes) == np.uint8 else np.int32)
        self.last = num_classes - 1
        # The first class has the largest number.
        self.countdown = np.arange(self.last, -1, -1).astype(self.dtype)[:, None, None]
        self.buffer = np.empty(0, self.dtype)

    def __call__(self, scores: Tensor, best: Tensor) -> Tensor:
        """Return (R, W) class indices; ``best`` is ``scores.amax(0)``."""
        if scores.device.type != 'cpu' or bool(best.isnan().any()):
            return scores.argmax(0)
        if self.buffer.size < scores.numel():
            self.buffer = np.empty(scores.numel(), self.dtype)
        numbers = self.buffer[: scores.numel()].reshape(scores.shape)
        is_best = numbers.view(np.bool_) if self.dtype == np.uint8 else None
        found = np.equal(scores.numpy(), best.numpy(), out=is_best)
        np.multiply(found.view(np.uint8), self.countdown, out=numbers)
        return self.last - torch.from_numpy(numbers).amax(0)


def _rows_as_they_are(scores: Tensor | ScoreRows) -> Iterator[tuple[slice, Tensor]]:
    num_classes, height, width = scores.shape
    for rows in _blocks(num_classes, height, width, device=scores.device):
        yield rows, _float(scores[:, rows])


def _rows_from_slices(
    scores: Tensor | ScoreRows, height: int, width: int, align_corners: bool
) -> Iterator[tuple[slice, Tensor]]:
    """Blend whole rows of the input: two passes over a block that is in the cache."""
    low, high, weight = _neighbors(scores.shape[1], height, align_corners, _dtype(scores))
    lows, highs = low.tolist(), high.tolist()
    high_weights, low_weights = weight.tolist(), (1 - weight).tolist()
    buffer = torch.empty(0)
    widened: dict[int, Tensor] = {}
    unread = 0
    for rows in _blocks(scores.shape[0], height, width, device=scores.device):
        first, unread = max(unread, lows[rows.start]), highs[rows.stop - 1] + 1
        if first < unread:
            strip = _widened(scores[:, first:unread], width, align_corners)
            widened.update(zip(range(first, unread), strip.unbind(1), strict=True))
        if not buffer.numel():
            # One buffer for all blocks: new memory costs more than what is done with it.
            buffer = strip.new_empty((len(strip), rows.stop - rows.start, width))
        block = buffer[:, : rows.stop - rows.start]
        for row in range(rows.start, rows.stop):
            out = block[:, row - rows.start]
            # The sum with a factor is one fused operation, as in F.interpolate.
            torch.mul(widened[highs[row]], high_weights[row], out=out)
            out.add_(widened[lows[row]], alpha=low_weights[row])
        yield rows, block
        widened = {source: row for source, row in widened.items() if source >= lows[rows.stop - 1]}


def _rows_from_gathers(
    scores: Tensor | ScoreRows, height: int, width: int, align_corners: bool
) -> Iterator[tuple[slice, Tensor]]:
    """Blend all rows of a block at once: few kernels for a GPU."""
    # A tensor born under inference_mode could not take part in a later training step.
    with torch.inference_mode(False), torch.no_grad():
        near = _neighbors_on(
            scores.shape[1], height, align_corners, _dtype(scores), device=scores.device
        )
    for rows in _blocks(scores.shape[0], height, width, device=scores.device):
        top, bottom = near.first[rows.start], near.last[rows.stop - 1] + 1
        wide = _widened(scores[:, top:bottom], width, align_corners)
        block = wide.index_select(1, near.highs[rows] - top).mul_(near.high_weights[rows])
        yield (
            rows,
            block.addcmul_(wide.index_select(1, near.lows[rows] - top), near.low_weights[rows]),
        )


class _Neighbors(NamedTuple):
    """:func:`_neighbors` on a device, and where each row's sources begin and end, as numbers."""

    first: tuple[int, ...]
    last: tuple[int, ...]
    lows: Tensor
    highs: Tensor
    low_weights: Tensor
    high_weights: Tensor


@lru_cache(maxsize=256)
def _neighbors_on(
    size: int, target: int, align_corners: bool, dtype: torch.dtype, *, device: torch.device
) -> _Neighbors:
    """Bring :func:`_neighbors` to a device once: a copy from the host makes it wait for all that was begun."""
    low, high, weight = _neighbors(size, target, align_corners, dtype)
    return _Neighbors(
        tuple(low.tolist()),
        tuple(high.tolist()),
        to_device(low, device),
        to_device(high, device),
        to_device((1 - weight)[:, None], device),
        to_device(weight[:, None], device),
    )


def _widened(scores: Tensor, width: int, align_corners: bool) -> Tensor:
    """Resize (K, R, w) along the columns only."""
    scores = _float(scores)
    if scores.shape[2] == width:
        return scores
    return F.interpolate(scores, size=width, mode='linear', align_corners=align_corners)


def _neighbors(
    size: int, target: int, align_corners: bool, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Return, for each of the ``target`` positions, the source below, that above, and its weight."""
    position = torch.arange(target, dtype=torch.float64)
    if size == target:
        source = position
    elif align_corners:
        scale = torch.tensor((size - 1) / (target - 1) if target > 1 else 0.0, dtype=dtype)
        source = position.to(dtype) * scale
    else:
        source = _places(size, target, dtype, once=_rounds_once())
    source = source.to(dtype)
    low = source.long().clamp_(max=size - 1)
    return low, (low + 1).clamp_(max=size - 1), (source - low).clamp_(0, 1)


def _places(size: int, target: int, dtype: torch.dtype, *, once: bool) -> Tensor:
    """Return where the ``target`` positions lie between the ``size`` ones, with one rounding or with two."""
    # In float64 from a rounded scale: product and difference are rounded once, as by a fused multiply-add.
    exact = torch.float64 if once else dtype
    scale = torch.tensor(size / target, dtype=dtype).to(exact)
    position = torch.arange(target, dtype=exact)
    return ((position + 0.5) * scale - 0.5).clamp_(min=0)


@lru_cache(maxsize=1)
def _rounds_once() -> bool:
    """Whether this build of PyTorch rounds the place of a pixel once, as 2.13 does, or twice, as 2.6 does."""
    size, target = 37, 100
    with torch.inference_mode(False), torch.no_grad(), torch.device('cpu'):
        unit_vectors = torch.eye(size)[None, None]
        weights = F.interpolate(unit_vectors, size=(target, size), mode='bilinear')[0, 0]
        place = _places(size, target, torch.float32, once=True).float()
        low = place.long()
        inside = low < size - 1
        found = weights[inside].gather(1, low[inside, None] + 1)[:, 0]
        return torch.equal(found, (place - low)[inside])


def _blocks(num_classes: int, height: int, width: int, *, device: torch.device) -> Iterator[slice]:
    elements = _CPU_BLOCK if device.type == 'cpu' else _GPU_BLOCK
    step = max(1, elements // max(1, num_classes * width))
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def _dtype(scores: Tensor | ScoreRows) -> torch.dtype:
    return torch.promote_types(scores.dtype, torch.float32)


def _float(scores: Tensor) -> Tensor:
    """Return float32 or float64 with columns next to one another, without a copy where it is so."""
    scores = scores.detach().to(_dtype(scores))
    return scores if scores.stride(-1) == 1 else scores.contiguous()


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


def predict_label_blocks(
    blocks: Iterator[Block],
    size: tuple[int, int],
    *,
    threshold: float | None,
    with_confidence: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Choose the class of each pixel, as ``predict_labels`` does, where scores need no resize.

    Args:
        blocks: of logits; they cover each pixel once.
        size: H, W.
        threshold: as in ``predict_labels``.
        with_confidence: as in ``predict_labels``.
    """
    labels: Tensor | None = None
    confidence: Tensor | None = None
    for rows, columns, scores in blocks:
        chosen, sureness = predict_labels(
            scores, threshold=threshold, with_confidence=with_confidence
        )
        if labels is None:
            labels = chosen.new_empty(size)
        labels[rows, columns] = chosen
        if sureness is not None:
            if confidence is None:
                confidence = sureness.new_empty(size)
            confidence[rows, columns] = sureness
    assert labels is not None
    return labels, confidence
