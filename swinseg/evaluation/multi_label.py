"""Figures of merit of classes of which a pixel may have several, at all thresholds at once, and the best of these.

Shapes: C = classes; H, W = size of an image; L = 256 levels of a probability, see
:mod:`swinseg.evaluation.levels`. Counts are (C, 2, L) int64: ``counts[c, t, n]`` pixels whose probability of
class c has level n and that have the class (t = 1) or not (t = 0). Figures at threshold k are those of the masks
that have a pixel where its level is k or more. They are float64 in [0, 1], or nan where they are not defined:

- a class that is in no label and in no mask has no IoU, F-score, precision or recall;
- one that is in no label has no recall, and one that is in no mask no precision.

Means over classes leave nan out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_reduce, get_rank, get_world_size
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmseg.registry import METRICS
from numpy.typing import NDArray
from torch import Tensor

from swinseg.evaluation.confusion import EvaluationError, Rates, confusion_matrix, mean_over_classes
from swinseg.evaluation.iou_metric import require_all_images
from swinseg.evaluation.levels import LEVELS, lowest_level
from swinseg.evaluation.report import format_table, percent

Counts = NDArray[np.int64]

HEADLINE = (
    'mIoU', 'mFscore', 'mPrecision', 'mRecall', 'microIoU', 'microFscore', 'imageIoU',
)  # fmt: skip
"""What a validation gives: means over classes, figures of all classes' pixels together, means over images."""


@dataclass(frozen=True)
class MultiLabelReport:
    """Figures of one evaluation.

    Attributes:
        classes: C names.
        thresholds: of the classes, at which the figures are; multiples of 1/256.
        headline: :data:`HEADLINE` in percent, rounded to two decimals.
        per_class: column name (IoU, Fscore, Precision, Recall, imageIoU) -> (C,) float64 in [0, 1] or nan.
        labeled_pixels: (C,) that have the class.
        predicted_pixels: (C,) that are said to have it.
        right_pixels: (C,) that are both.
        counted_pixels: (C,) that count for the class.
    """

    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    headline: dict[str, float]
    per_class: dict[str, Rates]
    labeled_pixels: Counts
    predicted_pixels: Counts
    right_pixels: Counts
    counted_pixels: Counts

    @property
    def pixel_share(self) -> Rates:
        """(C,) share of the pixels that count which have a class."""
        return self.labeled_pixels / np.maximum(self.counted_pixels, 1)

    @property
    def remarks(self) -> list[str]:
        """Sentences below the table."""
        chosen = ', '.join(
            f'{name} {value:.3g}' for name, value in zip(self.classes, self.thresholds, strict=True)
        )
        return [f'thresholds: {chosen}']


def level_counts(levels: Tensor, label: Tensor, *, ignore_index: int = 255) -> Counts:
    """Count the pixels of each class by the level of its probability and by whether they have it.

    Args:
        levels: (C, H, W) uint8.
        label: (C, H, W) uint8: 0, 1 or ``ignore_index``.
        ignore_index: of what does not count.

    Returns:
        (C, 2, L)

    Raises:
        EvaluationError: the shapes differ, or the label has another value.
    """
    if levels.shape != label.shape:
        raise EvaluationError(
            f'the prediction has the shape {tuple(levels.shape)} and the label {tuple(label.shape)}, expected '
            '(classes, height, width) of both; give the dataset multi_label and the classes of the model, and let '
            "its pipeline end in dict(type='PackPlanes')"
        )
    counts = np.empty((len(levels), 2, LEVELS), np.int64)
    for index, (of_class, truth) in enumerate(zip(levels, label, strict=True)):
        joint = confusion_matrix(of_class, truth, num_classes=LEVELS, ignore_index=ignore_index)
        if joint[2:].any():
            value = int(np.flatnonzero(joint.sum(1))[-1])
            raise EvaluationError(
                f'the label of class {index} has the value {value}, expected 0, 1 or ignore_index {ignore_index}'
            )
        counts[index] = joint[:2]
    return counts


def at_thresholds(counts: Counts) -> tuple[Counts, Counts, Counts]:
    """Return the pixels of the masks at all thresholds.

    Args:
        counts: (..., 2, L), of one class or several.

    Returns:
        right: (..., L) pixels of the mask that have the class; column k is that of threshold k.
        predicted: (..., L) pixels of the mask.
        labeled: (..., 1) pixels that have the class.
    """
    from_level = counts[..., ::-1].cumsum(-1)[..., ::-1]
    return from_level[..., 1, :], from_level.sum(-2), from_level[..., 1, :1]


