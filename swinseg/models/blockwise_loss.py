"""Cross entropy of logits at the labels' size, without logits of that size.

mmseg resizes the logits to the size of the labels and keeps the result and its log-softmax for the backward pass:
150 classes at 512 x 512 are 157 MB of float32 for each image, twice, and as much again for each gradient. Here
a few rows of them exist at a time, and the gradient at the logits' own size, a sixteenth, is summed up at once.

Shapes: B images, K classes, h x w logits, H x W labels, R rows of a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from mmseg.structures import SegDataSample
from torch import Tensor
from torch.autograd.function import once_differentiable

from swinseg.models.label_decision import resized_rows


def losses_of(
    head: BaseDecodeHead,
    features: Sequence[Tensor],
    samples: list[SegDataSample],
    train_cfg: Any = None,
) -> dict[str, Tensor]:
    """Return a head's losses and its accuracy in percent, as ``head.loss`` does.

    Plain cross entropy, mmseg's default, is computed in blocks of rows: the same numbers to rounding, save that
    logits in half precision are resized in float32. All else is left to the head.

    Args:
        head: a decode or an auxiliary head.
        features: the backbone's outputs.
        samples: with ``gt_sem_seg``, (1, H, W) int64.
        train_cfg: handed on to the head.
    """
    if not _has_plain_cross_entropy(head) or torch.compiler.is_compiling():
        losses: dict[str, Tensor] = head.loss(features, samples, train_cfg)
        return losses
    criterion = head.loss_decode
    logits = head(features)
    loss, accuracy = cross_entropy(
        logits,
        head._stack_batch_gt(samples)[:, 0],
        ignore_index=head.ignore_index,
        average_over_ignored=not criterion.avg_non_ignore,
        align_corners=head.align_corners,
    )
    return {criterion.loss_name: criterion.loss_weight * loss, 'acc_seg': accuracy}


def _has_plain_cross_entropy(head: BaseDecodeHead) -> bool:
    criterion = head.loss_decode
    return (
        type(head).loss is BaseDecodeHead.loss
        and type(head).loss_by_feat is BaseDecodeHead.loss_by_feat
        and head.sampler is None
        and type(criterion) is CrossEntropyLoss
        and not criterion.use_sigmoid
        and not criterion.use_mask
        and criterion.reduction == 'mean'
        and criterion.class_weight is None
    )


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    ignore_index: int,
    average_over_ignored: bool,
    align_corners: bool,
) -> tuple[Tensor, Tensor]:
    """Return the mean cross entropy of resized logits, and how many percent of the pixels they get right.

    Second derivatives are not implemented.

    Args:
        logits: (B, K, h, w) float.
        labels: (B, H, W) int64; classes, or ``ignore_index``.
        ignore_index: of pixels that add nothing.
        average_over_ignored: whether the mean is over all pixels, or only over those that count.
        align_corners: how logits are resized (bilinearly) to H x W.

    Returns:
        loss: scalar, float32 at least.
        accuracy: (1,), over the pixels that count, without gradient; of equal scores the right one wins.
    """
    loss, accuracy = _CrossEntropy.apply(
        logits, labels, ignore_index, average_over_ignored, align_corners
    )
    return loss, accuracy


class _CrossEntropy(torch.autograd.Function):
    """Loss and gradient in one pass: the softmax that one needs is the other's."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        labels: Tensor,
        ignore_index: int,
        average_over_ignored: bool,
        align_corners: bool,
    ) -> tuple[Tensor, Tensor]:
        dtype = torch.promote_types(logits.dtype, torch.float32)
        valid = labels != ignore_index
        counted = valid.sum()
        total = torch.zeros((), dtype=torch.float64, device=logits.device)
        correct = torch.zeros((), dtype=torch.int64, device=logits.device)
        gradient = (
            torch.zeros_like(logits, dtype=dtype, memory_format=torch.contiguous_format)
            if ctx.needs_input_grad[0]
            else None
        )
        interpolation = _interpolation(logits.shape[2], labels.shape[1], align_corners, dtype)
        with torch.autocast(logits.device.type, enabled=False):
            for image, (scores, truth, counts) in enumerate(
                zip(logits, labels, valid, strict=True)
            ):
                targets = truth.where(counts, 0)
                for rows, block in resized_rows(scores, truth.shape, align_corners=align_corners):
                    log_probability = F.log_softmax(block, dim=0)  # (K, R, W)
                    chosen = log_probability.gather(0, targets[rows][None])
                    is_best = (chosen == log_probability.amax(0))[0]
                    total -= chosen[0].where(counts[rows], 0).sum(dtype=torch.float64)
                    correct += (is_best & counts[rows]).sum()
                    if gradient is not None:
                        by_score = log_probability.exp_()
                        by_score.scatter_add_(0, targets[rows][None], -torch.ones_like(chosen))
                        by_score *= counts[rows]
                        _add_resized_back(
                            gradient[image], by_score, interpolation[rows], align_corners
                        )
        epsilon = torch.finfo(torch.float32).eps  # as mmseg divides
        pixels = (labels.numel() if average_over_ignored else counted) + epsilon
        if gradient is not None:
            gradient /= pixels
            ctx.save_for_backward(gradient)
            ctx.dtype = logits.dtype
        accuracy = 100.0 * (correct + epsilon) / (counted + epsilon)
        ctx.mark_non_differentiable(accuracy)
        return (total / pixels).to(dtype), accuracy.to(dtype)[None]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        # Scaled in float32: a loss scale is there to lift small values into the range of half precision.
        return (gradient * grad).to(ctx.dtype), None, None, None, None


def _interpolation(length: int, target: int, align_corners: bool, dtype: torch.dtype) -> Tensor:
    """Return the matrix of bilinear interpolation along one axis, (target, length), on the CPU."""
    identity = torch.eye(length, dtype=dtype)[None]
    return F.interpolate(identity, size=target, mode='linear', align_corners=align_corners)[0].T


def _add_resized_back(
    gradient: Tensor, block: Tensor, interpolation: Tensor, align_corners: bool
) -> None:
    """Add the gradient of a block of resized rows, (K, R, W), onto that of the scores, (K, h, w).

    ``interpolation`` is the part of the rows' matrix, (R, h).
    """
    used = interpolation.abs().sum(0).nonzero().flatten()
    sources = slice(int(used[0]), int(used[-1]) + 1)
    matrix = interpolation[:, sources].T.to(block.device)
    narrow = matrix @ block  # (K, sources, W)
    width = gradient.shape[2]
    if narrow.shape[2] != width:
        narrow = torch.ops.aten.upsample_linear1d_backward(
            narrow, [narrow.shape[2]], [*narrow.shape[:2], width], align_corners
        )
    gradient[:, sources] += narrow
