"""Component-wise IoU against the definition with sets of pixels."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from swinseg.evaluation.object_size import SIDES, object_sizes, size_names


def regions(mask):
    """Return the regions of a mask, connected by sides and corners, as sets of (row, column)."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    found = []
    while left:
        region, waiting = set(), [left.pop()]
        while waiting:
            y, x = waiting.pop()
            region.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            waiting += near
        found.append(region)
    return found


def by_definition(prediction, label, num_classes, ignored):
    """Equation 2 of Chan et al.: of each object its class, area and sIoU."""
    found = []
    for index in range(num_classes):
        if index == ignored:
            continue
        objects = regions(label == index)
        predicted = regions((prediction == index) & (label != ignored))
        for region in objects:
            touching = set().union(*(p for p in predicted if p & region))
            others = set().union(*(k for k in objects if k is not region))
            iou = len(region & touching) / len((region | touching) - others)
            found.append((index, len(region), iou))
    return found


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32), height=st.integers(1, 30), width=st.integers(1, 40))
def test_object_sizes__equal_the_definition(seed, height, width):
    rng = np.random.default_rng(seed)
    cell = int(rng.integers(1, 5))
    coarse = rng.integers(0, 3, (2, height // cell + 1, width // cell + 1), dtype=np.uint8)
    label, prediction = np.kron(coarse, np.ones((1, cell, cell), np.uint8))[:, :height, :width]
    prediction = np.where(rng.random(label.shape) < 0.5, label, prediction)
    label[rng.random(label.shape) < 0.05] = 255
    objects, iou_sum = np.zeros((3, len(SIDES) + 1), int), np.zeros((3, len(SIDES) + 1))
    for index, area, iou in by_definition(prediction, label, 3, 255):
        bin_ = sum(area >= side**2 for side in SIDES)
        objects[index, bin_] += 1
        iou_sum[index, bin_] += iou
    found = object_sizes(prediction, label, num_classes=3)
    np.testing.assert_array_equal(found.objects, objects)
    np.testing.assert_allclose(found.iou_sum, iou_sum, rtol=0, atol=1e-12)


def test_object_sizes__an_object_of_each_size():
    label = np.zeros((300, 1000), np.uint8)
    for number, side in enumerate((4, 16, 33, 70, 128, 256)):
        label[4 : 4 + side, 8 + 140 * number :][:, :side] = number + 1
    prediction = label.copy()
    prediction[label == 3] = 0
    found = object_sizes(prediction, label, num_classes=7)
    np.testing.assert_array_equal(found.objects[1:], np.eye(6))
    assert found.iou_of_class[3, 2] == 0
    assert np.diag(found.iou_of_class[1:]).tolist() == [1, 1, 0, 1, 1, 1]
    assert len(size_names()) == found.objects.shape[1]


def test_object_sizes__joined_objects_are_not_blamed_for_one_another():
    label = np.zeros((10, 30), np.uint8)
    label[:, :10] = label[:, 20:] = 1
    prediction = np.ones((10, 30), np.uint8)
    found = object_sizes(prediction, label, num_classes=2)
    assert found.objects[1].tolist() == [2, 0, 0, 0, 0, 0]
    assert found.iou_of_class[1, 0] == 0.5


def test_object_sizes__without_labels():
    label = np.full((5, 5), 255)
    found = object_sizes(np.zeros((5, 5), np.uint8), label, num_classes=2)
    assert found.objects.sum() == 0
    assert np.isnan((found + found).iou).all()