def iou_of(right: Counts, predicted: Counts, labeled: Counts) -> Rates:
    """Return the intersection over union, nan where there is neither."""
    return _rate(right, predicted + labeled - right)


def f_score_of(right: Counts, predicted: Counts, labeled: Counts) -> Rates:
    """Return the harmonic mean of precision and recall, nan where there is neither a label nor a mask."""
    return _rate(2 * right, predicted + labeled)


def _rate(part: Counts, whole: Counts) -> Rates:
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def best_thresholds(counts: Counts, *, otherwise: Sequence[float]) -> tuple[float, ...]:
    """Return the threshold of each class with the best IoU, of equal ones that next to 0.5.

    It is the one with the best F-score, too: F = 2 IoU / (1 + IoU) grows with the IoU.

    Args:
        counts: (C, 2, L)
        otherwise: of classes that are in no label, of which nothing can be learnt.
    """
    chosen = []
    for of_class, usual in zip(counts, otherwise, strict=True):
        right, predicted, labeled = at_thresholds(of_class)
        if not labeled[0]:
            chosen.append(lowest_level(usual) / LEVELS)
            continue
        iou = iou_of(right, predicted, labeled)
        best = 1 + np.flatnonzero(iou[1:] == iou[1:].max())  # 0 would be everything
        chosen.append(float(best[np.abs(best - LEVELS / 2).argmin()]) / LEVELS)
    return tuple(chosen)


class _Sums:
    """What is kept of all images: the memory does not grow with their number.

    Attributes:
        counts: (C, 2, L)
        image_iou: (C, L) sums of the IoU in each image where it is defined.
        images: (C, L) how many these are.
        seen: images in all.
    """

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes, 2, LEVELS), np.int64)
        self.image_iou = np.zeros((classes, LEVELS), np.float64)
        self.images = np.zeros((classes, LEVELS), np.int64)
        self.seen = 0

    def add(self, counts: Counts) -> None:
        self.counts += counts
        iou = iou_of(*at_thresholds(counts))
        self.image_iou += np.nan_to_num(iou)
        self.images += ~np.isnan(iou)
        self.seen += 1

    def reduce(self) -> None:
        """Add those of all processes."""
        for values in (self.counts, self.image_iou, self.images):
            total = torch.from_numpy(values.copy())
            all_reduce(total)
            values[...] = total.numpy()
        seen = torch.tensor([self.seen])
        all_reduce(seen)
        self.seen = int(seen)


def make_report(
    sums: _Sums, classes: Sequence[str], thresholds: Sequence[float]
) -> MultiLabelReport:
    """Turn counts into figures at the thresholds of the classes."""
    rows = np.arange(len(classes))
    level = np.array([lowest_level(each) for each in thresholds])
    right, predicted, labeled = at_thresholds(sums.counts)
    pixels = right[rows, level], predicted[rows, level], labeled[:, 0]
    per_class = {
        'IoU': iou_of(*pixels),
        'Fscore': f_score_of(*pixels),
        'Precision': _rate(pixels[0], pixels[1]),
        'Recall': _rate(pixels[0], pixels[2]),
        'imageIoU': _rate(sums.image_iou[rows, level], sums.images[rows, level]),
    }
    together = [each.sum(keepdims=True) for each in pixels]
    rates = {
        **{f'm{name}': mean_over_classes(per_class[name]) for name in ('IoU', 'Fscore', 'Precision', 'Recall')},
        'microIoU': float(iou_of(*together)[0]),
        'microFscore': float(f_score_of(*together)[0]),
        'imageIoU': mean_over_classes(per_class['imageIoU']),
    }  # fmt: skip
    return MultiLabelReport(
        classes=tuple(classes),
        thresholds=tuple((level / LEVELS).tolist()),
        headline={name: percent(rates[name]) for name in HEADLINE},
        per_class=per_class,
        labeled_pixels=pixels[2],
        predicted_pixels=pixels[1],
        right_pixels=pixels[0],
        counted_pixels=sums.counts.sum((1, 2)),
    )


