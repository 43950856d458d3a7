"""The confusion matrix against counting by hand and mmseg's areas; its functions against their definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mmseg.evaluation.metrics import IoUMetric

from swinseg.evaluation import confusion
from swinseg.evaluation.confusion import EvaluationError, confusion_matrix

label_maps = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.uint8, shape, elements=st.integers(0, 4)),
        hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 2, 3, 4, 255])),
    )
)


def counted_by_hand(prediction, label, num_classes, ignore_index=255):
    matrix = np.zeros((num_classes, num_classes), np.int64)
    for predicted, true in zip(prediction.ravel().tolist(), label.ravel().tolist(), strict=True):
        if true != ignore_index:
            matrix[true, predicted] += 1
    return matrix


@given(label_maps)
def test_confusion_matrix__counts_every_pixel_once(maps):
    prediction, label = maps
    matrix = confusion_matrix(prediction, label, num_classes=5)
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, counted_by_hand(prediction, label, 5))


@given(label_maps, st.integers(1, 11))
def test_confusion_matrix__of_a_whole_is_the_sum_of_its_parts(maps, cut):
    prediction, label = maps
    parts = [slice(None, cut), slice(cut, None)]
    total = sum(confusion_matrix(prediction[p], label[p], num_classes=5) for p in parts)
    np.testing.assert_array_equal(total, confusion_matrix(prediction, label, num_classes=5))


@pytest.mark.parametrize('num_classes', [11, 150, 300])
@pytest.mark.parametrize(
    'convert',
    [
        torch.from_numpy,
        lambda a: a.astype(np.int32),
        lambda a: a.astype(np.uint16),
        lambda a: a.astype('>i4'),
        lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
        lambda a: torch.from_numpy(a.astype(np.int32)),
    ],
    ids=['torch int64', 'int32', 'uint16', 'big-endian', 'negative strides', 'torch int32'],
)
def test_confusion_matrix__is_the_same_for_every_integer_dtype(num_classes, convert):
    rng = np.random.default_rng(0)
    prediction, label = rng.integers(0, num_classes, (2, 40, 30))
    label[:5] = 65535
    expected = counted_by_hand(prediction, label, num_classes, 65535)
    found = confusion_matrix(
        convert(prediction), convert(label), num_classes=num_classes, ignore_index=65535
    )
    np.testing.assert_array_equal(found, expected)


@settings(deadline=None)
@given(st.data(), st.integers(1, 300), st.sampled_from([-1, 0, 3, 149, 255, 256, 65535]))
def test_confusion_matrix__is_the_same_by_bytes_and_by_any_integer(data, num_classes, ignored):
    shape = data.draw(st.tuples(st.integers(0, 6), st.integers(0, 9)))
    kinds = [np.uint8, np.int16, np.int64]
    values = st.integers(0, min(num_classes, 256) - 1)
    prediction, label = (
        data.draw(hnp.arrays(data.draw(st.sampled_from(kinds)), shape, elements=values))
        for _ in range(2)
    )
    if label.size and np.can_cast(np.min_scalar_type(ignored), label.dtype):
        label[0] = ignored
    options = {'num_classes': num_classes, 'ignore_index': ignored}
    expected = counted_by_hand(prediction, label, num_classes, ignored)
    np.testing.assert_array_equal(confusion_matrix(prediction, label, **options), expected)
    tensors = torch.from_numpy(prediction), torch.from_numpy(label)
    found = confusion._count_any(*tensors, num_classes, ignored)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    'convert',
    [lambda a: a.T, lambda a: a[::2, 1::3], lambda a: torch.from_numpy(a).t(), lambda a: a > 1],
    ids=['transposed', 'strided', 'transposed tensor', 'bool'],
)
def test_confusion_matrix__any_memory_layout(convert):
    prediction, label = np.random.default_rng(0).integers(0, 4, (2, 30, 40)).astype(np.uint8)
    found = confusion_matrix(convert(prediction), convert(label), num_classes=4)
    expected = counted_by_hand(
        np.asarray(convert(prediction)).astype(int), np.asarray(convert(label)).astype(int), 4
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('dtype', [np.uint8, np.int64])
def test_confusion_matrix__counts_beyond_float32(dtype):
    # 2**24 + 6 pixels of one pair: float32 would stop at 2**24, or count in steps of two.
    ones = np.ones((2, 2**23 + 3), dtype)
    label = ones.copy()
    label[0, :2] = 255
    assert confusion_matrix(ones, label, num_classes=2).tolist() == [[0, 0], [0, 2**24 + 4]]


@pytest.mark.parametrize('dtype', [np.uint8, np.int64])
def test_confusion_matrix__a_class_can_be_ignored(dtype):
    label = np.array([[0, 1, 1, 2]], dtype)
    prediction = np.array([[0, 9, 1, 1]], dtype)
    matrix = confusion_matrix(prediction, label, num_classes=3, ignore_index=1)
    assert matrix.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize('dtype', [np.uint8, np.int16])
def test_confusion_matrix__one_value_out_of_range_among_many(dtype):
    label = np.zeros((40, 50), dtype)
    for changed, name in ((0, 'prediction'), (1, 'label')):
        maps = [label.copy(), label.copy()]
        maps[changed][17, 23] = 150
        with pytest.raises(EvaluationError, match=f'{name}.* but 150 was found'):
            confusion_matrix(*maps, num_classes=150)


def test_confusion_matrix__uint8_labels_of_150_classes_do_not_overflow():
    label = np.full((2, 2), 149, np.uint8)
    matrix = confusion_matrix(label, label, num_classes=150)
    assert matrix[149, 149] == 4
    assert matrix.sum() == 4


def test_confusion_matrix__leaves_its_inputs_as_they_were():
    prediction = torch.tensor([[0, 1], [1, 1]])
    label = torch.tensor([[0, 255], [1, 0]])
    before = prediction.clone(), label.clone()
    confusion_matrix(prediction, label, num_classes=2)
    assert torch.equal(prediction, before[0])
    assert torch.equal(label, before[1])


@pytest.mark.parametrize('num_classes', [11, 150])
def test_confusion_matrix__areas_equal_mmsegs(num_classes):
    generator = torch.Generator().manual_seed(1)
    prediction = torch.randint(0, num_classes, (61, 47), generator=generator)
    label = torch.randint(0, num_classes, (61, 47), generator=generator)
    label[::7] = 255
    intersect, union, predicted, true = IoUMetric.intersect_and_union(
        prediction, label, num_classes, 255
    )
    matrix = confusion_matrix(prediction, label, num_classes=num_classes)
    hit = matrix.diagonal()
    np.testing.assert_array_equal(hit, intersect.numpy())
    np.testing.assert_array_equal(matrix.sum(0), predicted.numpy())
    np.testing.assert_array_equal(matrix.sum(1), true.numpy())
    np.testing.assert_array_equal(matrix.sum(0) + matrix.sum(1) - hit, union.numpy())


def test_confusion_matrix__prediction_where_the_label_is_ignored_does_not_matter():
    matrix = confusion_matrix(np.array([[7, 1]]), np.array([[255, 1]]), num_classes=2)
    np.testing.assert_array_equal(matrix, [[0, 0], [0, 1]])


def test_confusion_matrix__nothing_to_count():
    label = np.full((3, 3), 255)
    assert confusion_matrix(np.zeros((3, 3), int), label, num_classes=2).sum() == 0


@pytest.mark.parametrize(
    ('prediction', 'label', 'message'),
    [
        ([[2, 0]], [[0, 0]], r'a prediction must lie in \[0, 2\), but 2 was found'),
        ([[-1, 0]], [[0, 0]], r'a prediction must lie in \[0, 2\), but -1 was found'),
        ([[0, 0]], [[0, 2]], r'label .*ignore index 255.* must lie in \[0, 2\), but 2 was found'),
        ([[0, 0]], [[-1, 0]], r'label .* but -1 was found'),
        ([[0, 0]], [[0], [0]], r'prediction is \(1, 2\) and the label \(2, 1\)'),
        ([[0.0, 0]], [[0, 0]], r'must hold integer class indices, but its dtype is torch.float64'),
    ],
)
def test_confusion_matrix__bad_input_is_one_sentence(prediction, label, message):
    with pytest.raises(EvaluationError, match=message) as caught:
        confusion_matrix(np.array(prediction), np.array(label), num_classes=2)
    assert '\n' not in str(caught.value)


# Class 0: both and right; 1: predicted only; 2: labeled only; 3: both, never together; 4: nowhere.
RULE = np.array(
    [[6, 1, 0, 0, 0], [0, 0, 0, 0, 0], [1, 0, 0, 2, 0], [2, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
)


@pytest.mark.parametrize(
    ('function', 'expected'),
    [
        (confusion.iou, [6 / 10, 0, 0, 0, np.nan]),
        (confusion.accuracy, [6 / 7, np.nan, 0, 0, np.nan]),
        (confusion.recall, [6 / 7, np.nan, 0, 0, np.nan]),
        (confusion.precision, [6 / 9, 0, np.nan, 0, np.nan]),
        (confusion.dice, [12 / 16, 0, 0, 0, np.nan]),
        (confusion.f_score, [12 / 16, np.nan, np.nan, np.nan, np.nan]),
    ],
)
def test_rates__of_classes_that_are_absent(function, expected):
    np.testing.assert_allclose(function(RULE), expected, rtol=1e-15)


def test_means__leave_undefined_classes_out():
    assert confusion.mean_iou(RULE) == pytest.approx(0.6 / 4)
    assert confusion.mean_accuracy(RULE) == pytest.approx(6 / 7 / 3)
    assert confusion.pixel_accuracy(RULE) == pytest.approx(6 / 12)


def test_means__of_nothing_are_nan():
    empty = np.zeros((3, 3), np.int64)
    assert np.isnan(confusion.mean_iou(empty))
    assert np.isnan(confusion.pixel_accuracy(empty))


matrices = hnp.arrays(np.int64, (4, 4), elements=st.integers(0, 10**12))


@given(matrices)
def test_rates__follow_from_one_another(matrix):
    iou, dice = confusion.iou(matrix), confusion.dice(matrix)
    np.testing.assert_allclose(dice, 2 * iou / (1 + iou), rtol=1e-12)
    score = confusion.f_score(matrix)
    defined = ~np.isnan(score)
    np.testing.assert_allclose(score[defined], dice[defined], rtol=1e-12)
    assert np.all((iou[~np.isnan(iou)] >= 0) & (iou[~np.isnan(iou)] <= 1))


@given(matrices, st.permutations(range(4)))
def test_means__do_not_depend_on_the_order_of_the_classes(matrix, order):
    permuted = matrix[np.ix_(order, order)]
    np.testing.assert_allclose(confusion.mean_iou(permuted), confusion.mean_iou(matrix), rtol=1e-12)


@settings(deadline=None)
@given(st.floats(0.1, 5))
def test_f_score__weighs_recall_by_beta(beta):
    matrix = np.array([[8, 2], [1, 9]])
    precision, recall = 8 / 9, 8 / 10
    expected = (1 + beta**2) * precision * recall / (beta**2 * precision + recall)
    assert confusion.f_score(matrix, beta=beta)[0] == pytest.approx(expected)
