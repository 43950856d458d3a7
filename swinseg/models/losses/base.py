"""Base of this package's losses: how mmseg's heads call them, and which pixels count.

Shapes: B images, K classes, H x W pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from swinseg.errors import ArchitectureError


class NamedLoss(nn.Module):
    """A loss with a weight, and a name in the log.

    Args:
        loss_weight: factor on the loss.
        loss_name: what the log calls it; must contain ``loss`` for it to be trained with.

    Raises:
        ArchitectureError: the name does not.
    """

    def __init__(self, *, loss_weight: float, loss_name: str) -> None:
        super().__init__()
        if 'loss' not in loss_name:
            raise ArchitectureError(
                f"loss_name of {type(self).__name__} must contain 'loss', or nothing is trained with it, "
                f'found {loss_name!r}'
            )
        self.loss_weight = loss_weight
        self.loss_name = loss_name


class SegmentationLoss(NamedLoss, ABC):
    """A loss of classes that exclude each other, as the heads of mmseg call it.

    Args:
        loss_weight: factor on the loss.
        loss_name: what the log calls it; must contain ``loss`` for it to be trained with.
    """

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = 255,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Return the loss.

        Args:
            logits: (B, K, H, W) float.
            labels: (B, H, W) int64; classes, or ``ignore_index``.
            weight: (B, H, W), of the pixels, as a sampler gives it; pixels of weight 0 do not count.
            ignore_index: label of pixels that do not count.
            reduction_override: ``'none'`` asks for the loss of each pixel.

        Returns:
            Scalar, float32 at least; 0 without a pixel that counts. (B, H, W) for ``'none'``.

        Raises:
            ArchitectureError: there is one channel only, or no loss of a single pixel.
        """
        if logits.shape[1] < 2:
            raise ArchitectureError(
                f'{type(self).__name__} needs a channel for each class, found one; leave out_channels of the '
                'head out, so that two classes have two'
            )
        counts = labels != ignore_index
        if weight is not None:
            counts &= weight > 0
        # Autocast would take logits in half precision, where exponentials of large ones lose their last digits.
        log_probability = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(1)
        targets = labels.where(counts, 0)
        if reduction_override == 'none':
            return self.loss_weight * self._of_pixels(log_probability, targets) * counts
        return self.loss_weight * self._mean(log_probability, targets, counts)

    @abstractmethod
    def _mean(self, log_probability: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
        """Return the loss of (B, K, H, W) log-probabilities; ``targets`` and ``counts`` are (B, H, W)."""

    def _of_pixels(self, log_probability: Tensor, targets: Tensor) -> Tensor:
        raise ArchitectureError(
            f'{type(self).__name__} has no loss of a single pixel to choose the hard ones by; give the '
            "head's OHEMPixelSampler a thresh, such as 0.7"
        )


def class_sums(values: Tensor, targets: Tensor, *, classes: int) -> Tensor:
    """Sum values up by class.

    Args:
        values: (B, H, W) float.
        targets: (B, H, W) int64.
        classes: how many.

    Returns:
        (classes,)
    """
    return values.new_zeros(classes).index_add(0, targets.flatten(), values.flatten())
