"""The metric against mmseg's ``IoUMetric``, the ADE20K authors' formulas, and itself over several processes."""

import re

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.dataset import DefaultSampler
from mmengine.structures import PixelData
from mmseg.evaluation.metrics import IoUMetric
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample
from torch.utils.data import DistributedSampler

from support import processes
from swinseg.engine.distributed.launch import join
from swinseg.evaluation.confusion import EvaluationError
from swinseg.evaluation.iou_metric import MeanIoUMetric, add_sparse, to_sparse
from swinseg.files import OutputError

ALL = ['mIoU', 'mDice', 'mFscore']


def samples(count, num_classes, *, seed=0, size=(37, 53), right=0.6):
    """Return dicts as the evaluator passes them: two absent classes, one never predicted, ignored pixels."""
    generator = torch.Generator().manual_seed(seed)
    result = []
    for _ in range(count):
        label = torch.randint(0, num_classes - 2, (1, *size), generator=generator)
        wrong = torch.randint(1, num_classes - 1, (1, *size), generator=generator)
        prediction = torch.where(torch.rand(1, *size, generator=generator) < right, label, wrong)
        prediction[prediction == 0] = 1
        label[:, :4, :9] = 255
        sample = SegDataSample(
            gt_sem_seg=PixelData(data=label), pred_sem_seg=PixelData(data=prediction)
        )
        result.append(sample.to_dict())
    return result


def names(num_classes):
    return {'classes': tuple(f'class {i}' for i in range(num_classes))}


def run(metric, data, num_classes):
    metric.dataset_meta = names(num_classes)
    for sample in data:
        metric.process({}, [sample])
    return metric.evaluate(len(data))


@pytest.mark.parametrize('num_classes', [11, 150])
@pytest.mark.parametrize(
    'options',
    [
        {},
        {'iou_metrics': ALL},
        {'iou_metrics': ['mFscore'], 'beta': 2},
        {'iou_metrics': ['mDice', 'mIoU'], 'nan_to_num': 0},
        {'iou_metrics': ALL, 'nan_to_num': -1, 'prefix': 'val'},
        {'iou_metrics': 'mIoU', 'ignore_index': 3},
    ],
    ids=str,
)
def test_evaluate__names_and_figures_equal_mmsegs(num_classes, options):
    data = samples(4, num_classes)
    if options.get('ignore_index') is not None:
        for sample in data:
            sample['gt_sem_seg']['data'][sample['gt_sem_seg']['data'] == 255] = 3
    expected = run(IoUMetric(**options), data, num_classes)
    found = run(MeanIoUMetric(**options), data, num_classes)
    assert list(found) == list(expected)
    # mmseg rounds in float32; ours are the nearest float64 of the same two decimals.
    assert found == {name: round(float(value), 2) for name, value in expected.items()}


def test_evaluate__per_class_figures_equal_mmsegs():
    data = samples(3, 11)
    metric = MeanIoUMetric(iou_metrics=ALL)
    run(metric, data, 11)
    areas = [
        IoUMetric.intersect_and_union(
            sample['pred_sem_seg']['data'], sample['gt_sem_seg']['data'], 11, 255
        )
        for sample in data
    ]
    expected = IoUMetric.total_area_to_metrics(*(sum(a) for a in zip(*areas, strict=True)), ALL)
    expected.pop('aAcc')
    report = metric.last_report
    assert list(report.per_class) == list(expected)
    for name, values in report.per_class.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-6, err_msg=name)
    assert report.classes == names(11)['classes']


def test_evaluate__equals_the_ade20k_authors_evaluation():
    """Their ``intersectionAndUnion.m`` and ``demoEvaluation.m``: labels from 1, 0 is unlabeled."""
    num_classes = 150
    data = samples(5, num_classes, size=(83, 91))
    intersection, union = np.zeros((2, num_classes), np.float64)
    correct = labeled = 0
    for sample in data:
        label = sample['gt_sem_seg']['data'].numpy().ravel().astype(np.int64)
        label = np.where(label == 255, 0, label + 1)
        prediction = (sample['pred_sem_seg']['data'].numpy().ravel() + 1) * (label > 0)
        hits = prediction * (prediction == label)
        both, predicted, true = (
            np.bincount(values, minlength=num_classes + 1)[1:].astype(np.float64)
            for values in (hits, prediction, label)
        )
        intersection += both
        union += predicted + true - both
        correct += np.sum((prediction == label) & (label > 0))
        labeled += np.sum(label > 0)
    iou = intersection / (np.finfo(np.float64).eps + union)

    found = run(MeanIoUMetric(nan_to_num=0), data, num_classes)
    assert found['mIoU'] == round(100 * iou.mean(), 2)
    assert found['aAcc'] == round(100 * correct / labeled, 2)
    # The class that occurs nowhere counts as 0 there and is left out by mmseg's rule.
    present = union > 0
    assert present.sum() < num_classes
    assert run(MeanIoUMetric(), data, num_classes)['mIoU'] == round(100 * iou[present].mean(), 2)


