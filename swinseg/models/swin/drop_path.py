"""Stochastic depth."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """Drop the whole branch of an image in training (Huang et al. 2016), scaling what is kept.

    Draws as mmcv's ``DropPath`` does, so the same seed drops the same, but reads the branch once.

    Args:
        rate: probability of dropping, in [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Drop along the first axis; any shape in and out."""
        if self.rate == 0 or not self.training:
            return x
        kept = 1 - self.rate
        one_per_image = torch.rand(
            (x.shape[0], *[1] * (x.dim() - 1)), dtype=x.dtype, device=x.device
        )
        return x * (kept + one_per_image).floor_().div_(kept)
