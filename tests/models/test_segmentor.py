"""What the segmentor changes against mmseg's EncoderDecoder: what it keeps, and what it leaves alone."""

import copy

import pytest
import torch
from mmseg.structures import SegDataSample

from support.mmseg_pairs import TINY, build_pair

SLIDE = dict(mode='slide', crop_size=(64, 64), stride=(42, 42))


def samples(size, ori_shape, count=1):
    meta = dict(img_shape=size, pad_shape=size, ori_shape=ori_shape)
    return [SegDataSample(metainfo=dict(meta)) for _ in range(count)]


@pytest.mark.parametrize('test_cfg', [dict(mode='whole'), SLIDE], ids=['whole', 'slide'])
@pytest.mark.parametrize('size', [(96, 130), (50, 70)], ids=str)
def test_predict__equals_mmseg(test_cfg, size):
    stock, ours = build_pair(TINY, channels=32, num_classes=7, test_cfg=test_cfg)
    ours.keep_scores = True
    image = torch.randn(1, 3, *size)
    results = []
    for model in (stock, ours):
        with torch.inference_mode():
            results.append(model.eval().predict(image, samples(size, (75, 101)))[0])
    expected, found = results
    assert found.pred_sem_seg.data.shape == (1, 75, 101)
    torch.testing.assert_close(found.seg_logits.data, expected.seg_logits.data, atol=1e-4, rtol=0)
    assert torch.equal(found.pred_sem_seg.data, expected.pred_sem_seg.data)


def test_predict__keeps_no_scores_unless_asked():
    _, ours = build_pair(TINY, channels=32, num_classes=7)
    with torch.inference_mode():
        result = ours.eval().predict(torch.randn(1, 3, 64, 64), samples((64, 64), (64, 64)))[0]
    assert 'seg_logits' not in result
    assert result.pred_sem_seg.data.shape == (1, 64, 64)


def test_slide_inference__leaves_the_callers_metas_alone():
    _, ours = build_pair(TINY, channels=32, num_classes=7, test_cfg=SLIDE)
    metas = [dict(img_shape=(96, 96), ori_shape=(96, 96))]
    before = copy.deepcopy(metas)
    with torch.inference_mode():
        ours.eval().slide_inference(torch.randn(1, 3, 96, 96), metas)
    assert metas == before
