"""The confusion matrix of label maps, and every figure of merit as a pure function of it.

Shapes: K = number of classes; a matrix is (K, K) int64, ``matrix[label, prediction]`` counts
pixels. Rates are float64 in [0, 1], one per class, (K,).

Classes that do not occur
    A rate whose denominator is zero is ``nan``, and means over classes leave it out. So, per class:

    ==============================  ======  ======  ======  =========  ======  =======
    the class occurs in             IoU     Acc     Dice    Precision  Recall  F-score
    ==============================  ======  ======  ======  =========  ======  =======
    neither label nor prediction    nan     nan     nan     nan        nan     nan
    the prediction only             0       nan     0       0          nan     nan
    the label only                  0       0       0       nan        0       nan
    both, never at the same pixel   0       0       0       0          0       nan
    ==============================  ======  ======  ======  =========  ======  =======

    This is mmseg's rule. The ADE20K authors' evaluation counts a class that occurs nowhere as IoU 0
    instead, which is the same figure on the full validation set, where all 150 classes occur.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swinseg.errors import UserError
from swinseg.transfers import to_device

Matrix = NDArray[np.int64]
Rates = NDArray[np.float64]

# OpenCV's histogram counts in float32, which holds every integer up to here.
_FLOAT32_COUNTS = 2**24


class EvaluationError(UserError):
    """A prediction, a label or a metric's argument cannot be evaluated."""


def confusion_matrix(
    prediction: NDArray[np.integer] | Tensor,
    label: NDArray[np.integer] | Tensor,
    *,
    num_classes: int,
    ignore_index: int = 255,
) -> Matrix:
    """Count the pixels of each pair of true and predicted class.

    Args:
        prediction: class indices, any shape and integer dtype. Where the label is ``ignore_index``,
            its value does not matter.
        label: class indices or ``ignore_index``, the same shape.
        num_classes: K.
        ignore_index: the label value of pixels that do not count. It may be one of the classes' own
            indices: such a class is then left out.

    Returns:
        (K, K) int64, ``[label, prediction]``. Tensors are counted on their own device.

    Raises:
        EvaluationError: the shapes differ, the values are not integers, or a counted pixel has a
            label or a prediction outside [0, K).
    """
    predicted, true = _as_tensor(prediction, 'prediction'), _as_tensor(label, 'label')
    if predicted.shape != true.shape:
        raise EvaluationError(
            f'the prediction and the label must have the same shape, but the prediction is '
            f'{tuple(predicted.shape)} and the label {tuple(true.shape)}; '
            'resize the prediction to the label'
        )
    matrix = _count_bytes(predicted, true, num_classes, ignore_index)
    return _count_any(predicted, true, num_classes, ignore_index) if matrix is None else matrix


def _count_bytes(
    predicted: Tensor, true: Tensor, num_classes: int, ignore_index: int
) -> Matrix | None:
    """Count on the CPU where all values fit into bytes and are in range; None where they do not.

    One joint histogram of all 256 x 256 pairs: without a mask, because ignored pixels are one row of
    it, and without a check of each pixel, because what is out of range lies outside the first K rows
    and columns.
    """
    if not (1 <= num_classes <= 256 and true.numel()):
        return None
    predicted_bytes, true_bytes = _bytes(predicted), _bytes(true)
    if predicted_bytes is None or true_bytes is None:
        return None
    matrix = np.zeros((num_classes, num_classes), np.int64)
    in_range = 0
    for start in range(0, len(true_bytes), _FLOAT32_COUNTS):
        block = slice(start, start + _FLOAT32_COUNTS)
        pairs = cv2.calcHist(
            [true_bytes[block], predicted_bytes[block]], [0, 1], None, [256, 256], [0, 256, 0, 256]
        )
        if 0 <= ignore_index <= 255:
            in_range += int(pairs[ignore_index].sum(dtype=np.float64))
            pairs[ignore_index] = 0
        matrix += pairs[:num_classes, :num_classes].astype(np.int64)
    in_range += int(matrix.sum())
    return matrix if in_range == len(true_bytes) else None


def _bytes(values: Tensor) -> NDArray[np.uint8] | None:
    """Return flat uint8 values; None for those of a GPU or outside [0, 256)."""
    if values.device.type != 'cpu':
        return None
    flat = values.numpy().reshape(-1)
    if flat.dtype == np.uint8:
        return flat
    # The bits of all values together tell their range in one pass, half the cost of minimum and
    # maximum.
    if not 0 <= int(np.bitwise_or.reduce(flat)) <= 255:
        return None
    return flat.astype(np.uint8)


