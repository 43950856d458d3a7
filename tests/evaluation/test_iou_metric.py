"""The metric against mmseg's ``IoUMetric``, the ADE20K authors' formulas, and itself over several processes."""

import multiprocessing
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.structures import PixelData
from mmseg.evaluation.metrics import IoUMetric
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample
from PIL import Image

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
    """Their ``intersectionAndUnion.m`` and ``demoEvaluation.m``: labels from 1, 0 is unlabelled."""
    num_classes = 150
    data = samples(5, num_classes, size=(83, 91))
    intersection, union = np.zeros((2, num_classes), np.float64)
    correct = labelled = 0
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
        labelled += np.sum(label > 0)
    iou = intersection / (np.finfo(np.float64).eps + union)

    found = run(MeanIoUMetric(nan_to_num=0), data, num_classes)
    assert found['mIoU'] == round(100 * iou.mean(), 2)
    assert found['aAcc'] == round(100 * correct / labelled, 2)
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


@settings(deadline=None, max_examples=25)
@given(ranks=st.integers(1, 5), images=st.integers(1, 9))
def test_results__any_number_of_processes_gives_the_same_figures(ranks, images):
    """The padded duplicates of a distributed sampler go, as mmengine's ``collect_results`` drops them."""
    data = samples(images, 4, size=(6, 7))
    alone = MeanIoUMetric()
    expected = run(alone, data, 4)
    parts = []
    for rank in range(ranks):
        metric = MeanIoUMetric()
        metric.dataset_meta = names(4)
        per_rank = -(-images // ranks)
        padded = [data[i % images] for i in range(per_rank * ranks)]
        for sample in padded[rank::ranks]:
            metric.process({}, [sample])
        parts.append(metric.results)
    # The order in which collect_results joins the ranks' lists.
    joined = [entry for entries in zip(*parts, strict=True) for entry in entries][:images]
    metric = MeanIoUMetric()
    metric.dataset_meta = names(4)
    assert metric.compute_metrics(joined) == expected
    np.testing.assert_array_equal(metric.last_report.matrix, alone.last_report.matrix)


def _evaluate_in_process(rank, port, folder):
    os.environ.update(
        RANK=str(rank), WORLD_SIZE='2', LOCAL_RANK=str(rank),
        MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port),
    )  # fmt: skip
    torch.distributed.init_process_group('gloo')
    data = samples(3, 11)
    metric = MeanIoUMetric(iou_metrics=ALL)
    metric.dataset_meta = names(11)
    for index in ([0, 2], [1, 0])[rank]:
        metric.process({}, [data[index]])
    figures = metric.evaluate(3)
    assert (metric.last_report is not None) == (rank == 0)
    Path(folder, f'{rank}.txt').write_text(repr(sorted(figures.items())))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == 'win32', reason='fork')
def test_evaluate__two_real_processes(tmp_path, unused_port):
    context = multiprocessing.get_context('fork')
    processes = [
        context.Process(target=_evaluate_in_process, args=(rank, unused_port, tmp_path))
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    expected = repr(sorted(run(MeanIoUMetric(iou_metrics=ALL), samples(3, 11), 11).items()))
    assert (tmp_path / '0.txt').read_text() == expected
    assert (tmp_path / '1.txt').read_text() == expected


@pytest.fixture
def unused_port():
    import socket

    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return server.getsockname()[1]


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
    written = np.array(Image.open(tmp_path / 'out' / 'street.v2.png'))
    expected = sample['pred_sem_seg']['data'][0].numpy() + int(reduce_zero_label)
    assert written.dtype == dtype
    np.testing.assert_array_equal(written, expected)


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
