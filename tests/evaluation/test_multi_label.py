import copy
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swinseg.evaluation import EvaluationError, MeanIoUMetric, MultiLabelMetric
from swinseg.evaluation.multi_label import best_thresholds, level_counts
from swinseg.evaluation.report import to_dict

NAMES = ('road', 'marking', 'shadow')


def sample(seed, size=(13, 17), thresholds=(0.5, 0.25, 0.75), classes=3):
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 256, (classes, *size), generator=generator).byte()
    noise = torch.randint(0, 256, levels.shape, generator=generator)
    label = (0.7 * levels + 0.3 * noise > 150).byte()
    label[torch.rand(label.shape, generator=generator) < 0.2] = 255
    return {
        'levels': {'data': levels},
        'gt_sem_seg': {'data': label},
        'thresholds': thresholds,
        'seg_map_path': f'{seed}.png',
    }


def evaluate(samples, names=NAMES, **options):
    metric = MultiLabelMetric(**options)
    metric.dataset_meta = {'classes': names}
    for each in samples:
        metric.process(None, [each])
    return metric, metric.evaluate(len(samples))


def by_hand(samples, thresholds):
    """Return (C,) tp, fp, fn of all images, and (C,) means of the images' IoU, from booleans."""
    totals, ious = np.zeros((3, len(NAMES))), []
    for each in samples:
        label = each['gt_sem_seg']['data'].numpy()
        mask = each['levels']['data'].numpy() / 256 >= np.array(thresholds)[:, None, None]
        counts = np.array(
            [
                [(m & (t == 1)).sum(), (m & (t == 0)).sum(), (~m & (t == 1)).sum()]
                for m, t in zip(mask, label, strict=True)
            ]
        ).T
        totals += counts
        union = counts.sum(0)
        ious.append(np.where(union > 0, counts[0] / np.maximum(union, 1), np.nan))
    return totals, np.nanmean(ious, axis=0)


def test_metric__figures_by_hand():
    samples = [sample(seed, size=(9 + seed, 7)) for seed in range(4)]
    metric, figures = evaluate(samples)
    (tp, fp, fn), image_iou = by_hand(samples, (0.5, 0.25, 0.75))
    expected = {
        'mIoU': (tp / (tp + fp + fn)).mean(),
        'mFscore': (2 * tp / (2 * tp + fp + fn)).mean(),
        'mPrecision': (tp / (tp + fp)).mean(),
        'mRecall': (tp / (tp + fn)).mean(),
        'microIoU': tp.sum() / (tp + fp + fn).sum(),
        'microFscore': 2 * tp.sum() / (2 * tp + fp + fn).sum(),
        'imageIoU': image_iou.mean(),
    }
    assert figures == {
        name: pytest.approx(100 * rate, abs=0.0051) for name, rate in expected.items()
    }
    report = metric.last_report
    np.testing.assert_allclose(report.per_class['imageIoU'], image_iou)
    np.testing.assert_array_equal(report.right_pixels, tp)
    np.testing.assert_array_equal(report.predicted_pixels, tp + fp)
    assert metric.chosen_thresholds is None


def test_metric__chosen_thresholds_are_the_best_of_all():
    samples = [sample(seed) for seed in range(3)]
    metric, figures = evaluate(samples, choose_thresholds=True)
    for index, chosen in enumerate(metric.chosen_thresholds):
        ious = []
        for level in range(1, 256):
            (tp, fp, fn), _ = by_hand(samples, [level / 256] * 3)
            ious.append((tp / (tp + fp + fn))[index])
        assert ious[round(chosen * 256) - 1] == max(ious)
        assert metric.last_report.per_class['IoU'][index] == pytest.approx(max(ious))
    assert figures['mIoU'] >= evaluate(samples)[1]['mIoU']


@settings(max_examples=30)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=5), st.integers(1, 3))
def test_metric__any_number_of_processes(seeds, world):
    from unittest import mock

    samples = [sample(seed) for seed in seeds]
    alone = evaluate(samples)[0].last_report
    module = 'swinseg.evaluation.multi_label'
    kept = []
    for rank in range(world):
        metric = MultiLabelMetric()
        metric.dataset_meta = {'classes': NAMES}
        shares = -(-len(samples) // world)
        for step in range(shares):
            metric.process(None, [samples[(step * world + rank) % len(samples)]])
        with (
            mock.patch(f'{module}.get_rank', return_value=rank),
            mock.patch(f'{module}.get_world_size', return_value=world),
            mock.patch(f'{module}.require_all_images'),
            mock.patch.object(
                metric, 'compute_metrics', lambda results: kept.append(results[0]) or {}
            ),
        ):
            metric.evaluate(len(samples))
    assert sum(each.seen for each in kept) == len(samples)
    total = sum(each.counts for each in kept)
    np.testing.assert_array_equal(total[:, 1].sum(1), alone.labeled_pixels)


def test_metric__too_few_images():
    metric = MultiLabelMetric()
    metric.dataset_meta = {'classes': NAMES}
    metric.process(None, [sample(0)])
    with pytest.raises(EvaluationError, match='1 of the 2 images of the dataset were evaluated'):
        metric.evaluate(2)


def test_metric__a_class_that_is_nowhere():
    each = sample(0)
    each['gt_sem_seg']['data'][1] = 0
    each['levels']['data'][1] = 3
    metric, figures = evaluate([each], choose_thresholds=True)
    assert np.isnan(metric.last_report.per_class['IoU'][1])
    assert metric.chosen_thresholds[1] == 0.25
    assert figures['mIoU'] == pytest.approx(
        100 * metric.last_report.per_class['IoU'][[0, 2]].mean(), abs=0.0051
    )
    assert to_dict(metric.last_report)['per_class'][1]['threshold'] == 0.25


def test_best_thresholds__of_equal_ones_next_to_half():
    counts = np.zeros((1, 2, 256), np.int64)
    counts[0, 1, 200], counts[0, 0, 40] = 5, 5
    assert best_thresholds(counts, otherwise=[0.5]) == (0.5,)
    counts[0, 0, 150] = 1
    assert best_thresholds(counts, otherwise=[0.5]) == (151 / 256,)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda s: s.pop('levels'), 'the prediction of 0.png has one class at each pixel'),
        (lambda s: s.pop('gt_sem_seg'), '0.png has no label to compare its prediction with'),
        (
            lambda s: s['gt_sem_seg'].update(data=s['gt_sem_seg']['data'][:1]),
            '0.png: the prediction has the shape (3, 13, 17) and the label (1, 13, 17)',
        ),
        (
            lambda s: s['gt_sem_seg']['data'][1].fill_(7),
            '0.png: the label of class 1 has the value 7, expected 0, 1 or ignore_index 255',
        ),
    ],
)
def test_metric__samples_that_cannot_be_counted(change, message):
    each = copy.deepcopy(sample(0))
    change(each)
    with pytest.raises(EvaluationError, match=re.escape(message)):
        evaluate([each])


def test_level_counts__counts_what_counts():
    each = sample(1)
    counts = level_counts(each['levels']['data'], each['gt_sem_seg']['data'])
    assert counts.sum() == int((each['gt_sem_seg']['data'] != 255).sum())


def test_mean_iou_metric__refuses_several_classes_at_a_pixel():
    metric = MeanIoUMetric()
    metric.dataset_meta = {'classes': NAMES}
    with pytest.raises(EvaluationError, match='are not measured by MeanIoUMetric'):
        metric.process(None, [{**sample(0), 'pred_sem_seg': {'data': torch.zeros(3, 13, 17)}}])
