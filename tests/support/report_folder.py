"""A report's folder, made of drawn images and labels, whose figures the evaluation's own functions compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from swinseg.evaluation import confusion
from swinseg.evaluation.bootstrap import bootstrap
from swinseg.evaluation.boundary import boundary_counts
from swinseg.evaluation.calibration import calibration_counts
from swinseg.evaluation.confusion import confusion_matrix, mean_over_classes
from swinseg.evaluation.iou_metric import add_sparse, to_sparse
from swinseg.evaluation.object_size import object_sizes
from swinseg.evaluation.report import make_report
from swinseg.report.record import EvaluationRecord, ImageRecord
from swinseg.visualization.palette import default_palette

HEIGHT, WIDTH = 48, 64


def make_record(
    folder: Path,
    *,
    classes: tuple[str, ...] = ('sky', 'tree', 'road', 'absent'),
    images: int = 6,
    seed: int = 0,
    calibrated: bool = True,
) -> EvaluationRecord:
    """Write photographs and label maps to ``folder`` and return their record, which is not saved.

    Image i has the same photograph and label for every ``seed``; the last class occurs nowhere.
    """
    count = len(classes)
    for name in ('photos', 'predictions', 'truths'):
        (folder / name).mkdir(parents=True, exist_ok=True)
    records, boundary, sizes, calibration = [], [], [], []
    for index in range(images):
        label = np.arange(HEIGHT)[:, None] * (count - 1) // HEIGHT + np.zeros((1, WIDTH), np.int64)
        label[:, :4] = 255
        photo = np.random.default_rng(index).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        rng = np.random.default_rng([seed, index])
        is_wrong = rng.random(label.shape) < 0.1 * index + 0.05 * seed
        prediction = np.where(
            is_wrong | (label == 255), rng.integers(0, count - 1, label.shape), label
        )
        confidence = rng.random(label.shape)
        record = ImageRecord(
            index=index,
            image=str(folder / f'photos/{index}.png'),
            label='',
            height=HEIGHT,
            width=WIDTH,
            counts=to_sparse(confusion_matrix(prediction, label, num_classes=count)),
            accuracy=float((prediction == label)[label != 255].mean()),
            mean_iou=mean_over_classes(
                confusion.iou(confusion_matrix(prediction, label, num_classes=count))
            ),
            boundary_iou=0.5,
            confidence=0.5,
        )
        records.append(record)
        boundary.append(boundary_counts(prediction, label, num_classes=count))
        sizes.append(object_sizes(prediction, label, num_classes=count))
        calibration.append(calibration_counts(confidence[label != 255], ~is_wrong[label != 255]))
        Image.fromarray(photo).save(record.image)
        Image.fromarray(label.astype(np.uint8)).save(folder / record.truth_file)
        Image.fromarray(prediction.astype(np.uint8)).save(folder / record.prediction_file)
    counts = [record.counts for record in records]
    return EvaluationRecord(
        config='config.py',
        checkpoint=f'weights_{seed}.pth',
        dataset='FolderDataset',
        protocol='single scale; whole image; no flip',
        date='2026-01-01T00:00:00+00:00',
        seconds=1.0,
        versions={'python': '3.11'},
        palette=default_palette(count),
        report=make_report(add_sparse(counts, count), classes, metrics=('mIoU', 'mFscore')),
        bootstrap=bootstrap(counts, count, resamples=50),
        boundary=sum(boundary[1:], boundary[0]),
        object_sizes=sum(sizes[1:], sizes[0]),
        calibration=sum(calibration[1:], calibration[0]) if calibrated else None,
        images=tuple(records),
    )
