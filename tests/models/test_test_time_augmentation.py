"""Averages over views in an evaluation: mmseg's labels, without the scores of all views."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS, TRANSFORMS

from support import tiny_checkpoint
from swinseg.benchmark.peak_memory import LiveBytes

SCALES = (0.5, 1.0, 1.5)


def _batch(*sizes, scales=SCALES):
    flips = [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)]
    resizes = [dict(type='Resize', scale_factor=scale, keep_ratio=True) for scale in scales]
    with DefaultScope.overwrite_default_scope('mmseg'):
        augment = TRANSFORMS.build(
            dict(type='TestTimeAug', transforms=[resizes, flips, [dict(type='PackSegInputs')]])
        )
    packed = []
    for number, size in enumerate(sizes):
        coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
        image = np.kron(coarse, np.ones((20, 20, 1), np.uint8))[: size[0], : size[1]]
        path = f'{number}.png'
        packed.append(augment(dict(img=image, img_path=path, img_shape=size, ori_shape=size)))
    return {
        key: [list(views) for views in zip(*(each[key] for each in packed), strict=True)]
        for key in ('inputs', 'data_samples')
    }


def _built(kind, *, stock=False, **test_cfg):
    cfg = tiny_checkpoint.config(Path(), stock=stock, **test_cfg)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(dict(type=kind, module=tiny_checkpoint.build(cfg))).eval()


@pytest.mark.parametrize(
    'test_cfg',
    [{'mode': 'whole'}, {'mode': 'slide', 'crop_size': (48, 48), 'stride': (31, 31)}],
    ids=['whole', 'slide'],
)
def test_test_step__labels_are_those_of_mmseg(test_cfg):
    size = 62, 85
    samples = {}
    for kind in ('SegTTAModel', 'SwinTTAModel'):
        model = _built(kind, stock=kind == 'SegTTAModel', **test_cfg)
        with torch.no_grad():
            samples[kind] = model.test_step(_batch(size, size))
    for number, (theirs, ours) in enumerate(zip(*samples.values(), strict=True)):
        assert ours.img_path == theirs.img_path == f'{number}.png'
        expected, found = (sample.pred_sem_seg.data.squeeze() for sample in (theirs, ours))
        assert found.shape == size
        assert len(expected.unique()) > 1
        assert (found == expected).float().mean() > 0.9995


def test_test_step__more_views_take_no_more_memory():
    peaks = {}
    for kind in ('SegTTAModel', 'SwinTTAModel'):
        model = _built(kind, stock=kind == 'SegTTAModel', mode='whole')
        for count in (1, 4):
            batch = _batch((90, 121), scales=[1.0] * count)
            with LiveBytes() as watch, torch.no_grad():
                model.test_step(batch)
            peaks[kind, count] = watch.peak
    assert peaks['SwinTTAModel', 4] < 1.01 * peaks['SwinTTAModel', 1]
    assert peaks['SegTTAModel', 4] > 1.5 * peaks['SegTTAModel', 1]


def test_test_step__confidence_is_the_mean_probability_of_the_label():
    model = _built('SwinTTAModel', mode='whole')
    model.module.keep_confidence = True
    with torch.no_grad():
        (sample,) = model.test_step(_batch((90, 121)))
    stock = _built('SegTTAModel', stock=True, mode='whole')
    with torch.no_grad():
        views = [
            stock.module.test_step({key: [value[0]] for key, value in view.items()})[0]
            for view in (
                dict(zip(_batch((90, 121)), each, strict=True))
                for each in zip(*_batch((90, 121)).values(), strict=True)
            )
        ]
    mean = torch.stack([view.seg_logits.data.softmax(0) for view in views]).mean(0)
    torch.testing.assert_close(sample.confidence.data[0], mean.amax(0), atol=1e-5, rtol=1e-5)


SLIDE = dict(mode='slide', crop_size=(48, 48), stride=(31, 31))


def test_test_step__follows_no_gradient():
    found = []
    for with_gradient in (True, False):
        model = _built('SwinTTAModel', **SLIDE)
        with torch.set_grad_enabled(with_gradient):
            (sample,) = model.test_step(_batch((62, 85), scales=(0.75,)))
        assert not sample.pred_sem_seg.data.requires_grad
        found.append(sample.pred_sem_seg.data)
    assert torch.equal(*found)


def test_test_step__mmsegs_own_around_a_swin_segmentor():
    stock, ours = (_built('SegTTAModel', stock=stock, **SLIDE) for stock in (True, False))
    with torch.no_grad():
        (expected,), (found,) = (
            model.test_step(_batch((62, 85), scales=(0.75,))) for model in (stock, ours)
        )
    same = found.pred_sem_seg.data == expected.pred_sem_seg.data
    assert same.float().mean() > 0.9995
    assert ours.module.keep_scores is False
