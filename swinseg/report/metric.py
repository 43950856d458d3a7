"""Measuring while a test loop runs: what a report needs of each image, before its labels are forgotten."""

from __future__ import annotations

import contextlib
import datetime
import functools
import operator
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import all_gather_object, get_rank, get_world_size, is_main_process
from mmengine.evaluator import BaseMetric
from mmseg.registry import METRICS
from numpy.typing import NDArray

from swinseg import files
from swinseg.evaluation import confusion
from swinseg.evaluation.bootstrap import bootstrap
from swinseg.evaluation.boundary import BoundaryCounts, boundary_counts
from swinseg.evaluation.calibration import Calibration, calibration_counts
from swinseg.evaluation.iou_metric import add_sparse, label_map, to_sparse
from swinseg.evaluation.object_size import ObjectSizes, object_sizes
from swinseg.evaluation.report import make_report, versions
from swinseg.report.record import EvaluationRecord, ImageRecord, ignored_value
from swinseg.visualization import save_indexed_png
from swinseg.visualization.palette import palette_or_default

_SPOOLED = re.compile(r'\d{6,}\.png')


@dataclass(frozen=True)
class _Sums:
    """What is summed over images."""

    boundary: BoundaryCounts
    sizes: ObjectSizes
    calibration: Calibration | None

    def __add__(self, other: _Sums) -> _Sums:
        calibrations = [c for c in (self.calibration, other.calibration) if c is not None]
        return _Sums(
            self.boundary + other.boundary,
            self.sizes + other.sizes,
            functools.reduce(operator.add, calibrations) if calibrations else None,
        )


