"""Intervals of figures over images (Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979).

As many images as there are are drawn with replacement, many times; of the figures of the draws, the middle
``level`` is the interval (the percentile method). It tells how far a figure depends on which images happened to
be in the set. It does not tell how far another training would be from this one.

Shapes: K = classes; N = images.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swinseg.evaluation.confusion import Rates
from swinseg.evaluation.iou_metric import SparseMatrix
from swinseg.evaluation.report import percent

LEVEL = 0.95
RESAMPLES = 1000

# Resamples that are computed at once, so that the draws of 20,000 images take 16 MB.
_BLOCK = 100


@dataclass(frozen=True)
class Interval:
    """The ends of an interval.

    Attributes:
        low: lower end, in percent.
        high: upper end, in percent.
    """

    low: float
    high: float


@dataclass(frozen=True)
class Bootstrap:
    """How far the figures depend on which images were drawn.

    Attributes:
        headline: intervals of ``aAcc``, ``mIoU`` and ``mAcc``, in percent as ``Report.headline``.
        iou: (K, 2) float64, lower and upper end of the IoU of each class in [0, 1]; nan for a class that
            does not occur.
        level: share of the resamples that an interval covers, such as 0.95.
        resamples: how many times as many images were drawn anew.
    """

    headline: dict[str, Interval]
    iou: Rates
    level: float
    resamples: int


def bootstrap(
    counts: Sequence[SparseMatrix],
    num_classes: int,
    *,
    nan_to_num: float | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Bootstrap:
    """Compute the intervals of aAcc, mIoU, mAcc and of each class's IoU.

    Args:
        counts: confusion matrices of N images, N at least 1.
        num_classes: K.
        nan_to_num: as for :func:`swinseg.evaluation.report.make_report`; None leaves a class that does not
            occur in a draw out of its means.
        level: share of the resamples that an interval covers.
        resamples: number of draws.
        seed: of the draws; the same seed gives the same intervals.
    """
    areas = _areas(counts, num_classes)
    rng = np.random.default_rng(seed)
    drawn_iou = np.empty((resamples, num_classes))
    drawn_accuracy = np.empty((resamples, num_classes))
    drawn_total = np.empty(resamples)
    for start in range(0, resamples, _BLOCK):
        block = slice(start, min(start + _BLOCK, resamples))
        weights = np.stack(
            [
                np.bincount(rng.integers(len(counts), size=len(counts)), minlength=len(counts))
                for _ in range(block.start, block.stop)
            ]
        )
        # Sums of whole numbers below 2^53: exact in float64, and a product of matrices is fast there.
        hits, labeled, predicted = (weights.astype(np.float64) @ area for area in areas)
        drawn_iou[block] = _divide(hits, labeled + predicted - hits)
        drawn_accuracy[block] = _divide(hits, labeled)
        drawn_total[block] = _divide(hits.sum(1), labeled.sum(1))
    if nan_to_num is not None:
        for figures in (drawn_iou, drawn_accuracy, drawn_total):
            np.nan_to_num(figures, copy=False, nan=nan_to_num)
    tails = [(1 - level) / 2, (1 + level) / 2]
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Mean of empty slice|All-NaN slice', RuntimeWarning)
        headline = {
            name: Interval(*map(percent, np.nanquantile(figures, tails)))
            for name, figures in (
                ('aAcc', drawn_total),
                ('mIoU', np.nanmean(drawn_iou, axis=1)),
                ('mAcc', np.nanmean(drawn_accuracy, axis=1)),
            )
        }
        per_class = np.nanquantile(drawn_iou, tails, axis=0).T
    return Bootstrap(headline, per_class, level, resamples)


def _areas(counts: Sequence[SparseMatrix], num_classes: int) -> NDArray[np.float64]:
    """Return (3, N, K) pixels: right, of the label, of the prediction."""
    areas = np.zeros((3, len(counts), num_classes))
    for image, (indices, pixels) in enumerate(counts):
        label, prediction = np.divmod(indices, num_classes)
        is_hit = label == prediction
        areas[0, image, label[is_hit]] = pixels[is_hit]
        np.add.at(areas[1, image], label, pixels)
        np.add.at(areas[2, image], prediction, pixels)
    return areas


def _divide(numerator: Rates, denominator: Rates) -> Rates:
    empty = np.full(numerator.shape, np.nan)
    return np.divide(numerator, denominator, out=empty, where=denominator > 0)