@METRICS.register_module()
class MultiLabelMetric(BaseMetric):
    """IoU, F-score, precision and recall of classes of which a pixel may have several.

    ``mIoU``, ``mFscore``, ``mPrecision`` and ``mRecall`` are means over the classes (macro); ``microIoU`` and
    ``microFscore`` those of the pixels of all classes together; ``imageIoU`` the mean over the classes of the mean
    IoU of the images in which the class is in the label or in the mask.

    Args:
        ignore_index: label of what does not count.
        choose_thresholds: take the figures at the threshold of each class that is best for it; a training gives
            them to the model and its checkpoints after each validation. Without, those of the model count, as they
            should in a test.
        collect_device: taken because mmseg's metrics have it; the counts go the way of the process group.
        prefix: put before the figures' names as ``prefix/mIoU``.

    Attributes:
        last_report: of the last evaluation, of all processes' images, on every process.
        chosen_thresholds: of the last evaluation with ``choose_thresholds``, else None.
    """

    # Not None, which mmengine takes for forgotten and warns of at each start.
    default_prefix = ''

    def __init__(
        self,
        ignore_index: int = 255,
        choose_thresholds: bool = False,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.ignore_index = ignore_index
        self.choose_thresholds = choose_thresholds
        self.last_report: MultiLabelReport | None = None
        self.chosen_thresholds: tuple[float, ...] | None = None
        self._thresholds: tuple[float, ...] = ()

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch.

        Args:
            data_batch: not used.
            data_samples: dicts with ``levels['data']`` and ``gt_sem_seg['data']``, (C, H, W) uint8, and
                ``thresholds``, as ``SwinSegmentor(multi_label=True)`` gives them.

        Raises:
            EvaluationError: a sample cannot be counted; the message names its label.
        """
        for sample in data_samples:
            where = (
                sample.get('seg_map_path') or sample.get('img_path') or 'an image without a path'
            )
            if 'levels' not in sample:
                raise EvaluationError(
                    f'the prediction of {where} has one class at each pixel; set multi_label=True of '
                    "SwinSegmentor, or val_evaluator=dict(type='MeanIoUMetric')"
                )
            if 'gt_sem_seg' not in sample:
                raise EvaluationError(
                    f'{where} has no label to compare its prediction with; give the dataset its seg_map_path and '
                    'its pipeline LoadLabel'
                )
            self._thresholds = tuple(sample['thresholds'])
            levels = sample['levels']['data']
            label = sample['gt_sem_seg']['data'].to(levels.device)
            try:
                counts = level_counts(levels, label, ignore_index=self.ignore_index)
            except EvaluationError as error:
                raise EvaluationError(f'{where}: {error}') from error
            # The last image waits: it may be one that a sampler has taken from the beginning to fill up.
            if not self.results:
                self.results += [_Sums(len(counts)), None]
            if self.results[1] is not None:
                self.results[0].add(self.results[1])
            self.results[1] = counts

    def evaluate(self, size: int) -> dict[str, float]:
        """Add the counts of all processes and turn them into figures.

        Args:
            size: number of images of the dataset.

        Returns:
            The figures, the same on every process.

        Raises:
            EvaluationError: the processes together have not seen as many images.
        """
        classes = (self.dataset_meta or {})['classes']
        sums, last = self.results or (_Sums(len(classes)), None)
        self.results.clear()
        own = len(range(get_rank(), size, get_world_size()))
        if last is not None and sums.seen < own:
            sums.add(last)
        sums.reduce()
        require_all_images(sums.seen, size)
        figures = self.compute_metrics([sums])
        return {
            f'{self.prefix}/{name}' if self.prefix else name: value
            for name, value in figures.items()
        }

    def compute_metrics(self, results: list[_Sums]) -> dict[str, float]:
        """Turn the counts of all images into figures in percent, rounded to two decimals; log the table."""
        (sums,) = results
        thresholds = self._thresholds
        if self.choose_thresholds:
            thresholds = best_thresholds(sums.counts, otherwise=thresholds)
            self.chosen_thresholds = thresholds
        self.last_report = make_report(sums, (self.dataset_meta or {})['classes'], thresholds)
        print_log('per class results:\n' + format_table(self.last_report), logger='current')
        return dict(self.last_report.headline)
