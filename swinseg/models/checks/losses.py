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
_MULTI_LABEL_LOSSES = 'SigmoidCrossEntropyLoss, SigmoidDiceLoss or SigmoidFocalLoss'
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
    for criterion in criteria_of(head):
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


def check_multi_label_losses(name: str, head: BaseDecodeHead) -> None:
    """Check that a head whose classes do not exclude each other learns by losses of that kind.

    Args:
        name: of the head, for the message.
        head: of a segmentor with ``multi_label``.

    Raises:
        ArchitectureError: it computes its losses in a way of its own, or a loss, its weights or the sampler does
            not suit.
    """
    if type(head).loss_by_feat is not BaseDecodeHead.loss_by_feat:
        raise ArchitectureError(
            f'{name} is a {type(head).__name__}, whose loss is for one class at each pixel; with multi_label=True '
            'take UPerNetHead, FCNHead or another head without a loss of its own'
        )
    if head.sampler is not None:
        raise ArchitectureError(
            f'{name} has a sampler, which chooses pixels by their one class; leave it out with multi_label=True '
            'and take SigmoidFocalLoss'
        )
    for criterion in criteria_of(head):
        kind = type(criterion).__name__
        if not isinstance(criterion, MultiLabelLoss):
            raise ArchitectureError(
                f'{kind} of {name} is for classes that exclude each other, but the model has multi_label=True; '
                f'set loss_decode to {_MULTI_LABEL_LOSSES}, or several in a list'
            )
        for argument in criterion.by_class:
            values = getattr(criterion, argument)
            _check_entries(name, kind, argument, values, head.out_channels)


def criteria_of(head: BaseDecodeHead) -> Iterator[Any]:
    """Yield the losses of a head, of which it has one or several."""
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
        _check_entries(name, kind, argument, values, channels)


def _check_entries(name: str, kind: str, argument: str, values: Any, classes: int) -> None:
    if isinstance(values, list | tuple) and len(values) != classes:
        raise ArchitectureError(
            f'{argument} of {kind} has {len(values)} entries for {classes} classes of {name}; give one for '
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
