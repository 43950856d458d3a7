"""What a report is told of an evaluation, against the figures computed from all images at once."""

import pickle

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler

from support import processes
from swinseg.engine import evaluate, load_config
from swinseg.engine.distributed.launch import join
from swinseg.errors import UserError
from swinseg.evaluation import confusion
from swinseg.evaluation.boundary import boundary_counts
from swinseg.evaluation.calibration import calibration_counts
from swinseg.evaluation.object_size import object_sizes
from swinseg.report.metric import ReportMetric
from swinseg.report.storage import load_record, read_labels

HOW = dict(
    config='c.py', checkpoint='w.pth', dataset='FolderDataset', protocol='whole', seconds=1.0
)


def samples(count, num_classes=4, *, ignored=255, with_confidence=True):
    """Return dicts as the evaluator passes them, of several sizes; the last class is absent."""
    result = []
    for index in range(count):
        generator = torch.Generator().manual_seed(index)
        size = (1, 20 + index, 33)
        coarse = torch.randint(0, num_classes - 1, (1, 7, 7), generator=generator)
        label = coarse.repeat_interleave(6, 1).repeat_interleave(6, 2)[:, : size[1], : size[2]]
        prediction = torch.randint(0, num_classes - 1, size, generator=generator)
        is_kept = torch.rand(size, generator=generator) < 0.8
        sample = {
            'pred_sem_seg': {'data': torch.where(is_kept, label, prediction)},
            'gt_sem_seg': {'data': label.masked_fill(torch.arange(33) < 3, ignored)},
            'img_path': f'photos/{index}.jpg',
            'seg_map_path': f'labels/{index}.png',
        }
        if with_confidence:
            sample['confidence'] = {'data': torch.rand(size, generator=generator)}
        result.append(sample)
    return result


def measure(folder, data, indices=None, *, num_classes=4, **options):
    metric = ReportMetric(folder, **options)
    metric.dataset_meta = {'classes': [f'class {i}' for i in range(num_classes)]}
    for index in range(len(data)) if indices is None else indices:
        metric.process({}, [data[index]])
    assert metric.evaluate(len(data)) == {}
    return metric.record(**HOW)


def maps(data):
    return [
        (sample['pred_sem_seg']['data'][0].numpy(), sample['gt_sem_seg']['data'][0].numpy())
        for sample in data
    ]


@pytest.mark.parametrize('ignored', [255, -1])
def test_record__figures_are_those_of_all_images(tmp_path, ignored):
    data = samples(5, ignored=ignored)
    record = measure(tmp_path, data, ignore_index=ignored)
    rule = dict(num_classes=4, ignore_index=ignored)
    matrices = [confusion.confusion_matrix(*pair, **rule) for pair in maps(data)]
    np.testing.assert_array_equal(record.report.matrix, sum(matrices))
    for found, matrix in zip(record.images, matrices, strict=True):
        np.testing.assert_array_equal(found.matrix(4), matrix)
        assert found.mean_iou == confusion.mean_iou(matrix)
        assert found.accuracy == confusion.pixel_accuracy(matrix)
    boundary = [boundary_counts(*pair, **rule) for pair in maps(data)]
    np.testing.assert_array_equal(record.boundary.hits, sum(part.hits for part in boundary))
    sizes = [object_sizes(*pair, **rule) for pair in maps(data)]
    np.testing.assert_array_equal(record.object_sizes.objects, sum(s.objects for s in sizes))
    # Of all counted pixels of all images in one row.
    counted = [label != ignored for _, label in maps(data)]
    confidence = np.concatenate(
        [s['confidence']['data'][0].numpy()[c] for s, c in zip(data, counted, strict=True)]
    )
    is_right = np.concatenate([(p == t)[c] for (p, t), c in zip(maps(data), counted, strict=True)])
    expected = calibration_counts(confidence, is_right)
    np.testing.assert_array_equal(record.calibration.pixels, expected.pixels)
    np.testing.assert_array_equal(record.calibration.right, expected.right)
    assert record.calibration.expected_error == pytest.approx(expected.expected_error, abs=1e-9)
    interval = record.bootstrap.headline['mIoU']
    assert interval.low < record.report.headline['mIoU'] < interval.high


@pytest.mark.parametrize('num_classes', [4, 255, 256, 300])
def test_process__writes_the_labels(tmp_path, num_classes):
    data = samples(2, num_classes, ignored=1000)
    record = measure(tmp_path, data, num_classes=num_classes, ignore_index=1000)
    assert record.ignored_value >= num_classes
    for image, (prediction, label) in zip(record.images, maps(data), strict=True):
        np.testing.assert_array_equal(read_labels(tmp_path, image.prediction_file), prediction)
        truth = np.where(label == 1000, record.ignored_value, label)
        np.testing.assert_array_equal(read_labels(tmp_path, image.truth_file), truth)


def test_record__without_confidences(tmp_path):
    record = measure(tmp_path, samples(2, with_confidence=False))
    assert record.calibration is None
    assert np.isnan(record.images[0].confidence)


