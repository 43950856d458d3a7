"""From what a model says of an image to the result that a user gets: rejection, thresholds, arrays.

Shapes: H, W = size of the given image; K = number of classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swinseg.datasets.labels.dtype import label_dtype
from swinseg.datasets.labels.multi_label import bits_of_masks
from swinseg.models.multi_label import mask_of
from swinseg.predictor import rejection
from swinseg.predictor.forward import Prediction
from swinseg.predictor.multi_label import MultiLabelSegmentation
from swinseg.predictor.segmentation import Segmentation
from swinseg.visualization.palette import Palette


def result_of_labels(
    prediction: Prediction,
    *,
    image: NDArray[np.uint8],
    name: str,
    classes: Sequence[str],
    palette: Palette,
    reject_below: float | None,
) -> Segmentation:
    """Put the prediction of a model that gives each pixel one class into arrays.

    Args:
        prediction: with confidence where ``reject_below`` is given.
        image: (H, W, 3) RGB.
        name: of the image.
        classes: names of all labels, the last one that of rejected pixels where ``reject_below`` is given.
        palette: their colors.
        reject_below: confidence below which a pixel gets the last label; None rejects none.
    """
    labels_HW, confidence_HW = prediction.labels, prediction.confidence
    if reject_below is not None:
        assert confidence_HW is not None
        labels_HW = rejection.reject(labels_HW, confidence_HW, reject_below, len(classes) - 1)
    return Segmentation(
        labels=labels_HW.cpu().numpy().astype(label_dtype(len(classes)), copy=False),
        classes=tuple(classes),
        palette=palette,
        image=image,
        confidence=None if confidence_HW is None else confidence_HW.cpu().numpy(),
        probabilities=_of_all_classes(prediction.probabilities),
        name=name,
    )


def result_of_levels(
    prediction: Prediction,
    *,
    image: NDArray[np.uint8],
    name: str,
    classes: Sequence[str],
    palette: Palette,
    thresholds: Sequence[float],
) -> MultiLabelSegmentation:
    """Compare the levels of each class with its threshold, one class after the other.

    Args:
        prediction: of a model with ``multi_label``.
        image: (H, W, 3) RGB.
        name: of the image.
        classes: K names.
        palette: their colors.
        thresholds: K probabilities.
    """
    levels_KHW, probabilities = prediction.labels, prediction.probabilities
    masks = (mask.cpu().numpy() for mask in map(mask_of, levels_KHW, thresholds))
    return MultiLabelSegmentation(
        labels=bits_of_masks(masks, classes=len(classes), shape=levels_KHW.shape[1:]),
        classes=tuple(classes),
        palette=palette,
        image=image,
        probabilities=None if probabilities is None else probabilities.cpu().numpy(),
        name=name,
        thresholds=tuple(thresholds),
    )


def _of_all_classes(probabilities: Tensor | None) -> NDArray[np.float32] | None:
    """Return probabilities as an array; a binary head's one as those of both classes."""
    if probabilities is None:
        return None
    if len(probabilities) == 1:
        probabilities = torch.cat([1 - probabilities, probabilities])
    return probabilities.cpu().numpy()
