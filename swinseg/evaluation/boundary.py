"""Boundary IoU (Cheng et al., "Boundary IoU", CVPR 2021, equation 1): how well outlines agree.

Of each mask only the pixels count that lie within ``distance`` of its contour: for a class with the mask G
in the labels and P in the prediction, and their bands G_d and P_d, the figure is ``|G_d & P_d| / |G_d | P_d|``.
Over a dataset both numbers are summed before the division, as they are for IoU.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from swinseg.evaluation.confusion import Matrix, Rates

DISTANCE_RATIO = 0.02
"""Width of the band over the diagonal of the image: the paper's choice (section 5.1)."""


@dataclass(frozen=True)
class BoundaryCounts:
    """Pixels in the bands along the contours, one number per class, (K,) int64.

    Attributes:
        hits: pixels in both the band of the label and that of the prediction.
        labeled: pixels in the band of the label.
        predicted: pixels in the band of the prediction.
    """

    hits: Matrix
    labeled: Matrix
    predicted: Matrix

    def __add__(self, other: BoundaryCounts) -> BoundaryCounts:
        return BoundaryCounts(
            self.hits + other.hits,
            self.labeled + other.labeled,
            self.predicted + other.predicted,
        )

    @property
    def iou(self) -> Rates:
        """(K,) boundary IoU in [0, 1]; nan for a class that occurs in neither."""
        union = self.labeled + self.predicted - self.hits
        return np.divide(self.hits, union, out=np.full(len(union), np.nan), where=union > 0)


def boundary_counts(
    prediction: NDArray[np.integer],
    label: NDArray[np.integer],
    *,
    num_classes: int,
    ignore_index: int = 255,
    distance_ratio: float = DISTANCE_RATIO,
) -> BoundaryCounts:
    """Count the pixels along the contours of one image.

    What is ignored in the label is cut out of the prediction, too, so that both end there; the border of the
    image is a contour, as in the authors' code.

    Args:
        prediction: (H, W) class indices in [0, K) wherever the label counts.
        label: (H, W) class indices or ``ignore_index``.
        num_classes: K.
        ignore_index: label value of pixels that do not count.
        distance_ratio: width of the band over the diagonal; it is at least one pixel.
    """
    distance = max(1, round(distance_ratio * float(np.hypot(*label.shape))))
    is_counted = label != ignore_index
    true = np.where(is_counted, label, num_classes).astype(np.int32)
    predicted = np.where(is_counted, prediction, num_classes).astype(np.int32)
    in_true, in_predicted = contour_band(true, distance), contour_band(predicted, distance)
    hits = in_true & in_predicted & (true == predicted)

    def count(labels: NDArray[np.int32], selected: NDArray[np.bool_]) -> Matrix:
        return np.bincount(labels[selected], minlength=num_classes + 1)[:num_classes]

    return BoundaryCounts(count(true, hits), count(true, in_true), count(predicted, in_predicted))


def contour_band(labels: NDArray[np.int32], distance: int) -> NDArray[np.bool_]:
    """Mark the pixels that ``distance`` erosions by 3 x 3 pixels take away from the mask of their class.

    Args:
        labels: (H, W) of any values.
        distance: in pixels, at least 1, by the larger of the two coordinates.

    Returns:
        (H, W), true where another value or the outside of the image is that near.
    """
    inner = np.ones(labels.shape, np.uint8)
    inner[[0, -1]] = inner[:, [0, -1]] = 0
    vertical = labels[1:] != labels[:-1]
    horizontal = labels[:, 1:] != labels[:, :-1]
    falling = labels[1:, 1:] != labels[:-1, :-1]
    rising = labels[1:, :-1] != labels[:-1, 1:]
    for part, differs in (
        (inner[1:], vertical),
        (inner[:-1], vertical),
        (inner[:, 1:], horizontal),
        (inner[:, :-1], horizontal),
        (inner[1:, 1:], falling),
        (inner[:-1, :-1], falling),
        (inner[1:, :-1], rising),
        (inner[:-1, 1:], rising),
    ):
        part[differs] = 0
    # The nearest contour pixel is one of the own class, so one transform serves all classes.
    return cv2.distanceTransform(inner, cv2.DIST_C, 3) < distance