def test_record__an_image_in_which_nothing_counts(tmp_path):
    data = samples(3)
    data[1]['gt_sem_seg']['data'][:] = 255
    record = measure(tmp_path, data)
    assert np.isnan([record.images[1].mean_iou, record.images[1].confidence]).all()
    assert [image.index for image in record.worst_first()] in ([0, 2], [2, 0])


def test_evaluate__leaves_no_label_maps_of_an_earlier_report(tmp_path):
    measure(tmp_path, samples(4))
    kept = tmp_path / 'truths' / 'mine.png'
    kept.write_bytes(b'')
    record = measure(tmp_path, samples(2))
    found = sorted(path.name for path in (tmp_path / 'truths').iterdir())
    assert found == ['000000.png', '000001.png', 'mine.png']
    assert len(record.images) == 2


def test_process__keeps_little_of_an_image(tmp_path):
    metric = ReportMetric(tmp_path)
    metric.dataset_meta = {'classes': [f'class {i}' for i in range(150)]}
    (sample,) = samples(1, 150)
    sizes = []
    for _ in range(3):
        metric.process({}, [sample])
        sizes.append(len(pickle.dumps((metric.results, metric._sums, metric._last))))
    # The first image brings the sums with it, the second those of all images before the last.
    assert sizes[2] - sizes[1] < 2000


def _measure_together(folder, counts):
    join('pytorch')
    found = []
    for count in counts:
        data = samples(count)
        record = measure(folder / str(count), data, DefaultSampler(data, shuffle=False))
        found.append((record.report.matrix, record.boundary.iou, record.object_sizes.iou_sum,
                      record.calibration.pixels, record.bootstrap.headline['mIoU'],
                      [image.image for image in record.images]))  # fmt: skip
    return found


def test_evaluate__three_processes_measure_each_image_once(tmp_path):
    """Samplers repeat images for the last processes, and of one image two processes have none."""
    counts = (1, 4, 5)
    outcomes = processes.run(_measure_together, tmp_path / 'many', counts, count=3, folder=tmp_path)
    for place, count in enumerate(counts):
        alone = measure(tmp_path / f'alone_{count}', samples(count))
        for found in processes.values(outcomes):
            matrix, boundary, sizes, pixels, interval, images = found[place]
            np.testing.assert_array_equal(matrix, alone.report.matrix)
            np.testing.assert_array_equal(boundary, alone.boundary.iou)
            np.testing.assert_allclose(sizes, alone.object_sizes.iou_sum, rtol=1e-12)
            np.testing.assert_array_equal(pixels, alone.calibration.pixels)
            assert interval == alone.bootstrap.headline['mIoU']
            assert images == [f'photos/{i}.jpg' for i in range(count)]
        assert len(list((tmp_path / 'many' / str(count) / 'truths').iterdir())) == count


def test_evaluate__report(write_tiny_config, tmp_path, tiny_run):
    cfg = load_config(write_tiny_config())
    checkpoint, folder = tiny_run / 'iter_4.pth', tmp_path / 'report'
    plain = evaluate(cfg, checkpoint, work_dir=tmp_path / 'work')
    result = evaluate(cfg, checkpoint, report=folder, shown=1, work_dir=tmp_path / 'work')
    assert plain.page is None
    assert result.page.parent == folder
    assert result == plain
    record = load_record(folder)
    np.testing.assert_array_equal(record.report.matrix, plain.report.matrix)
    assert plain.items() <= record.report.headline.items()
    assert len(record.images) == plain.images
    assert record.calibration.pixels.sum() == plain.report.matrix.sum()
    assert record.protocol == str(plain.protocol)


@pytest.mark.parametrize(('kind', 'has'), [('SwinSegmentor', True), ('EncoderDecoder', False)])
def test_evaluate__report_of_averaged_scores(write_tiny_config, tmp_path, tiny_run, kind, has):
    """A segmentor of mmseg's own tells no confidences."""
    evaluate(
        load_config(write_tiny_config(), {'model.type': kind}), tiny_run / 'iter_4.pth', tta=True,
        report=tmp_path / 'report', work_dir=tmp_path / 'work',
    )  # fmt: skip
    assert (load_record(tmp_path / 'report').calibration is not None) == has


@pytest.mark.parametrize(
    ('options', 'shown', 'sentence'),
    [
        ({'test_evaluator.format_only': True}, 8, 'test_evaluator has format_only=True'),
        ({}, 0, 'at least one of the worst images, but 0 was asked for'),
    ],
)
def test_evaluate__report_that_cannot_be(
    write_tiny_config, tmp_path, tiny_run, options, shown, sentence
):
    with pytest.raises(UserError, match=sentence):
        evaluate(
            load_config(write_tiny_config(), options), tiny_run / 'iter_4.pth', shown=shown,
            report=tmp_path / 'report', work_dir=tmp_path / 'work',
        )  # fmt: skip
    assert not (tmp_path / 'report').exists()