@METRICS.register_module()
class ReportMetric(BaseMetric):
    """Measures each image for a report and writes its labels into the report's folder.

    It adds no figure to those of the other metrics. Of an image about a kilobyte stays in memory. All
    processes write into the same folder.

    Args:
        folder: the report's folder.
        ignore_index: label value of pixels that do not count.
        nan_to_num: as for ``MeanIoUMetric``.
        beta: as for ``MeanIoUMetric``.

    Raises:
        OutputError: the folder cannot be written.
    """

    # Not None, which mmengine takes for forgotten and warns of at each start.
    default_prefix = ''

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        ignore_index: int = 255,
        nan_to_num: float | None = None,
        beta: float = 1,
    ) -> None:
        super().__init__()
        self.folder = files.make_folder(folder)
        for name in ('predictions', 'truths'):
            files.make_folder(self.folder / name)
        self.ignore_index = ignore_index
        self.nan_to_num = nan_to_num
        self.beta = beta
        self._sums: _Sums | None = None
        # Whether the last image is a sampler's padded duplicate is known only at the end.
        self._last: _Sums | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Measure a batch.

        Args:
            data_batch: not used.
            data_samples: dicts with ``pred_sem_seg['data']`` and ``gt_sem_seg['data']``, (1, H, W) integer
                tensors, ``img_path``, and ``confidence['data']``, (1, H, W) float in [0, 1], where the model
                gives it.
        """
        for sample in data_samples:
            prediction = label_map(sample['pred_sem_seg']['data']).cpu().numpy()
            label = label_map(sample['gt_sem_seg']['data']).cpu().numpy()
            found = sample.get('confidence')
            confidence = None if found is None else found['data'][0].cpu().numpy()
            if self._last is not None:
                self._sums = self._last if self._sums is None else self._sums + self._last
            self._last = self._measure(prediction, label, confidence)
            image = self._image(prediction, label, confidence, self._last, sample)
            self._save(prediction, label, image)
            self.results.append(image)

    def _measure(
        self,
        prediction: NDArray[np.integer],
        label: NDArray[np.integer],
        confidence: NDArray[np.floating] | None,
    ) -> _Sums:
        counted = label != self.ignore_index
        options = dict(num_classes=len(self.classes), ignore_index=self.ignore_index)
        return _Sums(
            boundary_counts(prediction, label, **options),
            object_sizes(prediction, label, **options),
            None
            if confidence is None
            else calibration_counts(confidence[counted], (prediction == label)[counted]),
        )

    def _image(
        self,
        prediction: NDArray[np.integer],
        label: NDArray[np.integer],
        confidence: NDArray[np.floating] | None,
        sums: _Sums,
        sample: dict,
    ) -> ImageRecord:
        matrix = confusion.confusion_matrix(
            prediction, label, num_classes=len(self.classes), ignore_index=self.ignore_index
        )
        sure = np.nan
        if sums.calibration is not None and matrix.any():
            sure = float(sums.calibration.confidence_sum.sum() / matrix.sum())
        return ImageRecord(
            # Image i of the dataset belongs to process i mod P.
            index=get_rank() + len(self.results) * get_world_size(),
            image=str(sample['img_path']),
            label=str(sample.get('seg_map_path') or ''),
            height=label.shape[0],
            width=label.shape[1],
            counts=to_sparse(matrix),
            accuracy=confusion.pixel_accuracy(matrix),
            mean_iou=confusion.mean_iou(matrix),
            boundary_iou=confusion.mean_over_classes(sums.boundary.iou),
            confidence=sure,
        )

    def _save(
        self, prediction: NDArray[np.integer], label: NDArray[np.integer], image: ImageRecord
    ) -> None:
        # One color more than there are classes: with 256 of them, the ignored value needs a 16-bit file.
        colors = [*self.palette, (0, 0, 0)]
        truth = np.where(label == self.ignore_index, ignored_value(len(self.classes)), label)
        save_indexed_png(self.folder / image.prediction_file, prediction, colors)
        save_indexed_png(self.folder / image.truth_file, truth, colors)

    @property
    def classes(self) -> tuple[str, ...]:
        """K names."""
        return tuple((self.dataset_meta or {})['classes'])

    @property
    def palette(self) -> NDArray[np.uint8]:
        """(K, 3) uint8 RGB, the dataset's or the default."""
        given = (self.dataset_meta or {}).get('palette')
        return palette_or_default(given, num_classes=len(self.classes))

    def evaluate(self, size: int) -> dict[str, float]:
        """Bring the measurements of all processes together, for :meth:`record`.

        Args:
            size: number of images of the dataset.

        Returns:
            Nothing: the figures are those of the other metrics.
        """
        own = self.results[: len(range(get_rank(), size, get_world_size()))]
        parts = [self._sums] if len(own) < len(self.results) else [self._sums, self._last]
        gathered = all_gather_object((own, [part for part in parts if part is not None]))
        self.results.clear()
        self._sums = self._last = None
        images = [image for part in gathered for image in part[0]]
        self.compute_metrics(sorted(images, key=lambda image: image.index))
        self.sums = functools.reduce(operator.add, [sums for part in gathered for sums in part[1]])
        if is_main_process():
            self._remove_others()
        return {}

    def compute_metrics(self, results: list[ImageRecord]) -> dict[str, float]:
        """Keep what is known of all images."""
        self.images = tuple(results)
        return {}

    def record(
        self, *, config: str, checkpoint: str, dataset: str, protocol: str, seconds: float
    ) -> EvaluationRecord:
        """Return the record of the evaluation that has just ended, the same on every process.

        Args:
            config: path of the config.
            checkpoint: path or address of the weights.
            dataset: type of the test set.
            protocol: how the predictions were made, in words.
            seconds: wall time of the evaluation.
        """
        num_classes = len(self.classes)
        counts = [image.counts for image in self.images]
        return EvaluationRecord(
            config=config,
            checkpoint=checkpoint,
            dataset=dataset,
            protocol=protocol,
            date=datetime.datetime.now().astimezone().isoformat(timespec='seconds'),
            seconds=round(seconds, 2),
            versions=versions(),
            palette=self.palette,
            report=make_report(
                add_sparse(counts, num_classes),
                self.classes,
                metrics=('mIoU', 'mFscore'),
                nan_to_num=self.nan_to_num,
                beta=self.beta,
            ),
            bootstrap=bootstrap(counts, num_classes, nan_to_num=self.nan_to_num),
            boundary=self.sums.boundary,
            object_sizes=self.sums.sizes,
            calibration=self.sums.calibration,
            images=self.images,
        )

    def _remove_others(self) -> None:
        """Remove the label maps of padded duplicates, and of images that an earlier report had."""
        known = {Path(image.prediction_file).name for image in self.images}
        for name in ('predictions', 'truths'):
            for path in (self.folder / name).iterdir():
                if _SPOOLED.fullmatch(path.name) and path.name not in known:
                    with contextlib.suppress(OSError):
                        path.unlink()