def test_evaluate__counts_exactly_beyond_float32():
    """Areas added in float32, as mmseg does, lose single pixels from 2**24 of a class on."""
    metric = MeanIoUMetric()
    metric.dataset_meta = names(2)
    many = np.array([[2**24, 0], [0, 0]])
    metric.results = [to_sparse(many)] + [to_sparse(np.array([[1, 0], [0, 0]]))] * 5
    metric.evaluate(6)
    assert metric.last_report.matrix[0, 0] == 2**24 + 5


def test_process__takes_what_test_time_augmentation_gives():
    """``SegTTAModel`` leaves predictions without the leading axis."""
    data = samples(2, 11)
    expected = run(MeanIoUMetric(), data, 11)
    for sample in data:
        sample['pred_sem_seg']['data'] = sample['pred_sem_seg']['data'][0]
    assert run(MeanIoUMetric(), data, 11) == expected


def test_process__takes_the_floats_of_a_binary_head():
    data = samples(2, 4, size=(9, 9))
    for sample in data:
        for field in ('pred_sem_seg', 'gt_sem_seg'):
            values = sample[field]['data']
            sample[field]['data'] = torch.where(values == 255, 255, values % 2)
    expected = run(IoUMetric(), data, 2)
    for sample in data:
        sample['pred_sem_seg']['data'] = sample['pred_sem_seg']['data'].float()
    found = run(MeanIoUMetric(), data, 2)
    assert found == {name: round(float(value), 2) for name, value in expected.items()}


def test_process__an_image_one_pixel_high():
    data = samples(1, 11, size=(1, 300))
    assert run(MeanIoUMetric(), data, 11)['aAcc'] > 0


def test_process__a_wrong_label_names_its_file():
    (sample,) = samples(1, 11)
    sample['gt_sem_seg']['data'][0, 20, 20] = 12
    sample['seg_map_path'] = 'labels/street.png'
    with pytest.raises(EvaluationError, match=r'^labels/street\.png: a label .* but 12 was found'):
        run(MeanIoUMetric(), [sample], 11)


@pytest.mark.parametrize('name', ['photo.png', None])
def test_process__an_image_without_label_is_named(name):
    metric = MeanIoUMetric()
    metric.dataset_meta = {'classes': names(3)}
    sample = {'pred_sem_seg': {'data': torch.zeros(1, 4, 4, dtype=torch.uint8)}, 'img_path': name}
    with pytest.raises(
        EvaluationError, match=rf'^{name or "an image"} has no label .* format_only=True'
    ):
        metric.process(None, [sample])


def test_results__are_small():
    """180 kB for each of 2,000 images would be 360 MB."""
    metric = MeanIoUMetric()
    metric.dataset_meta = names(150)
    label = torch.zeros(1, 500, 700, dtype=torch.long)
    for index in range(12):
        label[:, index * 40 :] = index
    metric.process({}, [{'pred_sem_seg': {'data': label}, 'gt_sem_seg': {'data': label}}])
    (entry,) = metric.results
    assert sum(array.nbytes for array in entry) < 1000


@given(st.lists(st.integers(0, 3), min_size=9, max_size=9), st.integers(1, 4))
def test_to_sparse__then_add_is_the_identity(counts, repetitions):
    matrix = np.array(counts, np.int64).reshape(3, 3)
    total = add_sparse([to_sparse(matrix)] * repetitions, 3)
    np.testing.assert_array_equal(total, matrix * repetitions)


def _evaluated_together(sampler_type, counts, options):
    """Return figures and matrix of sets of each size in ``counts``, shared out by a sampler."""
    join('pytorch')
    found = []
    for count in counts:
        data = samples(count, 4, size=(6, 7))
        metric = MeanIoUMetric(**options)
        metric.dataset_meta = names(4)
        for index in sampler_type(data, shuffle=False):
            metric.process({}, [data[index]])
        found.append((metric.evaluate(count), metric.last_report.matrix))
    return found


