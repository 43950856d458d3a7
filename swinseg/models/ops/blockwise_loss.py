"""Cross entropy of logits at the labels' size, without logits of that size.

mmseg resizes the logits to the size of the labels and keeps the result and its log-softmax for the backward pass:
150 classes at 512 x 512 are 157 MB of float32 for each image, twice, and as much again for each gradient. Here
a few rows of them exist at a time, and the gradient at the logits' own size, a sixteenth, is summed up at once.

Shapes: B images, K classes, h x w logits, H x W labels, R rows of a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from mmseg.models.losses import accuracy as accuracy_of
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from swinseg.errors import ArchitectureError
from swinseg.models.postprocess import resized_rows
from swinseg.models.tracing import is_traced
from swinseg.precision import widest_float, without_autocast
from swinseg.transfers import to_device


def losses_of(
    head: Any,
    features: Sequence[Tensor],
    samples: list[SegDataSample],
    train_cfg: Any = None,
) -> dict[str, Tensor]:
    """Return a head's losses and its accuracy in percent, as ``head.loss`` does.

    Cross entropy alone, mmseg's default, is computed in blocks of rows: the same numbers to rounding, save that
    logits in half precision are resized in float32. With class weights the mean is over the weights of the
    pixels that count, as in PyTorch; mmseg fails where a pixel is ignored. All else is left to the head.

    Args:
        head: a decode or an auxiliary head: a ``BaseDecodeHead``, or anything with mmseg's ``loss``.
        features: the backbone's outputs.
        samples: with ``gt_sem_seg``, (1, H, W) int64.
        train_cfg: handed on to the head.
    """
    if not _has_stock_loss(head):
        own: dict[str, Tensor] = head.loss(features, samples, train_cfg)
        return own
    criteria = head.loss_decode
    criteria = list(criteria) if isinstance(criteria, nn.ModuleList) else [criteria]
    is_alone = len(criteria) == 1 and head.sampler is None
    if is_alone and _is_softmax(criteria[0]) and not is_traced():
        return _cross_entropy_of(head, criteria[0], head(features), head._stack_batch_gt(samples))
    if any(_is_weighted(each) for each in criteria):
        return _losses_by_feat(head, criteria, head(features), head._stack_batch_gt(samples))
    losses: dict[str, Tensor] = head.loss(features, samples, train_cfg)
    return losses


def _has_stock_loss(head: Any) -> TypeGuard[BaseDecodeHead]:
    """Whether a head computes its losses as ``BaseDecodeHead`` does; others need not have its attributes."""
    return (
        isinstance(head, BaseDecodeHead)
        and type(head).loss is BaseDecodeHead.loss
        and type(head).loss_by_feat is BaseDecodeHead.loss_by_feat
    )


def _is_softmax(criterion: Any) -> bool:
    return (
        type(criterion) is CrossEntropyLoss
        and not criterion.use_sigmoid
        and not criterion.use_mask
        and criterion.reduction == 'mean'
    )


def _is_weighted(criterion: Any) -> bool:
    return _is_softmax(criterion) and criterion.class_weight is not None


def _cross_entropy_of(
    head: BaseDecodeHead, criterion: CrossEntropyLoss, logits: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    class_weight = criterion.class_weight
    loss, accuracy = cross_entropy(
        logits,
        labels[:, 0],
        ignore_index=head.ignore_index,
        average_over_ignored=not criterion.avg_non_ignore,
        align_corners=head.align_corners,
        class_weight=None if class_weight is None else _weights(class_weight, logits),
    )
    return {criterion.loss_name: criterion.loss_weight * loss, 'acc_seg': accuracy}


def _weights(class_weight: Sequence[float], logits: Tensor) -> Tensor:
    if len(class_weight) != logits.shape[1]:
        raise ArchitectureError(
            f'class_weight of CrossEntropyLoss has {len(class_weight)} entries for {logits.shape[1]} classes; '
            'give one for each class'
        )
    # A tensor born under inference_mode could not take part in a later training step.
    with torch.inference_mode(False):
        return _weights_on(tuple(map(float, class_weight)), logits.device)


@lru_cache(maxsize=16)
def _weights_on(class_weight: tuple[float, ...], device: torch.device) -> Tensor:
    return to_device(torch.tensor(class_weight, dtype=torch.float32, device='cpu'), device)


def _losses_by_feat(
    head: BaseDecodeHead, criteria: Sequence[Any], logits: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    """Do what ``head.loss_by_feat`` does, but give weighted cross entropy the divisor that mmseg gets wrong.

    mmseg looks the weight of the ignored label up, which no class has.
    """
    logits = F.interpolate(
        logits, labels.shape[2:], mode='bilinear', align_corners=head.align_corners
    )
    pixel_weight = None if head.sampler is None else head.sampler.sample(logits, labels)
    labels = labels[:, 0]
    losses: dict[str, Tensor] = {}
    for criterion in criteria:
        options = {}
        if _is_weighted(criterion):
            counted = labels[labels != head.ignore_index]
            options['avg_factor'] = _weights(criterion.class_weight, logits)[counted].sum()
        loss = criterion(
            logits, labels, weight=pixel_weight, ignore_index=head.ignore_index, **options
        )
        losses[criterion.loss_name] = losses.get(criterion.loss_name, 0) + loss
    losses['acc_seg'] = accuracy_of(logits, labels, ignore_index=head.ignore_index)
    return losses


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    ignore_index: int,
    average_over_ignored: bool,
    align_corners: bool,
    class_weight: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the mean cross entropy of resized logits, and how many percent of the pixels they get right.

    Second derivatives are not implemented.

    Args:
        logits: (B, K, h, w) float.
        labels: (B, H, W) int64; classes, or ``ignore_index``.
        ignore_index: of pixels that add nothing.
        average_over_ignored: whether the mean is over all pixels, or only over those that count.
        align_corners: how logits are resized (bilinearly) to H x W.
        class_weight: (K,) float; then the mean is over the weights of the pixels that count.

    Returns:
        loss: scalar, float32 at least.
        accuracy: (1,), over the pixels that count, without gradient; of equal scores the right one wins.
    """
    loss, accuracy = _CrossEntropy.apply(
        logits, labels, ignore_index, average_over_ignored, align_corners, class_weight
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
        class_weight: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        dtype = torch.promote_types(logits.dtype, torch.float32)
        valid = labels != ignore_index
        counted = valid.sum()
        exact = widest_float(logits.device)
        weight = torch.zeros((), dtype=exact, device=logits.device)
        total = torch.zeros_like(weight)
        correct = torch.zeros((), dtype=torch.int64, device=logits.device)
        gradient = (
            torch.zeros_like(logits, dtype=dtype, memory_format=torch.contiguous_format)
            if ctx.needs_input_grad[0]
            else None
        )
        with without_autocast(logits.device):
            for image, (scores, truth, counts) in enumerate(
                zip(logits, labels, valid, strict=True)
            ):
                targets = truth.where(counts, 0)
                factors = counts
                if class_weight is not None:
                    factors = class_weight[targets].where(counts, 0).to(dtype)
                    weight += factors.sum(dtype=exact)
                for rows, block in resized_rows(scores, truth.shape, align_corners=align_corners):
                    log_probability = F.log_softmax(block, dim=0)  # (K, R, W)
                    chosen = log_probability.gather(0, targets[rows][None])
                    is_best = (chosen == log_probability.amax(0))[0]
                    by_pixel = chosen[0].where(counts[rows], 0) * factors[rows]
                    total -= by_pixel.sum(dtype=exact)
                    correct += (is_best & counts[rows]).sum()
                    if gradient is not None:
                        by_score = log_probability.exp_()
                        by_score.scatter_add_(0, targets[rows][None], -torch.ones_like(chosen))
                        by_score *= factors[rows]
                        _add_resized_back(
                            gradient[image], by_score, rows, labels.shape[1], align_corners
                        )
        epsilon = torch.finfo(torch.float32).eps  # as mmseg divides
        if class_weight is None:
            weight += labels.numel() if average_over_ignored else counted
        divisor = weight + epsilon
        if gradient is not None:
            gradient /= divisor
            ctx.save_for_backward(gradient)
            ctx.dtype = logits.dtype
        accuracy = 100.0 * (correct + epsilon) / (counted + epsilon)
        ctx.mark_non_differentiable(accuracy)
        return (total / divisor).to(dtype), accuracy.to(dtype)[None]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        # Scaled in float32: a loss scale is there to lift small values into the range of half precision.
        return (gradient * grad).to(ctx.dtype), None, None, None, None, None


@lru_cache(maxsize=1024)
def _interpolation(
    length: int,
    target: int,
    first: int,
    stop: int,
    align_corners: bool,
    dtype: torch.dtype,
    device: torch.device,
) -> tuple[slice, Tensor]:
    """Return rows ``first`` to ``stop`` of the matrix of bilinear interpolation along one axis.

    Kept, because a copy to a GPU makes the host wait for all that was begun there.

    Returns:
        The columns in which any of them is not zero, and these, transposed: (columns, stop - first).
    """
    identity = torch.eye(length, dtype=dtype)[None]
    whole = F.interpolate(identity, size=target, mode='linear', align_corners=align_corners)[0]
    rows = whole[:, first:stop]  # transposed already
    used = rows.abs().sum(1).nonzero().flatten()
    sources = slice(int(used[0]), int(used[-1]) + 1)
    return sources, to_device(rows[sources].contiguous(), device)


def _add_resized_back(
    gradient: Tensor, block: Tensor, rows: slice, target: int, align_corners: bool
) -> None:
    """Add the gradient of rows of the resized scores, (K, R, W), of ``target`` in all, onto that of (K, h, w)."""
    # Made on the CPU whatever the default device is.
    with torch.device('cpu'):
        sources, matrix = _interpolation(
            gradient.shape[1], target, rows.start, rows.stop, align_corners, block.dtype,
            block.device,
        )  # fmt: skip
    narrow = matrix @ block  # (K, sources, W)
    width = gradient.shape[2]
    if narrow.shape[2] != width:
        narrow = torch.ops.aten.upsample_linear1d_backward(
            narrow, [narrow.shape[2]], [*narrow.shape[:2], width], align_corners
        )
    gradient[:, sources] += narrow
