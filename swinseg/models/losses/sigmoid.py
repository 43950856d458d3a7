"""Losses of classes of which a pixel may have several: each class is asked for by itself.

Shapes: B images, C classes, H x W pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from swinseg.models.losses.base import NamedLoss
from swinseg.models.losses.dice import mean_dice_loss
from swinseg.models.losses.focal import focal_loss_of


class MultiLabelLoss(NamedLoss, ABC):
    """A loss of logits and of targets that are 0 or 1 for each class.

    Args:
        loss_weight: factor on the loss.
        loss_name: what the log calls it; must contain ``loss`` for it to be trained with.
    """

    by_class: tuple[str, ...] = ()
    """Arguments that may have a number for each class."""

    def forward(self, logits: Tensor, targets: Tensor, *, ignore_index: int = 255) -> Tensor:
        """Return the loss.

        Args:
            logits: (B, C, H, W) float.
            targets: (B, C, H, W) whole numbers: 1 where a pixel has the class, 0 where it has not, and
                ``ignore_index`` where it does not count for it.
            ignore_index: of what does not count.

        Returns:
            Scalar, float32 at least; 0 without a pixel that counts.
        """
        counts = targets != ignore_index
        # Autocast would take logits in half precision.
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return self.loss_weight * self._mean(wide, (targets == 1).to(wide.dtype), counts)

    @abstractmethod
    def _mean(self, logits: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
        """Return the loss; all are (B, C, H, W), ``targets`` float, ``counts`` bool."""


@MODELS.register_module()
class SigmoidCrossEntropyLoss(MultiLabelLoss):
    """Binary cross entropy of each class, averaged over what counts.

    ``-w_c (p_c t log s + (1 - t) log (1 - s))`` for the probability s of class c and t, whether the pixel has it;
    the mean is over the weights ``w_c`` of what counts.

    Args:
        class_weight: one factor w for each class, or None.
        pos_weight: one factor p for each class, or one for all, on the pixels that have it: above 1 for classes
            that are rare, which then are found more often.
        loss_weight: factor on the loss.
        loss_name: what the log calls it.
    """

    by_class = ('class_weight', 'pos_weight')

    def __init__(
        self,
        *,
        class_weight: Sequence[float] | None = None,
        pos_weight: Sequence[float] | float | None = None,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_bce',
    ) -> None:
        super().__init__(loss_weight=loss_weight, loss_name=loss_name)
        self.class_weight = class_weight
        self.pos_weight = pos_weight

    def _mean(self, logits: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
        loss = F.binary_cross_entropy_with_logits(
            logits, targets, reduction='none', pos_weight=_of_classes(self.pos_weight, logits)
        )
        weights = counts.to(loss.dtype)
        class_weight = _of_classes(self.class_weight, logits)
        if class_weight is not None:
            weights = weights * class_weight
        total = weights.sum()
        return (loss * weights).sum() / total.where(total > 0, 1)


@MODELS.register_module()
class SigmoidDiceLoss(MultiLabelLoss):
    """One minus the Dice coefficient of each class, averaged over the classes that occur in the batch.

    The formula of :class:`~swinseg.models.losses.dice.SoftDiceLoss`, with the sigmoid as the probability. Add it
    to a loss of pixels, for it says nothing of classes that do not occur.

    Args:
        loss_weight: factor on the loss.
        loss_name: what the log calls it.
    """

    def __init__(self, *, loss_weight: float = 1.0, loss_name: str = 'loss_dice') -> None:
        super().__init__(loss_weight=loss_weight, loss_name=loss_name)

    def _mean(self, logits: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
        probability = logits.sigmoid() * counts
        return mean_dice_loss(
            (probability * targets).sum((0, 2, 3)),
            (probability**2).sum((0, 2, 3)),
            (targets * counts).sum((0, 2, 3)),
        )


@MODELS.register_module()
class SigmoidFocalLoss(MultiLabelLoss):
    """Binary cross entropy of each class with less weight on what is right already.

    Lin et al. 2017, "Focal Loss for Dense Object Detection", equation 5, averaged over what counts.

    Args:
        gamma: exponent; the paper's best is 2.
        alpha: factor on the pixels that have a class, one minus it being that on the others: one for all classes
            or one for each; the paper's best with gamma 2 is 0.25. None weighs none.
        loss_weight: factor on the loss.
        loss_name: what the log calls it.
    """

    by_class = ('alpha',)

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        alpha: Sequence[float] | float | None = None,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_focal',
    ) -> None:
        super().__init__(loss_weight=loss_weight, loss_name=loss_name)
        self.gamma = gamma
        self.alpha = alpha

    def _mean(self, logits: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
        log_probability = -F.binary_cross_entropy_with_logits(logits, targets, reduction='none')
        loss = focal_loss_of(log_probability, self.gamma)
        alpha = _of_classes(self.alpha, logits)
        if alpha is not None:
            loss = loss * (alpha * targets + (1 - alpha) * (1 - targets))
        return (loss * counts).sum() / counts.sum().clamp(min=1)


def _of_classes(values: Sequence[float] | float | None, logits: Tensor) -> Tensor | None:
    """Return one number, or one for each class as (C, 1, 1)."""
    if values is None:
        return None
    return logits.new_tensor(values).reshape(-1, 1, 1)
