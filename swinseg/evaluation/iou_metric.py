"""The metric of the validation and test loops: one confusion matrix for the whole dataset."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_reduce, get_rank, get_world_size
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmseg.registry import METRICS
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from swinseg import files
from swinseg.datasets.labels.dtype import label_dtype
from swinseg.evaluation.confusion import EvaluationError, Matrix, confusion_matrix
from swinseg.evaluation.report import Report, check_metrics, format_table, make_report
from swinseg.output_record import OutputRecord

SparseMatrix = tuple[NDArray[np.int32], NDArray[np.int64]]
"""Flat indices and values of a matrix's non-zero entries.

One entry per image stays in ``results`` until the end, because only then it is known which of them are
the padded duplicates of a distributed sampler. Dense matrices of 150 classes take 180 kB an image, the
non-zero entries about 1 kB.
"""


def to_sparse(matrix: Matrix) -> SparseMatrix:
    """Return the non-zero entries of a (K, K) matrix."""
    flat = matrix.reshape(-1)
    indices = np.flatnonzero(flat != 0)  # of booleans: a quarter of the time
    return indices.astype(np.int32), flat[indices]


def add_sparse(entries: Sequence[SparseMatrix], num_classes: int) -> Matrix:
    """Return the (K, K) int64 sum of sparse matrices."""
    total = np.zeros(num_classes**2, np.int64)
    for indices, values in entries:
        total[indices] += values
    return total.reshape(num_classes, num_classes)


def label_map(labels: Tensor) -> Tensor:
    """Return (H, W) integer labels of the data of a sample's field, such as ``pred_sem_seg``."""
    # mmseg's test-time augmentation gives (H, W) where the plain model gives (1, H, W), and its
    # binary heads give 0 and 1 as floats.
    labels = labels.reshape(labels.shape[-2:])
    return labels.to(torch.uint8) if labels.is_floating_point() else labels


def require_all_images(count: int, size: int) -> None:
    """Compare the number of images that all processes have evaluated with that of the dataset.

    Raises:
        EvaluationError: they differ.
    """
    if count != size:
        raise EvaluationError(
            f'{count} of the {size} images of the dataset were evaluated by {get_world_size()} '
            "process(es); use sampler=dict(type='DefaultSampler', shuffle=False) and drop_last=False in the "
            'data loader'
        )


