"""What the segmentor changes against mmseg's EncoderDecoder: what it keeps, and what it leaves alone."""

import copy

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.evaluation import IoUMetric
from mmseg.models import SegDataPreProcessor
from mmseg.structures import SegDataSample

from support.mmseg_pairs import TINY, build_pair
from swinseg.models.postprocess import predict_labels, without_padding_and_flip

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
    best, second = expected.seg_logits.data.topk(2, dim=0).values
    is_clear = best - second > 1e-3
    assert is_clear.float().mean() > 0.98
    assert torch.equal(
        found.pred_sem_seg.data[0][is_clear], expected.pred_sem_seg.data[0][is_clear]
    )


def test_predict__keeps_no_scores_unless_asked():
    _, ours = build_pair(TINY, channels=32, num_classes=7)
    with torch.inference_mode():
        result = ours.eval().predict(torch.randn(1, 3, 64, 64), samples((64, 64), (64, 64)))[0]
    assert 'seg_logits' not in result
    assert result.pred_sem_seg.data.shape == (1, 64, 64)


@pytest.mark.parametrize('test_cfg', [dict(mode='whole'), SLIDE], ids=['whole', 'slide'])
def test_predict__confidence_is_the_probability_of_the_chosen_class(test_cfg):
    _, ours = build_pair(TINY, channels=32, num_classes=7, test_cfg=test_cfg)
    image = torch.randn(1, 3, 96, 130)
    results = []
    for names in ({'keep_scores': True}, {'keep_scores': False, 'keep_confidence': True}):
        for name, value in names.items():
            setattr(ours, name, value)
        with torch.inference_mode():
            results.append(ours.eval().predict(image, samples((96, 130), (75, 101)))[0])
    scored, found = results
    assert 'confidence' not in scored
    expected = scored.seg_logits.data.softmax(0).amax(0)[None]
    torch.testing.assert_close(found.confidence.data, expected, atol=1e-5, rtol=0)


METAS = {
    'plain': {},
    'padded': dict(padding_size=(1, 2, 0, 3)),
    'padded by the preprocessor': dict(img_padding_size=(0, 5, 4, 0), padding_size=(9, 9, 9, 9)),
    'flipped': dict(flip=True, flip_direction='vertical', padding_size=(0, 0, 0, 2)),
}


@pytest.mark.parametrize('meta', METAS.values(), ids=METAS)
@pytest.mark.parametrize('num_classes', [1, 7])
@pytest.mark.parametrize('align_corners', [False, True])
def test_postprocess_result__labels_equal_mmsegs(meta, num_classes, align_corners):
    stock, ours = build_pair(TINY, channels=32, num_classes=num_classes)
    stock.align_corners = ours.align_corners = align_corners
    logits = 5 * torch.randn(2, num_classes, 48, 60, generator=torch.Generator().manual_seed(0))
    before = logits.clone()
    results = []
    for model in (stock, ours):
        batch = samples((48, 60), (75, 101), count=2)
        for sample in batch:
            sample.set_metainfo(meta)
        results.append(model.postprocess_result(logits, batch))
        assert results[-1] is batch
    for expected, found in zip(*results, strict=True):
        assert 'seg_logits' not in found
        assert found.pred_sem_seg.data.dtype == torch.uint8
        assert found.pred_sem_seg.data.shape == (1, 75, 101)
        assert torch.equal(found.pred_sem_seg.data.long(), expected.pred_sem_seg.data.long())
    assert torch.equal(logits, before)


def test_postprocess_result__without_samples_keeps_the_size():
    stock, ours = build_pair(TINY, channels=32, num_classes=7)
    logits = torch.randn(2, 7, 20, 30, generator=torch.Generator().manual_seed(0))
    for expected, found in zip(
        stock.postprocess_result(logits), ours.postprocess_result(logits), strict=True
    ):
        assert torch.equal(found.pred_sem_seg.data.long(), expected.pred_sem_seg.data)


@pytest.mark.parametrize('ignore_index', [255, -100])
def test_postprocess_result__mmsegs_metric_counts_the_same(ignore_index):
    stock, ours = build_pair(TINY, channels=32, num_classes=7)
    ours.decode_head.ignore_index = ignore_index
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 7, 20, 30, generator=generator)
    label = torch.randint(0, 7, (1, 40, 50), generator=generator)
    label[:, :9] = ignore_index
    figures = []
    for model in (stock, ours):
        metric = IoUMetric(ignore_index=ignore_index)
        metric.dataset_meta = {'classes': list('abcdefg')}
        sample = samples((20, 30), (40, 50))[0]
        sample.gt_sem_seg = PixelData(data=label)
        metric.process({}, [model.postprocess_result(logits, [sample])[0].to_dict()])
        figures.append(metric.results)
    for expected, found in zip(*figures, strict=True):
        for one, other in zip(expected, found, strict=True):
            assert torch.equal(one, other)


SLIDE_METAS = {**METAS, 'mirrored': dict(flip=True, flip_direction='horizontal')}


