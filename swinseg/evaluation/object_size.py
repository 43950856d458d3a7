"""IoU against the size of objects: the component-wise IoU of Chan et al. ("SegmentMeIfYouCan", NeurIPS 2021
Datasets and Benchmarks, equation 2).

An object is a connected region of a class in the label, k. With K(k), the connected regions of the same class
in the prediction that touch it, and A(k), the pixels of the other objects of its class, the figure is
``sIoU(k) = |k & K(k)| / |(k | K(k)) - A(k)|``: two objects that the prediction joins are not blamed for one
another. Pixels that are ignored count nowhere.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from swinseg.evaluation.confusion import Matrix, Rates

SIDES = (16, 32, 64, 128, 256)
"""Where size bins part, as the side of a square of the same area, in pixels."""


@dataclass(frozen=True)
class ObjectSizes:
    """Objects by class and size; bin b holds areas in [SIDES[b - 1]^2, SIDES[b]^2), six bins in all.

    Attributes:
        objects: (K, 6) int64, how many.
        iou_sum: (K, 6) float64, the sum of their component-wise IoU.
    """

    objects: Matrix
    iou_sum: Rates

    def __add__(self, other: ObjectSizes) -> ObjectSizes:
        return ObjectSizes(self.objects + other.objects, self.iou_sum + other.iou_sum)

    @property
    def iou(self) -> Rates:
        """(6,) mean IoU of the objects of each size, all classes together; nan where there is none."""
        return _mean(self.iou_sum.sum(0), self.objects.sum(0))

    @property
    def iou_of_class(self) -> Rates:
        """(K, 6) mean IoU of the objects of each class and size; nan where there is none."""
        return _mean(self.iou_sum, self.objects)


def size_names() -> list[str]:
    """Return what each size bin is called, in pixels of area as squares: ``'< 16²'``, ``'16²–32²'``, ..."""
    between = [f'{low}²–{high}²' for low, high in itertools.pairwise(SIDES)]
    return [f'< {SIDES[0]}²', *between, f'≥ {SIDES[-1]}²']


def object_sizes(
    prediction: NDArray[np.integer],
    label: NDArray[np.integer],
    *,
    num_classes: int,
    ignore_index: int = 255,
) -> ObjectSizes:
    """Measure the objects of one image; regions are connected by sides and corners.

    Args:
        prediction: (H, W) class indices.
        label: (H, W) class indices or ``ignore_index``.
        num_classes: K.
        ignore_index: label value of pixels that do not count.
    """
    objects = np.zeros((num_classes, len(SIDES) + 1), np.int64)
    iou_sum = np.zeros(objects.shape)
    is_counted = label != ignore_index
    for index in np.unique(label[is_counted]):
        area, iou = _objects_of_class(label == index, (prediction == index) & is_counted)
        size = np.searchsorted(np.square(SIDES), area, side='right')
        objects[index] = np.bincount(size, minlength=len(SIDES) + 1)
        iou_sum[index] = np.bincount(size, weights=iou, minlength=len(SIDES) + 1)
    return ObjectSizes(objects, iou_sum)


def _objects_of_class(
    is_true: NDArray[np.bool_], is_predicted: NDArray[np.bool_]
) -> tuple[Matrix, Rates]:
    """Return the area and the component-wise IoU of each object of a class, (N,)."""
    num_true, true = cv2.connectedComponents(is_true.view(np.uint8), connectivity=8)
    num_predicted, predicted = cv2.connectedComponents(is_predicted.view(np.uint8), connectivity=8)
    area = np.bincount(true.reshape(-1), minlength=num_true)
    # What a predicted region has outside of all objects is held against each object that it touches.
    outside = np.bincount(predicted[~is_true], minlength=num_predicted)
    both = is_true & is_predicted
    pairs, hits = np.unique(
        true[both].astype(np.int64) * num_predicted + predicted[both], return_counts=True
    )
    hit = np.bincount(pairs // num_predicted, weights=hits, minlength=num_true)
    excess = np.bincount(
        pairs // num_predicted, weights=outside[pairs % num_predicted], minlength=num_true
    )
    return area[1:], hit[1:] / (area[1:] + excess[1:])


def _mean(sums: Rates, counts: Matrix) -> Rates:
    return np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
