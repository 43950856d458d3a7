"""Class scores of packed inputs.

Shapes: H, W = size of the image; h, w = size of an input; K = classes (1 for a binary head).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmseg.models import EncoderDecoder
from torch import Tensor

from swinseg.inference.window_batches import in_batches
from swinseg.models.multi_label import is_multi_label
from swinseg.models.postprocess import ScoreRows, resized_rows, without_padding_and_flip
from swinseg.models.segmentor import SwinSegmentor
from swinseg.transfers import to_device


@dataclass(frozen=True, eq=False)
class View:
    """An input of the model.

    Attributes:
        pixels: (3, h, w), normalized, on the model's device.
        meta: mmseg's metainfo.
    """

    pixels: Tensor
    meta: Mapping[str, Any]


def works_by_windows(model: EncoderDecoder) -> bool:
    """Return whether a model is ours and in slide mode; mmseg's own returns all scores in either mode."""
    return isinstance(model, SwinSegmentor) and model.test_cfg.get('mode') == 'slide'


def normalize_inputs(model: EncoderDecoder, packed: Mapping[str, Any]) -> View:
    """Bring a packed input to the model's device, as its data preprocessor does."""
    pixels = to_device(packed['inputs'], model.data_preprocessor.device)
    batch = {'inputs': [pixels], 'data_samples': [packed['data_samples']]}
    data = model.data_preprocessor(batch, False)
    return View(data['inputs'][0], data['data_samples'][0].metainfo)


def logits_of(
    model: EncoderDecoder, views: Iterable[View], *, batch_size: int
) -> Iterator[Tensor | ScoreRows]:
    """Compute the logits of inputs, neighbors of one size together.

    Args:
        model: ours or stock.
        views: taken when they are needed.
        batch_size: how many the model gets at once. Windows come in batches of their own, one input at a time.

    Yields:
        (K, h, w) without the input's padding and flip, for each input in turn.
    """
    by_windows = works_by_windows(model)

    def compute(batch: Sequence[View]) -> list[Tensor | ScoreRows]:
        if by_windows:
            return [model.slide_rows(view.pixels, view.meta) for view in batch]
        pixels = torch.stack([view.pixels for view in batch])
        # The first one's meta for all: mmseg reads the size of the input there, and warns where those of the
        # images differ.
        logits = model.inference(pixels, [dict(batch[0].meta) for _ in batch])
        return [
            without_padding_and_flip(scores, view.meta)
            for scores, view in zip(logits, batch, strict=True)
        ]

    return in_batches(
        compute,
        views,
        key=lambda view: view.pixels.shape,
        batch_size=1 if by_windows else batch_size,
    )


def mean_probabilities(
    model: EncoderDecoder, views: Iterable[View], size: tuple[int, int], *, batch_size: int
) -> Tensor:
    """Average the probabilities of several views of an image.

    Args:
        model: ours or stock.
        views: at least one; taken when they are needed.
        size: H, W.
        batch_size: as in ``logits_of``.

    Returns:
        (K, H, W) float32 or wider; the only scores of this size, for those of the views are resized and added a
        few rows at a time.
    """
    total: Tensor | None = None
    count = 0
    for logits in logits_of(model, views, batch_size=batch_size):
        if total is None:
            dtype = torch.promote_types(logits.dtype, torch.float32)
            total = torch.zeros((logits.shape[0], *size), dtype=dtype, device=logits.device)
        for rows, block in resized_rows(logits, size, align_corners=model.align_corners):
            exclude = len(block) > 1 and not is_multi_label(model)
            total[:, rows] += block.softmax(0) if exclude else block.sigmoid()
        count += 1
    assert total is not None
    return total.div_(count)
