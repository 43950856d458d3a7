"""Each repair of mmseg gives what mmseg itself means, and leaves alone what it can do already."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from mmseg.apis import MMSegInferencer, inference_model, init_model
from mmseg.models.decode_heads.dm_head import DCM
from mmseg.models.losses import FocalLoss, OhemCrossEntropy
from mmseg.models.losses.focal_loss import py_sigmoid_focal_loss, sigmoid_focal_loss
from PIL import Image

from swinseg import Predictor

IGNORED = 255


def _logits(classes, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, classes, 5, 6, generator=generator, dtype=dtype)
    labels = torch.randint(0, max(classes, 2), (2, 5, 6), generator=generator)
    labels[0, :2] = IGNORED
    return logits.requires_grad_(), labels


def _as_on_a_gpu(logits, labels, **options):
    """What mmseg computes where there is a GPU, by the op of mmcv's: rows are pixels, one channel is class 1."""
    classes = logits.shape[1]
    rows = logits.movedim(1, -1).reshape(-1, classes)
    target = labels.reshape(-1)
    valid = (target != IGNORED)[:, None]
    target = target.where(valid[:, 0], 0)
    one_hot = F.one_hot(target, classes + 1)
    if classes == 1:
        one_hot, target = one_hot[:, 1], 1 - target
    else:
        one_hot = one_hot[:, :classes]
    return sigmoid_focal_loss(rows, target, one_hot, valid_mask=valid, **options)


@pytest.mark.parametrize('classes', [1, 2, 4])
@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_focal_loss__on_a_cpu_is_that_of_a_gpu(classes, reduction):
    logits, labels = _logits(classes)
    loss = FocalLoss(gamma=1.5, alpha=0.3, reduction=reduction)(logits, labels)
    expected = _as_on_a_gpu(logits, labels, gamma=1.5, alpha=0.3, reduction=reduction)
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0])
    assert not gradient[0, :, :2].any()


def test_focal_loss__class_weights_and_factors_for_each_class():
    logits, labels = _logits(3)
    options = dict(alpha=[0.2, 0.5, 0.9], class_weight=[1.0, 2.0, 3.0])
    torch.testing.assert_close(
        FocalLoss(**options)(logits, labels), _as_on_a_gpu(logits, labels, gamma=2.0, **options)
    )


def test_focal_loss__labels_that_are_probabilities_are_left_to_mmseg():
    logits, labels = _logits(3)
    one_hot = F.one_hot(labels.where(labels != IGNORED, 0), 3).movedim(-1, 1)
    rows, targets = (x.movedim(1, -1).reshape(-1, 3) for x in (logits, one_hot))
    torch.testing.assert_close(
        FocalLoss()(logits, one_hot), py_sigmoid_focal_loss(rows, targets, alpha=0.5)
    )


def test_ohem_cross_entropy__takes_what_heads_give():
    logits, labels = _logits(4)
    loss = OhemCrossEntropy(thres=0.6, min_kept=10)
    expected = loss(logits, labels)
    torch.testing.assert_close(loss(logits, labels, weight=None, ignore_index=IGNORED), expected)
    # Another number for what is ignored, and pixels that a sampler has left out.
    other = labels.where(labels != IGNORED, 9)
    torch.testing.assert_close(loss(logits, other, ignore_index=9), expected)
    weight = torch.ones(2, 5, 6)
    weight[1, 3:] = 0
    torch.testing.assert_close(
        loss(logits, labels, weight=weight, ignore_index=IGNORED),
        loss(logits, labels.where(weight > 0, IGNORED)),
    )


def test_dynamic_convolution__layout_in_memory_does_not_matter():
    module = DCM(3, False, 8, 4, None, None, dict(type='ReLU'))
    maps = torch.randn(2, 8, 6, 7)
    channels_last = maps.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(module(channels_last), module(maps))


@pytest.fixture(scope='module')
def images(tiny_dataset):
    return sorted((tiny_dataset / 'images' / 'validation').iterdir())


def test_apis__give_the_labels_of_the_predictor(write_tiny_config, tiny_run, images, tmp_path):
    config, checkpoint = str(write_tiny_config()), str(tiny_run / 'iter_4.pth')
    expected = [found.labels for found in Predictor.from_checkpoint(checkpoint).stream(images)]
    paths = [str(path) for path in images]
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = init_model(config, checkpoint, device='cpu')
        files = [inference_model(model, path) for path in paths]
        arrays = inference_model(model, [np.array(Image.open(paths[0]))[..., ::-1]])
        inferencer = MMSegInferencer(config, checkpoint, device='cpu')
        written = inferencer(paths, out_dir=str(tmp_path / 'out'))
    for labels, file, predicted in zip(expected, files, written['predictions'], strict=True):
        for found in (file.pred_sem_seg.data[0].numpy(), predicted):
            assert (found == labels).mean() > 0.999
    assert (arrays[0].pred_sem_seg.data == files[0].pred_sem_seg.data).all()
    assert len(list((tmp_path / 'out' / 'pred').iterdir())) == len(images)
