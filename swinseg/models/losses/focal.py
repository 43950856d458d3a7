"""The focal loss over classes that exclude each other."""

from __future__ import annotations

from collections.abc import Sequence

from mmseg.registry import MODELS
from torch import Tensor

from swinseg.models.losses.base import SegmentationLoss


@MODELS.register_module()
class SoftmaxFocalLoss(SegmentationLoss):
    """Cross entropy with less weight on pixels that are right already.

    Lin et al. 2017, "Focal Loss for Dense Object Detection", equation 5, with the softmax in the place of the
    sigmoid: ``-alpha_y (1 - p_y)^gamma log p_y`` for the probability p_y of the true class y, averaged over
    the pixels that count. With gamma 0 and without alpha it is cross entropy.

    Args:
        gamma: exponent; the paper's best is 2.
        alpha: one factor for each class, or None.
        loss_weight: factor on the loss.
        loss_name: what the log calls it.
    """

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        alpha: Sequence[float] | None = None,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_focal',
    ) -> None:
        super().__init__(loss_weight=loss_weight, loss_name=loss_name)
        self.gamma = gamma
        self.alpha = alpha

    def _mean(self, log_probability: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
        loss = self._of_pixels(log_probability, targets)
        return loss.where(counts, 0).sum() / counts.sum().clamp(min=1)

    def _of_pixels(self, log_probability: Tensor, targets: Tensor) -> Tensor:
        loss = focal_loss_of(log_probability.gather(1, targets[:, None])[:, 0], self.gamma)
        return loss if self.alpha is None else loss * loss.new_tensor(self.alpha)[targets]


def focal_loss_of(log_probability: Tensor, gamma: float) -> Tensor:
    """Return ``-(1 - p)^gamma log p`` of the logarithms of the probabilities of what is true; any shape."""
    # 1 - p from log p without cancellation, and above 0, where the power of a fraction has a gradient.
    rest = -log_probability.clamp(max=-1e-12).expm1()
    return -(rest**gamma) * log_probability
