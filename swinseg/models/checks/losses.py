"""Losses and samplers of a head that its scores do not suit.

A head with ``out_channels=1`` gives one score, of class 1 against class 0; ``use_sigmoid=True`` with more channels
asks of each class by itself. Where mmseg's losses do not work with that, the first step ends in an error of
shapes, or the loss says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import (
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    LovaszLoss,
    OhemCrossEntropy,
    TverskyLoss,
)
from mmseg.structures.sampler import OHEMPixelSampler
from torch import nn

from swinseg.errors import ArchitectureError
from swinseg.models.losses import SoftmaxFocalLoss
from swinseg.models.losses.base import SegmentationLoss
from swinseg.models.losses.sigmoid import MultiLabelLoss

# Losses of a softmax, of which one score always has the probability 1, and those that take it for that of class 0.
_SOFTMAX_OR_FIRST_CLASS = (
    *(CrossEntropyLoss, OhemCrossEntropy, LovaszLoss, TverskyLoss, SegmentationLoss),
    DiceLoss,
)
_BINARY_LOSS = "loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True)"


def check_losses(name: str, head: BaseDecodeHead) -> None:
    """Check that each loss of a head can be computed from its scores, and says something about them.

    Args:
        name: of the head, for the message.
        head: one that computes its losses in a way of its own is not looked at.

    Raises:
        ArchitectureError: a loss, its weights or the sampler do not suit the scores.
    """
    if type(head).loss_by_feat is not BaseDecodeHead.loss_by_feat:
        return
    for criterion in _criteria(head):
        if isinstance(criterion, MultiLabelLoss):
            raise ArchitectureError(
                f'{type(criterion).__name__} of {name} is for pixels with several classes at once; set '
                'multi_label=True of SwinSegmentor, or take a loss of classes that exclude each other'
            )
        if head.out_channels == 1:
            _check_for_one_score(name, criterion)
        else:
            _check_for_scores(name, criterion, head.out_channels)
        _check_sampler(name, head, criterion)


def _criteria(head: BaseDecodeHead) -> Iterator[Any]:
    criteria = getattr(head, 'loss_decode', None)
    yield from criteria if isinstance(criteria, nn.ModuleList) else [criteria]


def _check_for_one_score(name: str, criterion: Any) -> None:
    kind = type(criterion).__name__
    if isinstance(criterion, CrossEntropyLoss) and criterion.use_sigmoid:
        weight = criterion.class_weight
        if weight is not None and len(weight) != 1:
            raise ArchitectureError(
                f'{name} has out_channels=1, so class_weight of its {kind} takes one number, that of class 1 '
                f'where class 0 has 1, found {len(weight)}; write class_weight=[{_ratio(weight)}]'
            )
        return
    if isinstance(criterion, LovaszLoss) and criterion.cls_criterion.__name__ == 'lovasz_hinge':
        return
    if isinstance(criterion, _SOFTMAX_OR_FIRST_CLASS):
        given = ' with use_sigmoid=False' if isinstance(criterion, CrossEntropyLoss) else ''
        raise ArchitectureError(
            f'{name} has out_channels=1, one score for class 1 against class 0, which {kind}{given} cannot learn '
            f'from; set {_BINARY_LOSS}, or leave out_channels out, so that two classes have two scores'
        )


def _ratio(weight: Any) -> str:
    return f'{weight[1] / weight[0]:g}' if len(weight) == 2 and weight[0] else '1.0'


def _check_for_scores(name: str, criterion: Any, channels: int) -> None:
    kind = type(criterion).__name__
    if isinstance(criterion, LovaszLoss) and criterion.cls_criterion.__name__ == 'lovasz_hinge':
        raise ArchitectureError(
            f"{name} has {channels} scores, but loss_type='binary' of its LovaszLoss takes one; set "
            "loss_type='multi_class'"
        )
    weights = getattr(criterion, 'class_weight', None)
    if isinstance(criterion, CrossEntropyLoss) and criterion.use_sigmoid and weights is not None:
        raise ArchitectureError(
            f'{name} has class_weight and use_sigmoid=True in its {kind}, but mmseg lines these weights up with '
            'the columns of the image; leave one of the two out'
        )
    alpha = criterion.alpha if isinstance(criterion, FocalLoss | SoftmaxFocalLoss) else None
    for argument, values in (('class_weight', weights), ('alpha', alpha)):
        if isinstance(values, list | tuple) and len(values) != channels:
            raise ArchitectureError(
                f'{argument} of {kind} has {len(values)} entries for {channels} classes of {name}; give one for '
                'each class'
            )


def _check_sampler(name: str, head: BaseDecodeHead, criterion: Any) -> None:
    if not isinstance(head.sampler, OHEMPixelSampler):
        return
    has_thresh = head.sampler.thresh is not None
    if head.out_channels == 1 and has_thresh:
        raise ArchitectureError(
            f'{name} has out_channels=1, but thresh={head.sampler.thresh:g} of its OHEMPixelSampler asks for the '
            'probability of the true class among several; leave thresh out, and the pixels of the largest loss '
            'are taken'
        )
    is_binary = head.out_channels == 1 and not isinstance(criterion, FocalLoss)
    by_class = isinstance(criterion, CrossEntropyLoss | FocalLoss) and criterion.use_sigmoid
    if by_class and not is_binary and not has_thresh:
        raise ArchitectureError(
            f'{name} has an OHEMPixelSampler without thresh, which takes the loss of each pixel, '
            f'but {type(criterion).__name__} with use_sigmoid=True has one of each class; give it a thresh, '
            'such as 0.7'
        )
