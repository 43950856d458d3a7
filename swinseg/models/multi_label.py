"""Segmentors of classes of which a pixel may have several: losses, thresholds and masks.

Each class has a score of its own, whose sigmoid is the probability that a pixel has it, and a threshold from which
on it has. A probability is kept as a level (:mod:`swinseg.evaluation.levels`).

Shapes: B images; C = classes; h, w = size of the scores; H, W = size of the masks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.structures import SegDataSample
from torch import Tensor

from swinseg.errors import ArchitectureError, PredictorError, TrainingError, quoted
from swinseg.evaluation.levels import LEVELS, lowest_level
from swinseg.inference import Block
from swinseg.models.checks.losses import criteria_of
from swinseg.models.postprocess import ScoreRows, resized_rows

_DEFAULT = 0.5


def is_multi_label(model: Any) -> bool:
    """Return whether a segmentor predicts several classes at a pixel."""
    return bool(getattr(model, 'multi_label', False))


def refuse_multi_label(model: Any, what: str) -> None:
    """Refuse a use that has no form for several classes at a pixel.

    Args:
        model: a segmentor.
        what: that cannot be done, the beginning of the sentence: ``'videos are segmented'``.

    Raises:
        PredictorError: the model is of that kind.
    """
    if is_multi_label(model):
        raise PredictorError(
            f'{what} only by models that give each pixel one class, but this one has multi_label=True; segment '
            'images with it, by swinseg segment or Predictor.predict'
        )


def check_thresholds(thresholds: Any, classes: int) -> tuple[float, ...]:
    """Return the thresholds of the classes.

    Args:
        thresholds: one probability for each class, or None for 0.5.
        classes: how many.

    Raises:
        ArchitectureError: they are no such numbers.
    """
    if thresholds is None:
        return (_DEFAULT,) * classes
    are_numbers = isinstance(thresholds, list | tuple) and all(
        isinstance(each, int | float) and 0 < each < 1 for each in thresholds
    )
    if not are_numbers or len(thresholds) != classes:
        raise ArchitectureError(
            f'thresholds of SwinSegmentor must be {classes} probabilities above 0 and below 1, one for each '
            f'class, found {quoted(thresholds)}; leave them out for 0.5'
        )
    return tuple(map(float, thresholds))


def check_multi_label(model: Any) -> None:
    """Check that the heads of a segmentor with ``multi_label`` have a score for each class.

    Raises:
        ArchitectureError: they have not, or the segmentor keeps scores for mmseg's test-time augmentation.
    """
    if not isinstance(model.decode_head, BaseDecodeHead):
        raise ArchitectureError(
            f"multi_label=True takes a decode_head of mmseg's kind, found {type(model.decode_head).__name__}; "
            'take UPerNetHead'
        )
    head = model.decode_head
    if head.out_channels != head.num_classes:
        raise ArchitectureError(
            f'multi_label=True needs a score for each of the {head.num_classes} classes, but decode_head has '
            f'out_channels={head.out_channels}; leave out_channels out'
        )
    if model.keep_scores:
        raise ArchitectureError(
            'keep_scores=True is for the one class of each pixel; leave it out with multi_label=True'
        )


def check_targets(sample: SegDataSample, *, classes: int | None) -> None:
    """Check that a label has the form that a model learns from.

    Args:
        sample: with ``gt_sem_seg``.
        classes: C of a model with ``multi_label``; None of a model that gives each pixel one class.

    Raises:
        TrainingError: it has the other form, or other classes.
    """
    label = sample.gt_sem_seg.data
    shape = tuple(label.shape)
    # PackPlanes makes uint8 of several classes at a pixel, and PackSegInputs int64 of one.
    is_index = shape[0] == 1 and label.dtype != torch.uint8
    path = sample.metainfo.get('seg_map_path', 'a sample')
    if classes is None:
        if not is_index:
            raise TrainingError(
                f'the label of {path} may have several classes at a pixel, but the model gives each one; set '
                'multi_label=True of SwinSegmentor, or leave multi_label of the dataset out'
            )
    elif is_index:
        raise TrainingError(
            f'the label of {path} has one class at each pixel, but the model has multi_label=True; set '
            "multi_label='bits' or 'folders' of the dataset, or leave multi_label of SwinSegmentor out"
        )
    elif shape[0] != classes:
        reason = "; let the pipeline end in dict(type='PackPlanes')" if shape[-1] == classes else ''
        raise TrainingError(
            f'the label of {path} has the shape {shape}, expected ({classes}, height, width) for the '
            f'{classes} classes of the model{reason or "; set num_classes of the heads"}'
        )


def multi_label_losses(
    head: BaseDecodeHead, features: Sequence[Tensor], samples: Sequence[SegDataSample]
) -> dict[str, Tensor]:
    """Return a head's losses, and how many percent of its decisions are right at a threshold of 0.5.

    Args:
        head: a decode or an auxiliary head.
        features: the backbone's outputs.
        samples: with ``gt_sem_seg``, (C, H, W) uint8, as ``PackPlanes`` makes it.

    Raises:
        TrainingError: a label is of another form.
    """
    for sample in samples:
        check_targets(sample, classes=head.out_channels)
    targets = torch.stack([sample.gt_sem_seg.data for sample in samples])
    logits = head(features)
    logits = F.interpolate(
        logits.to(torch.promote_types(logits.dtype, torch.float32)),
        targets.shape[2:],
        mode='bilinear',
        align_corners=head.align_corners,
    )
    losses: dict[str, Tensor] = {}
    for criterion in criteria_of(head):
        loss = criterion(logits, targets, ignore_index=head.ignore_index)
        losses[criterion.loss_name] = losses.get(criterion.loss_name, 0) + loss
    counts = targets != head.ignore_index
    right = ((logits.detach() >= 0) == (targets == 1)) & counts
    losses['acc_seg'] = 100.0 * right.sum()[None] / counts.sum().clamp(min=1)
    return losses


def predict_levels(
    scores: Tensor | ScoreRows,
    size: Sequence[int] | None = None,
    *,
    align_corners: bool = False,
    are_probabilities: bool = False,
    probabilities: Tensor | None = None,
) -> Tensor:
    """Return the level of the probability of each class.

    Args:
        scores: (C, h, w) logits, or probabilities.
        size: H, W to resize the scores to; None leaves them.
        align_corners: as in ``F.interpolate``.
        are_probabilities: whether the scores are probabilities already.
        probabilities: (C, H, W) float, on any device, to write the probabilities into; None where they are not
            wanted.

    Returns:
        (C, H, W) uint8.
    """
    size = tuple(scores.shape[1:] if size is None else size)
    levels = torch.empty((scores.shape[0], *size), dtype=torch.uint8, device=scores.device)
    for rows, block in resized_rows(scores, size, align_corners=align_corners):
        found = block if are_probabilities else block.sigmoid()
        if probabilities is not None:
            probabilities[:, rows] = found
        levels[:, rows] = (found * LEVELS).clamp_(max=LEVELS - 1).to(torch.uint8)
    return levels


def predict_level_blocks(blocks: Iterator[Block], size: tuple[int, int]) -> Tensor:
    """Return levels, as ``predict_levels`` does, where scores need no resize.

    Args:
        blocks: of logits; they cover each pixel once.
        size: H, W.
    """
    levels: Tensor | None = None
    for rows, columns, scores in blocks:
        found = predict_levels(scores)
        if levels is None:
            levels = found.new_empty((len(found), *size))
        levels[:, rows, columns] = found
    assert levels is not None
    return levels


def masks_of(levels: Tensor, thresholds: Sequence[float]) -> Tensor:
    """Return (C, H, W) bool: where the probability of a class reaches its threshold.

    Args:
        levels: (C, H, W) uint8.
        thresholds: C probabilities, taken up to the next multiple of 1/256.
    """
    return torch.stack(list(map(mask_of, levels, thresholds)))


def mask_of(level_HW: Tensor, threshold: float) -> Tensor:
    """Return (H, W) bool, :func:`masks_of` of one class."""
    return level_HW >= lowest_level(threshold)


def take_thresholds(model: Any, config: Mapping[str, Any] | None) -> None:
    """Give a segmentor with ``multi_label`` the thresholds of its checkpoint, if it has none of its own.

    Args:
        model: any segmentor; others are left as they are.
        config: that of the checkpoint, which may come from anyone; None where it has none.

    Raises:
        ArchitectureError: they are no thresholds of its classes.
    """
    settings = (config or {}).get('model')
    found = settings.get('thresholds') if isinstance(settings, Mapping) else None
    if is_multi_label(model) and not model.has_thresholds and found is not None:
        model.set_thresholds(found)
