"""The Lovász-softmax loss: a convex surrogate of the IoU itself."""

from __future__ import annotations

import torch
from mmseg.registry import MODELS
from torch import Tensor

from swinseg.models.losses.base import SegmentationLoss


@MODELS.register_module()
class LovaszSoftmaxLoss(SegmentationLoss):
    """The Lovász extension of one minus the IoU, averaged over the classes that occur in the batch.

    Berman et al. 2018, "The Lovász-Softmax loss", equations 8 to 12. It sorts the errors of all pixels for
    each class that occurs and keeps the probabilities of all: for 150 classes at 512 x 512, 157 MB for each
    image. Usually it is added to cross entropy rather than put in its place.

    Args:
        loss_weight: factor on the loss.
        loss_name: what the log calls it.
    """

    def __init__(self, *, loss_weight: float = 1.0, loss_name: str = 'loss_lovasz') -> None:
        super().__init__(loss_weight=loss_weight, loss_name=loss_name)

    def _mean(self, log_probability: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
        true = targets[counts]  # (P,)
        present = true.unique().tolist()
        if not present:
            return log_probability[:0].sum()  # a zero with a gradient
        of_classes = log_probability[:, present].transpose(0, 1)[:, counts]  # (C, P)
        losses = []
        for index, row in zip(present, of_classes, strict=True):
            is_class = true == index
            errors, order = (is_class.to(row.dtype) - row.exp()).abs().sort(descending=True)
            losses.append(errors @ jaccard_steps(is_class[order]).to(errors.dtype))
        return torch.stack(losses).mean()


def jaccard_steps(is_class: Tensor) -> Tensor:
    """Return by how much each pixel raises the Jaccard loss when it becomes wrong, one after the other.

    These are the differences of algorithm 1 of the paper, written without a difference of nearly equal numbers:
    with a million pixels, float32 would lose most of the digits of steps of a millionth.

    Args:
        is_class: (P,) bool, whether a pixel belongs to the class, in the order in which they become wrong; one
            at least does.

    Returns:
        (P,) float32 with the sum 1.
    """
    size = is_class.sum()
    still_right = (size - is_class.cumsum(0)).float()
    union = (size + (~is_class).cumsum(0)).float()
    return torch.where(is_class, 1 / union, still_right / (union * (union - 1)))
