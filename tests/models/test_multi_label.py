"""Segmentors of classes of which a pixel may have several."""

import copy
import re

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from support.mmseg_pairs import TINY, build_segmentor
from swinseg.errors import ArchitectureError, TrainingError
from swinseg.evaluation.levels import lowest_level
from swinseg.models.checks.losses import check_losses, check_multi_label_losses
from swinseg.models.multi_label import (
    masks_of,
    predict_levels,
)

CLASSES = 3
SLIDE = dict(mode='slide', crop_size=(64, 64), stride=(42, 42))
BCE = dict(type='SigmoidCrossEntropyLoss')


def build(*, loss=BCE, **options):
    torch.manual_seed(0)
    options = {'multi_label': True, 'num_classes': CLASSES, **options}
    model = build_segmentor(stock=False, backbone=TINY, channels=16, **options)
    if loss is not None:
        model = with_loss(model, loss)
    return model


def with_loss(model, loss):
    for head in (model.decode_head, model.auxiliary_head):
        head.loss_decode = (
            torch.nn.ModuleList(map(MODELS.build, loss))
            if isinstance(loss, list)
            else MODELS.build(loss)
        )
    return model


def sample(planes=None, **meta):
    size = (48, 56)
    meta = dict(img_shape=size, ori_shape=size, pad_shape=size, seg_map_path='a.png', **meta)
    found = SegDataSample(metainfo=meta)
    if planes is not None:
        found.gt_sem_seg = PixelData(data=planes)
    return found


def planes(classes=CLASSES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    found = torch.randint(0, 2, (classes, 48, 56), generator=generator).byte()
    found[:, :4] = 255
    return found


# Training


def test_loss__both_heads_learn_each_class_by_itself():
    losses = [BCE, dict(type='SigmoidDiceLoss'), dict(type='SigmoidFocalLoss')]
    model = build(loss=losses).train()
    found = model.loss(torch.randn(2, 3, 48, 56), [sample(planes()), sample(planes(seed=1))])
    names = {
        f'{head}.{name}'
        for head in ('decode', 'aux')
        for name in ('loss_bce', 'loss_dice', 'loss_focal', 'acc_seg')
    }
    assert set(found) == names
    sum(value for name, value in found.items() if 'loss' in name).backward()
    assert model.decode_head.conv_seg.weight.grad.abs().sum(dim=(1, 2, 3)).all()


def test_loss__equals_that_of_the_resized_logits():
    model = build().eval()
    image, label = torch.randn(1, 3, 48, 56), planes()
    with torch.no_grad():
        logits = model.decode_head(model.extract_feat(image))
        logits = torch.nn.functional.interpolate(logits, (48, 56), mode='bilinear')[0]
        found = model.loss(image, [sample(label)])
    counts = label != 255
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[counts], (label == 1)[counts].float()
    )
    torch.testing.assert_close(found['decode.loss_bce'], expected)
    right = ((logits >= 0) == (label == 1))[counts].float().mean()
    torch.testing.assert_close(found['decode.acc_seg'], 100 * right[None])


def test_loss__one_class():
    model = build(num_classes=1).eval()
    found = model.loss(torch.randn(1, 3, 48, 56), [sample(planes(1))])
    assert torch.isfinite(found['decode.loss_bce'])


@pytest.mark.parametrize(
    ('label', 'message'),
    [
        (planes(4), 'the label of a.png has the shape (4, 48, 56), expected (3, height, width)'),
        (planes().long()[:1], 'the label of a.png has one class at each pixel'),
        (planes().permute(1, 2, 0), "let the pipeline end in dict(type='PackPlanes')"),
    ],
)
def test_loss__labels_of_another_form(label, message):
    with pytest.raises(TrainingError, match=re.escape(message)):
        build().loss(torch.randn(1, 3, *label.shape[1:]), [sample(label)])


