"""Calibration: whether a model is right as often as it says that it is (Guo et al., "On Calibration of Modern
Neural Networks", ICML 2017, equations 1 to 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swinseg.evaluation.confusion import Matrix, Rates

BINS = 15
"""Number of bins in the tables of the paper."""


@dataclass(frozen=True)
class Calibration:
    """Pixels by confidence, in M bins of equal width; bin m holds (m / M, (m + 1) / M].

    Attributes:
        pixels: (M,) int64.
        right: (M,) int64, those whose class is right.
        confidence_sum: (M,) float64, sum of their confidences.
    """

    pixels: Matrix
    right: Matrix
    confidence_sum: Rates

    def __add__(self, other: Calibration) -> Calibration:
        return Calibration(
            self.pixels + other.pixels,
            self.right + other.right,
            self.confidence_sum + other.confidence_sum,
        )

    @property
    def accuracy(self) -> Rates:
        """(M,) share of right pixels of each bin, nan where it is empty."""
        return self._mean(self.right)

    @property
    def confidence(self) -> Rates:
        """(M,) mean confidence of each bin, nan where it is empty."""
        return self._mean(self.confidence_sum)

    @property
    def expected_error(self) -> float:
        """ECE: the mean over pixels of ``|accuracy - confidence|`` of their bin, in [0, 1]; nan without pixels."""
        total = int(self.pixels.sum())
        return float(np.abs(self.right - self.confidence_sum).sum() / total) if total else np.nan

    def _mean(self, sums: NDArray[np.generic]) -> Rates:
        empty = np.full(len(self.pixels), np.nan)
        return np.divide(sums, self.pixels, out=empty, where=self.pixels > 0)


def calibration_counts(
    confidence: NDArray[np.floating], is_right: NDArray[np.bool_], *, bins: int = BINS
) -> Calibration:
    """Count pixels by confidence.

    Args:
        confidence: (N,) probability of the chosen class in [0, 1].
        is_right: (N,) whether that class is the true one.
        bins: M.
    """
    sure = confidence.astype(np.float64)
    index = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    return Calibration(
        pixels=np.bincount(index, minlength=bins),
        right=np.bincount(index[is_right], minlength=bins),
        confidence_sum=np.bincount(index, weights=sure, minlength=bins).astype(np.float64),
    )