@pytest.mark.parametrize('meta', SLIDE_METAS.values(), ids=SLIDE_METAS)
@pytest.mark.parametrize('ori_shape', ['as it is', (75, 101), (140, 201)], ids=str)
@pytest.mark.parametrize('size', [(96, 130), (131, 50)], ids=str)
def test_predict__slides_to_mmsegs_labels_without_all_scores(monkeypatch, meta, ori_shape, size):
    stock, ours = build_pair(TINY, channels=32, num_classes=7, test_cfg=SLIDE)
    if meta.get('flip_direction') != 'vertical':
        monkeypatch.setattr(type(ours), 'slide_inference', None)
    left, right, top, bottom = meta.get('img_padding_size', meta.get('padding_size', (0,) * 4))
    inside = (size[0] - top - bottom, size[1] - left - right)
    shape = inside if ori_shape == 'as it is' else ori_shape
    images = torch.randn(2, 3, *size)
    results = []
    for model in (stock, ours):
        batch = samples(size, shape, count=2)
        for sample in batch:
            sample.set_metainfo(meta)
        with torch.inference_mode():
            results.append(model.eval().predict(images, batch))
        assert results[-1] is batch
    for expected, found in zip(*results, strict=True):
        assert 'seg_logits' not in found
        assert found.pred_sem_seg.data.shape == (1, *shape)
        scores = expected.seg_logits.data.topk(2, 0).values
        # Sums in another order may part classes that are as good as equal.
        is_clear = scores[0] - scores[1] > 1e-4
        differs = found.pred_sem_seg.data[0].long() != expected.pred_sem_seg.data[0]
        assert is_clear.float().mean() > 0.99
        assert not bool((differs & is_clear).any())


@pytest.mark.parametrize('num_classes', [1, 7])
@pytest.mark.parametrize('size', [None, (75, 101)], ids=str)
def test_slide_decision__labels_and_confidence_of_the_whole_logits(num_classes, size):
    cfg = dict(SLIDE, blend='gaussian', batch_size=2)
    _, ours = build_pair(TINY, channels=32, num_classes=num_classes, test_cfg=cfg)
    ours.eval()
    image, meta = torch.randn(3, 150, 131), dict(padding_size=(0, 3, 1, 0))
    with torch.inference_mode():
        found = ours.slide_labels(image, meta, size, with_confidence=True)
        logits = ours.slide_inference(image[None], [meta])[0]
    expected = predict_labels(
        without_padding_and_flip(logits, meta),
        size,
        threshold=ours.decode_head.threshold,
        with_confidence=True,
    )
    assert torch.equal(found[0], expected[0])
    # The exponential function rounds a pixel by its place in a block.
    torch.testing.assert_close(found[1], expected[1], atol=1e-6, rtol=0)


def test_predict__slides_without_samples():
    _, ours = build_pair(TINY, channels=32, num_classes=7, test_cfg=SLIDE)
    images = torch.randn(2, 3, 70, 90)
    with torch.inference_mode():
        found = ours.eval().predict(images)
        expected = ours.slide_inference(images, [{}, {}]).argmax(1)
    assert torch.equal(torch.cat([each.pred_sem_seg.data for each in found]), expected)


def test_slide_inference__leaves_the_callers_metas_alone():
    _, ours = build_pair(TINY, channels=32, num_classes=7, test_cfg=SLIDE)
    metas = [dict(img_shape=(96, 96), ori_shape=(96, 96))]
    before = copy.deepcopy(metas)
    with torch.inference_mode():
        ours.eval().slide_inference(torch.randn(1, 3, 96, 96), metas)
    assert metas == before


@pytest.mark.parametrize('step', ['val_step', 'test_step'])
@pytest.mark.parametrize('test_cfg', [dict(mode='whole'), SLIDE], ids=['whole', 'slide'])
def test_step__images_of_several_sizes_are_predicted_as_if_alone(step, test_cfg):
    _, ours = build_pair(TINY, channels=32, num_classes=7, test_cfg=test_cfg)
    ours.eval().data_preprocessor = SegDataPreProcessor()
    generator = torch.Generator().manual_seed(0)
    sizes = [(64, 80), (48, 64), (64, 80)]
    images = [torch.randn(3, *size, generator=generator) for size in sizes]
    batch = {'inputs': images, 'data_samples': [samples(size, size)[0] for size in sizes]}
    before = [sample.metainfo for sample in batch['data_samples']]
    with torch.no_grad():
        found = getattr(ours, step)(batch)
        alone = [
            getattr(ours, step)({'inputs': [image], 'data_samples': samples(size, size)})[0]
            for image, size in zip(images, sizes, strict=True)
        ]
    for size, one, other in zip(sizes, found, alone, strict=True):
        assert one.pred_sem_seg.data.shape == (1, *size)
        assert torch.equal(one.pred_sem_seg.data, other.pred_sem_seg.data)
    assert [sample.metainfo for sample in batch['data_samples']] == before
    assert len(batch['inputs']) == 3
