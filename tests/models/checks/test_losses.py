"""Losses and samplers that the scores of a head do not suit."""

from __future__ import annotations

import re

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from swinseg.errors import ArchitectureError
from swinseg.models.checks.losses import check_losses
from swinseg.models.ops.blockwise_loss import losses_of

OHEM = dict(type='OHEMPixelSampler', min_kept=20)
BINARY = dict(num_classes=2, out_channels=1)
SIGMOID = dict(type='CrossEntropyLoss', use_sigmoid=True)


def build(loss, sampler=None, **settings):
    cfg = dict(
        type='FCNHead', in_channels=4, in_index=0, channels=4, num_convs=1, norm_cfg=None,
        loss_decode=loss, sampler=sampler, **{'num_classes': 3, 'threshold': 0.5, **settings},
    )  # fmt: skip
    return MODELS.build(ConfigDict(cfg))


REFUSED = [
    (dict(loss=dict(type='CrossEntropyLoss'), **BINARY),
     r'out_channels=1, .* CrossEntropyLoss with use_sigmoid=False cannot learn from; set loss_decode=dict\('),
    (dict(loss=dict(type='SoftmaxFocalLoss'), **BINARY), 'SoftmaxFocalLoss cannot learn from'),
    (dict(loss=dict(type='DiceLoss'), **BINARY), 'DiceLoss cannot learn from'),
    (dict(loss=dict(type='TverskyLoss'), **BINARY), 'TverskyLoss cannot learn from'),
    (dict(loss=dict(type='LovaszLoss', reduction='none'), **BINARY), 'LovaszLoss cannot learn from'),
    (dict(loss=[SIGMOID, dict(type='SoftDiceLoss')], **BINARY), 'SoftDiceLoss cannot learn from'),
    (dict(loss=dict(SIGMOID, class_weight=[0.5, 2.0]), **BINARY),
     r'class_weight of its CrossEntropyLoss takes one number, .* found 2; write class_weight=\[4\]'),
    (dict(loss=SIGMOID, sampler=dict(OHEM, thresh=0.7), **BINARY), r'thresh=0\.7 of its OHEMPixelSampler asks'),
    (dict(loss=dict(SIGMOID, class_weight=[1.0] * 3)), 'class_weight and use_sigmoid=True in its'),
    (dict(loss=dict(type='OhemCrossEntropy'), **BINARY), 'OhemCrossEntropy cannot learn from'),
    (dict(loss=dict(type='FocalLoss'), sampler=OHEM), 'but FocalLoss with use_sigmoid=True has one of each'),
    (dict(loss=SIGMOID, sampler=OHEM), 'OHEMPixelSampler without thresh, .* give it a thresh, such as 0.7'),
    (dict(loss=dict(type='CrossEntropyLoss', class_weight=[1.0] * 5)), 'class_weight of .* 5 entries for 3 cl'),
    (dict(loss=dict(type='SoftmaxFocalLoss', alpha=[1.0] * 2)), 'alpha of SoftmaxFocalLoss has 2 entries for 3'),
    (dict(loss=dict(type='FocalLoss', alpha=[1.0] * 2)), 'alpha of FocalLoss has 2 entries for 3'),
    (dict(loss=dict(type='LovaszLoss', loss_type='binary', reduction='none')), "set loss_type='multi_class'"),
]  # fmt: skip
TAKEN = [
    dict(loss=SIGMOID, **BINARY),
    dict(loss=dict(SIGMOID, class_weight=[2.0]), **BINARY),
    dict(loss=SIGMOID, sampler=OHEM, **BINARY),
    dict(loss=dict(type='LovaszLoss', loss_type='binary', reduction='none'), **BINARY),
    dict(loss=SIGMOID),
    dict(loss=SIGMOID, sampler=dict(OHEM, thresh=0.7)),
    dict(loss=dict(type='CrossEntropyLoss', class_weight=[1.0, 2.0, 3.0]), sampler=OHEM),
    dict(loss=[dict(type='SoftmaxFocalLoss', alpha=[1.0] * 3), dict(type='DiceLoss')]),
    dict(loss=dict(type='LovaszLoss', reduction='none')),
    dict(loss=dict(type='TverskyLoss', class_weight=[1.0] * 3)),
]


@pytest.mark.parametrize(('settings', 'sentence'), REFUSED)
def test_losses__that_do_not_suit_the_scores(settings, sentence):
    with pytest.raises(ArchitectureError, match='auxiliary_head') as caught:
        check_losses('auxiliary_head', build(**settings))
    assert re.search(sentence, str(caught.value))


@pytest.mark.parametrize('settings', TAKEN)
def test_losses__that_are_taken_can_be_computed(settings):
    head = build(**settings)
    check_losses('decode_head', head)
    labels = torch.arange(8 * 10).reshape(1, 8, 10) % head.num_classes
    labels[0, 0] = 255
    sample = SegDataSample()
    sample.gt_sem_seg = PixelData(data=labels)
    losses = losses_of(head, [torch.randn(2, 4, 8, 10)], [sample, sample])
    total = sum(value for key, value in losses.items() if 'loss' in key)
    total.backward()
    assert head.conv_seg.weight.grad.abs().sum() > 0  # which says something about the scores