@pytest.mark.parametrize('sampler_type', [DefaultSampler, DistributedSampler])
@pytest.mark.parametrize('number', [2, 3])
def test_evaluate__any_number_of_processes_gives_the_same_matrix(tmp_path, number, sampler_type):
    """The images that samplers repeat for the last processes count once."""
    counts, options = (1, 2, 3, 4, 5, 7), {'iou_metrics': ALL, 'prefix': 'val'}
    arguments = (sampler_type, counts, options)
    parts = processes.run(_evaluated_together, *arguments, count=number, folder=tmp_path)
    for found in processes.values(parts):
        for count, (figures, matrix) in zip(counts, found, strict=True):
            alone = MeanIoUMetric(**options)
            assert run(alone, samples(count, 4, size=(6, 7)), 4) == pytest.approx(
                figures, rel=0, nan_ok=True
            )
            np.testing.assert_array_equal(matrix, alone.last_report.matrix)
            assert matrix.sum() == count * (6 * 7 - 4 * 7)


def _evaluated_without_the_last():
    join('pytorch')
    metric = MeanIoUMetric()
    metric.dataset_meta = names(4)
    data = samples(5, 4)
    for index in DistributedSampler(data, shuffle=False, drop_last=True):
        metric.process({}, [data[index]])
    with pytest.raises(EvaluationError) as caught:
        metric.evaluate(5)
    return str(caught.value)


def test_evaluate__an_image_that_nobody_evaluated_is_an_error(tmp_path):
    found = processes.run(_evaluated_without_the_last, count=2, folder=tmp_path)
    for message in processes.values(found):
        assert re.match('4 of the 5 images .* by 2 process.*DefaultSampler', message)


@pytest.mark.parametrize(
    ('num_classes', 'reduce_zero_label', 'dtype'),
    [(150, True, np.uint8), (150, False, np.uint8), (256, False, np.uint8), (256, True, np.uint16)],
)
def test_output_dir__holds_the_annotation_files_values(
    tmp_path, num_classes, reduce_zero_label, dtype
):
    (sample,) = samples(1, num_classes)
    sample['pred_sem_seg']['data'][0, 0, 0] = num_classes - 1
    sample |= {'img_path': 'x/street.v2.jpg', 'reduce_zero_label': reduce_zero_label}
    found = run(MeanIoUMetric(format_only=True, output_dir=tmp_path / 'out'), [sample], num_classes)
    assert found == {}
    # Not by Pillow, whose older versions widen 16 bits.
    written = cv2.imread(str(tmp_path / 'out' / 'street.v2.png'), cv2.IMREAD_UNCHANGED)
    expected = sample['pred_sem_seg']['data'][0].numpy() + int(reduce_zero_label)
    assert written.dtype == dtype
    np.testing.assert_array_equal(written, expected)


def test_output_dir__loses_no_file(tmp_path):
    (sample,) = samples(1, 3)
    out = tmp_path / 'out'

    def write(image):
        metric = MeanIoUMetric(format_only=True, output_dir=out)
        run(metric, [{**sample, 'img_path': str(tmp_path / image)}], 3)

    for _ in range(2):  # a validation that comes again
        write('x/street.jpg')
    written = (out / 'street.png').read_bytes()
    with pytest.raises(
        OutputError, match=r'street\.png is there already and it was made from .*x/st'
    ):
        write('y/street.jpg')
    assert (out / 'street.png').read_bytes() == written
    (out / 'lane.png').write_text('the label, as output_dir is the folder of labels')
    with pytest.raises(
        OutputError, match=r'lane\.png is there already and no earlier call wrote it'
    ):
        write('x/lane.jpg')
    assert (out / 'lane.png').read_text().startswith('the label')


def test_output_dir__that_cannot_be_made(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OutputError, match='cannot write to the output folder'):
        MeanIoUMetric(output_dir=tmp_path / 'file' / 'out')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'iou_metrics': ['mIoU', 'mApple']}, 'must name some of mIoU, mDice, mFscore, but'),
        ({'iou_metrics': []}, 'must name some of'),
        ({'format_only': True}, 'set output_dir'),
    ],
)
def test_init__bad_arguments(options, message):
    with pytest.raises(EvaluationError, match=message):
        MeanIoUMetric(**options)


def test_registry__a_config_can_name_it():
    metric = METRICS.build(dict(type='MeanIoUMetric', iou_metrics=['mIoU'], beta=2))
    assert isinstance(metric, MeanIoUMetric)
