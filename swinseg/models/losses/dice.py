"""The Dice loss: the overlap of each class instead of the error of each pixel."""

from __future__ import annotations

from mmseg.registry import MODELS
from torch import Tensor

from swinseg.models.losses.base import SegmentationLoss, class_sums


@MODELS.register_module()
class SoftDiceLoss(SegmentationLoss):
    """One minus the Dice coefficient of each class, averaged over the classes that occur in the batch.

    Milletari et al. 2016, "V-Net", section 3, for several classes: ``1 - 2 sum(p t) / (sum(p^2) + sum(t))`` over
    the pixels of the batch that count, with p the probability of the class and t whether it is the true one. A
    rare class counts as much as a frequent one.

    Args:
        loss_weight: factor on the loss.
        loss_name: what the log calls it.
    """

    def __init__(self, *, loss_weight: float = 1.0, loss_name: str = 'loss_dice') -> None:
        super().__init__(loss_weight=loss_weight, loss_name=loss_name)

    def _mean(self, log_probability: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
        classes = log_probability.shape[1]
        probability = log_probability.exp() * counts[:, None]
        chosen = probability.gather(1, targets[:, None])[:, 0]
        overlap = class_sums(chosen, targets, classes=classes)
        true = class_sums(counts.to(chosen.dtype), targets, classes=classes)
        predicted = (probability**2).sum((0, 2, 3))
        return mean_dice_loss(overlap, predicted, true)


def mean_dice_loss(overlap: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
    """Return one minus the Dice coefficient, averaged over the classes that occur.

    Args:
        overlap: (K,) sums of the probabilities of a class where it is true.
        predicted: (K,) sums of their squares everywhere.
        true: (K,) pixels of the class.
    """
    occurs = true > 0
    # A class that does not occur may have no probability either: 0 / 0.
    dice = 2 * overlap / (predicted + true.clamp(min=1))
    return ((1 - dice) * occurs).sum() / occurs.sum().clamp(min=1)
