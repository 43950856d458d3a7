"""Boundary IoU against masks of each class, eroded one by one as the authors' code does it."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swinseg.evaluation.boundary import boundary_counts


def of_each_class(prediction, label, num_classes, ignored, ratio):
    """``mask_to_boundary`` and ``boundary_iou`` of Cheng et al.: erosions of a mask in a frame of zeros."""
    distance = max(1, round(ratio * np.sqrt(label.shape[0] ** 2 + label.shape[1] ** 2)))
    prediction = np.where(label == ignored, -1, prediction)

    def band(mask):
        framed = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        inner = cv2.erode(framed, np.ones((3, 3), np.uint8), iterations=distance)[1:-1, 1:-1]
        return mask & (inner == 0)

    counts = []
    for index in range(num_classes):
        true, found = band(label == index), band(prediction == index)
        counts.append(((true & found).sum(), true.sum(), found.sum(), (true | found).sum()))
    return np.array(counts).T


def shapes(rng, size, num_classes):
    labels = np.zeros(size, np.uint8)
    for _ in range(9):
        top, left = rng.integers(0, size[0]), rng.integers(0, size[1])
        height, width = rng.integers(1, size[0] + 1), rng.integers(1, size[1] + 1)
        labels[top : top + height, left : left + width] = rng.integers(num_classes)
    return labels


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32),
    height=st.integers(1, 40),
    width=st.integers(1, 60),
    ratio=st.sampled_from([0.02, 0.1, 0.3]),
)
def test_boundary_counts__equal_those_of_erosions(seed, height, width, ratio):
    rng = np.random.default_rng(seed)
    label, prediction = (shapes(rng, (height, width), 4) for _ in range(2))
    label[rng.random(label.shape) < 0.02] = 255
    label[: height // 5, : width // 3] = 255
    hits, labeled, predicted, union = of_each_class(prediction, label, 4, 255, ratio)
    found = boundary_counts(prediction, label, num_classes=4, distance_ratio=ratio)
    np.testing.assert_array_equal(found.hits, hits)
    np.testing.assert_array_equal(found.labeled, labeled)
    np.testing.assert_array_equal(found.predicted, predicted)
    expected = [h / u if u else np.nan for h, u in zip(hits, union, strict=True)]
    np.testing.assert_array_equal(found.iou, expected)


def test_boundary_counts__large_image():
    rng = np.random.default_rng(5)
    label = shapes(rng, (700, 1100), 6)
    prediction = np.roll(label, 7, 1)
    hits, labeled, predicted, union = of_each_class(prediction, label, 6, 255, 0.02)
    found = boundary_counts(prediction, label, num_classes=6)
    np.testing.assert_array_equal(
        [found.hits, found.labeled, found.predicted], [hits, labeled, predicted]
    )
    present = union > 0
    np.testing.assert_array_equal(found.iou[present], hits[present] / union[present])


def test_boundary_counts__sum_over_images_and_absent_classes():
    label = np.zeros((20, 30), np.uint8)
    label[5:15, 5:20] = 1
    right = boundary_counts(label, label, num_classes=3)
    wrong = boundary_counts(1 - label, label, num_classes=3)
    both = right + wrong
    assert right.iou[:2].tolist() == [1, 1]
    assert np.isnan(both.iou[2])
    np.testing.assert_array_equal(both.hits, right.hits + wrong.hits)
    assert 0 < both.iou[0] < 1


@pytest.mark.parametrize('ignored', [-1, 2, 255])
def test_boundary_counts__ignored_pixels_count_nowhere(ignored):
    label = np.full((12, 16), ignored, np.int64)
    counts = boundary_counts(
        np.zeros((12, 16), np.uint8), label, num_classes=3, ignore_index=ignored
    )
    assert counts.labeled.sum() == counts.predicted.sum() == counts.hits.sum() == 0
