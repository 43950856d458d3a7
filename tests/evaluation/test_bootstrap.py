"""The bootstrap against draws made one by one, and against SciPy's."""

import numpy as np
import pytest
from scipy import stats

from swinseg.evaluation import confusion
from swinseg.evaluation.bootstrap import bootstrap
from swinseg.evaluation.iou_metric import to_sparse


def matrices(count, num_classes, seed=0):
    """Return confusion matrices of images of which each has a few of the classes, and none has the last."""
    rng = np.random.default_rng(seed)
    result = rng.integers(0, 200, (count, num_classes, num_classes))
    result[:, range(num_classes), range(num_classes)] += rng.integers(0, 900, (count, num_classes))
    absent = rng.random((count, num_classes)) < 0.6
    absent[:, -1] = True
    result[absent] = 0
    result.transpose(0, 2, 1)[absent] = 0
    return result


@pytest.mark.parametrize('nan_to_num', [None, 0])
def test_bootstrap__equals_draws_one_by_one(nan_to_num):
    images = matrices(7, 5)
    found = bootstrap(
        [to_sparse(m) for m in images], 5, resamples=250, seed=3, nan_to_num=nan_to_num
    )
    rng = np.random.default_rng(3)
    headline, per_class = [], []
    for _ in range(250):
        total = sum(images[i] for i in rng.integers(7, size=7))
        iou, accuracy = confusion.iou(total), confusion.accuracy(total)
        if nan_to_num is not None:
            iou, accuracy = np.nan_to_num(iou, nan=0), np.nan_to_num(accuracy, nan=0)
        per_class.append(iou)
        headline.append(
            [
                confusion.pixel_accuracy(total),
                confusion.mean_over_classes(iou),
                confusion.mean_over_classes(accuracy),
            ]
        )
    low, high = np.quantile(headline, [0.025, 0.975], axis=0)
    for index, name in enumerate(('aAcc', 'mIoU', 'mAcc')):
        interval = found.headline[name]
        assert (interval.low, interval.high) == pytest.approx(
            (100 * low[index], 100 * high[index]), abs=0.0051
        )
    columns = [np.array(c)[~np.isnan(c)] for c in np.array(per_class).T]
    expected = [np.quantile(c, [0.025, 0.975]) if c.size else [np.nan] * 2 for c in columns]
    np.testing.assert_allclose(found.iou, expected, rtol=1e-12)


def test_bootstrap__agrees_with_scipy():
    images = matrices(40, 4, seed=1)
    found = bootstrap([to_sparse(m) for m in images], 4, resamples=4000)

    def mean_iou(index):
        return confusion.mean_iou(images[index.astype(int)].sum(0))

    theirs = stats.bootstrap(
        (np.arange(40),), mean_iou, vectorized=False, n_resamples=4000, method='percentile',
        rng=np.random.default_rng(8),
    ).confidence_interval  # fmt: skip
    interval = found.headline['mIoU']
    width = interval.high - interval.low
    assert width > 1
    assert interval.low == pytest.approx(100 * theirs.low, abs=0.06 * width)
    assert interval.high == pytest.approx(100 * theirs.high, abs=0.06 * width)


def test_bootstrap__of_one_image_is_a_point():
    image = matrices(1, 4)[0]
    found = bootstrap([to_sparse(image)], 4, resamples=20)
    expected = round(100 * confusion.mean_iou(image), 2)
    assert (found.headline['mIoU'].low, found.headline['mIoU'].high) == (expected, expected)


def test_bootstrap__of_images_in_which_nothing_counts_is_undefined():
    found = bootstrap([to_sparse(np.zeros((3, 3), np.int64))] * 2, 3, resamples=20)
    assert np.isnan(found.headline['mIoU'].low)
    assert np.isnan(found.iou).all()