# Settings


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'thresholds': [0.5]}, 'must be 3 probabilities above 0 and below 1, one for each class'),
        ({'thresholds': [0.5, 1.0, 0.5]}, 'must be 3 probabilities'),
        (
            {'thresholds': [0.5] * 3, 'multi_label': False},
            'thresholds of SwinSegmentor are for multi_label',
        ),
        ({'keep_scores': True}, 'keep_scores=True is for the one class of each pixel'),
    ],
)
def test_segmentor__settings_that_do_not_fit(options, message):
    with pytest.raises(ArchitectureError, match=re.escape(message)):
        build(loss=None, **options)


@pytest.mark.parametrize(
    ('loss', 'message'),
    [
        (
            dict(type='CrossEntropyLoss', use_sigmoid=True),
            'CrossEntropyLoss of decode_head is for classes',
        ),
        (
            dict(type='SoftDiceLoss'),
            'SoftDiceLoss of decode_head is for classes that exclude each other',
        ),
        (
            dict(type='SigmoidCrossEntropyLoss', pos_weight=[1.0, 2.0]),
            'pos_weight of SigmoidCrossEntropyLoss has 2',
        ),
    ],
)
def test_check_multi_label_losses__that_do_not_fit(loss, message):
    head = build(loss=loss).decode_head
    with pytest.raises(ArchitectureError, match=re.escape(message)):
        check_multi_label_losses('decode_head', head)


def test_check_losses__of_several_classes_where_a_pixel_has_one():
    head = build(multi_label=False).decode_head
    with pytest.raises(ArchitectureError, match='set multi_label=True of SwinSegmentor'):
        check_losses('decode_head', head)


# Prediction


@pytest.mark.parametrize('threshold', [0.01, 1 / 256, 0.25, 0.3, 0.5, 0.999])
def test_masks_of__levels_as_probabilities(threshold):
    logits = 4 * torch.randn(2, 7, 9)
    found = masks_of(predict_levels(logits), [threshold, 0.5])
    assert torch.equal(found[0], logits[0].sigmoid() >= lowest_level(threshold) / 256)
    assert torch.equal(found[1], logits[1] >= 0)
    assert 0 <= lowest_level(threshold) / 256 - threshold < 1 / 256 or threshold > 255 / 256


@pytest.mark.parametrize('test_cfg', [dict(mode='whole'), SLIDE], ids=['whole', 'slide'])
@pytest.mark.parametrize(
    'flip', [{}, {'flip': True, 'flip_direction': 'horizontal'}], ids=['', 'flip']
)
@pytest.mark.parametrize('ori_shape', [(96, 130), (75, 101)])
def test_predict__masks_are_those_of_the_scores(test_cfg, flip, ori_shape):
    model = build(test_cfg=test_cfg, thresholds=[0.5, 0.25, 0.75]).eval()
    image, meta = torch.randn(1, 3, 96, 130), dict(img_shape=(96, 130), pad_shape=(96, 130))
    meta.update(ori_shape=ori_shape, **flip)
    with torch.inference_mode():
        (found,) = model.predict(image, [SegDataSample(metainfo=copy.deepcopy(meta))])
        scores = model.inference(image, [copy.deepcopy(meta)])[0]
    scores = scores.flip(2) if flip else scores
    scores = torch.nn.functional.interpolate(scores[None], ori_shape, mode='bilinear')[0].sigmoid()
    masks = found.pred_sem_seg.data
    assert masks.dtype == torch.bool
    assert masks.shape == (CLASSES, *ori_shape)
    limits = torch.tensor([0.5, 0.25, 0.75])[:, None, None]
    clear = (scores - limits).abs() > 1e-4
    assert torch.equal(masks[clear], (scores >= limits)[clear])
    assert torch.equal(found.levels.data >= 64, found.levels.data.float() / 256 >= 0.25)
    assert found.thresholds == (0.5, 0.25, 0.75)


def test_predict__keeps_no_scores():
    model = build().eval()
    with torch.inference_mode():
        (found,) = model.predict(torch.randn(1, 3, 48, 56), [sample()])
    assert set(found.keys()) == {'pred_sem_seg', 'levels'}
