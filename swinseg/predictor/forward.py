"""The model between the inputs of images and their labels, in the way that takes the least memory.

Shapes: H, W = size of the given image; K = number of classes (1 for a binary head).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from mmseg.models import EncoderDecoder
from torch import Tensor

from swinseg.models.multi_label import is_multi_label, predict_levels
from swinseg.models.postprocess import predict_labels, threshold_of
from swinseg.models.scoring import View, logits_of, mean_probabilities, works_by_windows
from swinseg.predictor.options import PredictOptions
from swinseg.predictor.pipeline import Loaded


@dataclass(frozen=True, eq=False)
class Input:
    """An image on its way into the model.

    Attributes:
        loaded: what the pipeline's loader made of it.
        views: the model's inputs, made when they are asked for: one, or one for each scale and flip.
    """

    loaded: Loaded
    views: Iterator[View]

    @property
    def size(self) -> tuple[int, int]:
        """H, W."""
        height, width = self.loaded['ori_shape']
        return height, width


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the model says of an image.

    Attributes:
        labels: (H, W) class indices; of a model with ``multi_label``, the (K, H, W) uint8 levels of the classes.
        confidence: (H, W) float in [0, 1], the probability of the label; None when it was not asked for.
        probabilities: (K, H, W) float in [0, 1]; None when they were not asked for.
    """

    labels: Tensor
    confidence: Tensor | None = None
    probabilities: Tensor | None = None


def forward(
    model: EncoderDecoder, inputs: Iterable[Input], options: PredictOptions, *, batch_size: int
) -> Iterator[tuple[Input, Prediction]]:
    """Predict the labels of images, each at its own size.

    Labels come with the scores and not after them: the scores of all classes at an image's size, which are far
    larger than either, never exist unless they are asked for.

    Args:
        model: ours or stock, in evaluation mode.
        inputs: taken when they are needed, and no more of them than a batch has.
        options: ``batch_size`` in it is not read.
        batch_size: how many views the model gets at once.

    Yields:
        Each input and its prediction, in their order.
    """
    if options.tta:
        yield from ((each, _by_mean(model, each, options, batch_size)) for each in inputs)
    elif works_by_windows(model) and not options.probabilities:
        yield from ((each, _by_windows(model, each, options)) for each in inputs)
    else:
        yield from _by_batches(model, inputs, options, batch_size)


def _by_mean(
    model: EncoderDecoder, given: Input, options: PredictOptions, batch_size: int
) -> Prediction:
    """Predict an image by the mean over its scales and flips."""
    probabilities = mean_probabilities(model, given.views, given.size, batch_size=batch_size)
    kept = probabilities if options.probabilities else None
    if is_multi_label(model):
        levels = predict_levels(probabilities, are_probabilities=True)
        return Prediction(levels, None, kept)
    labels_HW, confidence_HW = predict_labels(
        probabilities,
        threshold=threshold_of(model),
        are_probabilities=True,
        with_confidence=options.needs_confidence,
    )
    return Prediction(labels_HW, confidence_HW, kept)


def _by_windows(model: EncoderDecoder, given: Input, options: PredictOptions) -> Prediction:
    """Predict an image without the logits of all of it."""
    (view,) = given.views
    if is_multi_label(model):
        return Prediction(model.slide_levels(view.pixels, view.meta, given.size))
    return Prediction(
        *model.slide_labels(
            view.pixels, view.meta, given.size, with_confidence=options.needs_confidence
        )
    )


def _by_batches(
    model: EncoderDecoder, inputs: Iterable[Input], options: PredictOptions, batch_size: int
) -> Iterator[tuple[Input, Prediction]]:
    """Predict images, those of one input size together."""
    waiting: deque[Input] = deque()

    def views() -> Iterator[View]:
        for each in inputs:
            waiting.append(each)
            yield from each.views

    for logits in logits_of(model, views(), batch_size=batch_size):
        given = waiting.popleft()
        # Not on a GPU, where it is the largest tensor by far.
        probabilities = (
            torch.empty((logits.shape[0], *given.size)) if options.probabilities else None
        )
        if is_multi_label(model):
            levels = predict_levels(
                logits, given.size, align_corners=model.align_corners, probabilities=probabilities
            )
            yield given, Prediction(levels, None, probabilities)
            continue
        labels_HW, confidence_HW = predict_labels(
            logits,
            given.size,
            align_corners=model.align_corners,
            threshold=threshold_of(model),
            with_confidence=options.needs_confidence,
            probabilities=probabilities,
        )
        yield given, Prediction(labels_HW, confidence_HW, probabilities)