@METRICS.register_module()
class MeanIoUMetric(BaseMetric):
    """aAcc, mIoU, mAcc and more, with the arguments, names and figures of mmseg's ``IoUMetric``.

    Three things differ: pixels are counted in int64 (mmseg adds float32, which stops counting exactly
    at 2**24 pixels of a class), a prediction or label outside the classes is an error, and the counts of
    several processes are added without files that all machines would have to share. The rule for absent
    classes is in :mod:`swinseg.evaluation.confusion`.

    Args:
        ignore_index: label value of pixels that do not count.
        iou_metrics: some of ``'mIoU'``, ``'mDice'``, ``'mFscore'``, or one of them.
        nan_to_num: replaces undefined rates of a class before the mean is taken; None leaves them
            out.
        beta: weight of recall in the F-score.
        collect_device: taken because mmseg's metric does; the counts go the way of the process group.
        output_dir: folder for the predicted label PNGs; None writes none. Values are those of the
            annotation files: with ``reduce_zero_label`` one above the class index.
        format_only: write the PNGs and compute nothing (a test set without labels).
        prefix: put before the metrics' names as ``prefix/mIoU``.
        keep_results: taken because mmseg's ``tools/test.py --out`` gives it beside ``output_dir``, where
            predictions are kept in any case.

    Attributes:
        last_report: the :class:`~swinseg.evaluation.report.Report` of the last evaluation, of all
            processes' images, on every process.

    Raises:
        EvaluationError: an unknown metric, or ``format_only`` without ``output_dir``.
    """

    # Not None, which mmengine takes for forgotten and warns of at each start.
    default_prefix = ''

    def __init__(
        self,
        ignore_index: int = 255,
        iou_metrics: Sequence[str] | str = ('mIoU',),
        nan_to_num: float | None = None,
        beta: float = 1,
        collect_device: str = 'cpu',
        output_dir: str | os.PathLike[str] | None = None,
        format_only: bool = False,
        prefix: str | None = None,
        keep_results: bool = False,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.ignore_index = ignore_index
        self.metrics = [iou_metrics] if isinstance(iou_metrics, str) else list(iou_metrics)
        check_metrics(self.metrics)
        if format_only and output_dir is None:
            raise EvaluationError(
                'format_only=True writes predictions and needs a folder for them; set output_dir'
            )
        self.nan_to_num = nan_to_num
        self.beta = beta
        self.output_dir = None if output_dir is None else Path(output_dir)
        if self.output_dir is not None:
            files.make_folder(self.output_dir)
            self._record = OutputRecord(self.output_dir)
        self.format_only = format_only
        self.last_report: Report | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch.

        Args:
            data_batch: not used.
            data_samples: dicts with ``pred_sem_seg['data']`` and ``gt_sem_seg['data']``, (1, H, W)
                integer tensors, and, with ``output_dir``, ``img_path``.

        Raises:
            EvaluationError: a sample cannot be counted; the message names its image.
            OutputError: a prediction cannot be written, or would replace a file of another name or hand.
        """
        for sample in data_samples:
            if self.format_only:
                # A placeholder keeps "one result per image", by which images are counted.
                self.results.append(to_sparse(np.zeros((1, 1), np.int64)))
            else:
                self.results.append(self._count(sample))
            if self.output_dir is not None:
                self._save(label_map(sample['pred_sem_seg']['data']).cpu().numpy(), sample)

    def _count(self, sample: dict) -> SparseMatrix:
        if 'gt_sem_seg' not in sample:
            raise EvaluationError(
                f'{sample.get("img_path") or "an image"} has no label to compare its prediction with; give the '
                'dataset its seg_map_path and its pipeline LoadLabel, or write predictions of images without '
                "labels by an evaluator=dict(type='MeanIoUMetric', format_only=True, output_dir='predictions')"
            )
        if 'levels' in sample:
            raise EvaluationError(
                'predictions with several classes at a pixel are not measured by MeanIoUMetric; set '
                "val_evaluator=dict(type='MultiLabelMetric', choose_thresholds=True) and "
                "test_evaluator=dict(type='MultiLabelMetric')"
            )
        try:
            matrix = confusion_matrix(
                label_map(sample['pred_sem_seg']['data']),
                label_map(sample['gt_sem_seg']['data']),
                num_classes=self.num_classes,
                ignore_index=self.ignore_index,
            )
        except EvaluationError as error:
            where = (
                sample.get('seg_map_path') or sample.get('img_path') or 'an image without a path'
            )
            raise EvaluationError(f'{where}: {error}') from error
        return to_sparse(matrix)

    def _save(self, labels: NDArray[np.integer], sample: dict) -> None:
        assert self.output_dir is not None
        offset = 1 if sample.get('reduce_zero_label', False) else 0
        dtype = label_dtype(self.num_classes, reserved=offset)
        path = self.output_dir / f'{Path(sample["img_path"]).stem}.png'
        source = self._record.source_name(sample['img_path'])
        if not self._record.may_replace(path, source=source):
            raise files.OutputError(
                f'{path} is there already and {self._record.why_not(path)}, but the prediction of '
                f'{sample["img_path"]} gets this name; choose a new folder as output_dir, and let no two images '
                'have one name'
            )
        with files.atomic_path(path) as temporary:
            Image.fromarray((labels + offset).astype(dtype)).save(temporary)
            self._record.add(path, temporary, source)

    @property
    def num_classes(self) -> int:
        """Number of class names of the dataset."""
        return len((self.dataset_meta or {})['classes'])

    def evaluate(self, size: int) -> dict[str, float]:
        """Add the counts of all processes and turn them into figures.

        Image i of the dataset belongs to process i mod P. mmengine's and PyTorch's samplers give the last
        processes an image more than they have, from the beginning of the dataset; it is left out.

        Args:
            size: number of images of the dataset.

        Returns:
            The figures of :meth:`compute_metrics`, the same on every process.

        Raises:
            EvaluationError: the processes together have not seen as many images.
        """
        own = self.results[: len(range(get_rank(), size, get_world_size()))]
        self.results.clear()
        counts = torch.zeros(1 + self.num_classes**2, dtype=torch.int64)
        counts[0] = len(own)
        if not self.format_only:
            counts[1:] = torch.from_numpy(add_sparse(own, self.num_classes).reshape(-1))
        all_reduce(counts)
        require_all_images(int(counts[0]), size)
        figures = self.compute_metrics([to_sparse(counts[1:].numpy())])
        return {
            f'{self.prefix}/{name}' if self.prefix else name: value
            for name, value in figures.items()
        }

    def compute_metrics(self, results: list[SparseMatrix]) -> dict[str, float]:
        """Turn the counts of all images into figures in percent, rounded to two decimals; log the
        table.
        """
        if self.format_only:
            print_log(f'predictions are in {self.output_dir}', logger='current')
            return {}
        self.last_report = make_report(
            add_sparse(results, self.num_classes),
            (self.dataset_meta or {})['classes'],
            metrics=self.metrics,
            nan_to_num=self.nan_to_num,
            beta=self.beta,
        )
        print_log('per class results:\n' + format_table(self.last_report), logger='current')
        return dict(self.last_report.headline)