def _count_any(predicted: Tensor, true: Tensor, num_classes: int, ignore_index: int) -> Matrix:
    """Count integers of any size on any device, and name what is out of range."""
    # int64 before the comparison, where PyTorch would wrap an index that the type cannot hold, and
    # before the product: label * K overflows uint8 and, from 182 classes on, int16.
    true = to_device(true, predicted.device).to(torch.int64).flatten()
    predicted = predicted.to(torch.int64).flatten()
    # Of fixed sizes and without a look at a value, at which the host would wait for a GPU: pixels that do not
    # count and pairs out of range have places of their own behind the matrix. The one copy is of the result.
    pairs = num_classes**2
    fits = (true >= 0) & (true < num_classes) & (predicted >= 0) & (predicted < num_classes)
    joint = torch.where(fits, true * num_classes + predicted, pairs + 1)
    joint = torch.where(true == ignore_index, pairs, joint)
    counts = torch.zeros(pairs + 2, dtype=torch.int64, device=joint.device)
    counts.scatter_add_(0, joint, torch.ones_like(joint))
    found = counts.cpu().numpy()
    if found[pairs + 1]:
        counted = true != ignore_index
        _check_range(
            true[counted], num_classes, f'label (which is not the ignore index {ignore_index})'
        )
        _check_range(predicted[counted], num_classes, 'prediction')
    return found[:pairs].reshape(num_classes, num_classes)


def _as_tensor(values: NDArray[np.integer] | Tensor, name: str) -> Tensor:
    if isinstance(values, np.ndarray):
        if values.dtype.byteorder == '>' or values.dtype.kind == 'u':
            # PyTorch lacks big-endian arrays and most operations on uint16 to uint64.
            values = values.astype(np.uint8 if values.dtype == np.uint8 else np.int64)
        # copy() only where torch cannot view the memory (negative strides, read-only arrays)
        views = values.flags.writeable and all(stride >= 0 for stride in values.strides)
        values = torch.from_numpy(values if views else values.copy())
    if values.is_floating_point() or values.is_complex():
        raise EvaluationError(
            f'the {name} must hold integer class indices, but its dtype is {values.dtype}; '
            'take the argmax over the class axis first'
        )
    return values


def _check_range(values: Tensor, num_classes: int, name: str) -> None:
    if values.numel() == 0:
        return
    low, high = (int(value) for value in torch.aminmax(values))
    if low < 0 or high >= num_classes:
        found = low if low < 0 else high
        raise EvaluationError(
            f'a {name} must lie in [0, {num_classes}), but {found} was found; '
            'check num_classes, ignore_index and the label map'
        )


def _divide(numerator: NDArray[np.generic], denominator: NDArray[np.generic]) -> Rates:
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.asarray(numerator, np.float64) / np.asarray(denominator, np.float64)


def mean_over_classes(rates: Rates) -> float:
    """Mean of the rates that are defined; ``nan`` when none is."""
    defined = rates[~np.isnan(rates)]
    return float(defined.mean()) if defined.size else float('nan')


def iou(matrix: Matrix) -> Rates:
    """Intersection over union (Jaccard index) of each class."""
    hit = matrix.diagonal()
    return _divide(hit, matrix.sum(0) + matrix.sum(1) - hit)


def accuracy(matrix: Matrix) -> Rates:
    """Share of each true class that was predicted as such (mmseg's ``Acc``; the same as recall)."""
    return _divide(matrix.diagonal(), matrix.sum(1))


def recall(matrix: Matrix) -> Rates:
    """Share of each true class that was found."""
    return accuracy(matrix)


def precision(matrix: Matrix) -> Rates:
    """Share of each predicted class that is right."""
    return _divide(matrix.diagonal(), matrix.sum(0))


def dice(matrix: Matrix) -> Rates:
    """Dice coefficient of each class: twice the intersection over the sum of both areas."""
    return _divide(2 * matrix.diagonal(), matrix.sum(0) + matrix.sum(1))


def f_score(matrix: Matrix, *, beta: float = 1.0) -> Rates:
    """Weighted harmonic mean of precision and recall, ``(1 + b^2) P R / (b^2 P + R)``.

    Computed from P and R as mmseg does, so it is ``nan`` where either is, and where both are zero;
    the Dice coefficient of such a class is 0.
    """
    p, r = precision(matrix), recall(matrix)
    return _divide((1 + beta**2) * p * r, beta**2 * p + r)


def pixel_accuracy(matrix: Matrix) -> float:
    """Share of all counted pixels that are right (``aAcc``); ``nan`` when no pixel counts."""
    return float(_divide(matrix.trace(), matrix.sum()))


def mean_iou(matrix: Matrix) -> float:
    """Mean IoU over the classes that occur in the label or the prediction (``mIoU``)."""
    return mean_over_classes(iou(matrix))


def mean_accuracy(matrix: Matrix) -> float:
    """Mean accuracy over the classes that occur in the label (``mAcc``)."""
    return mean_over_classes(accuracy(matrix))
