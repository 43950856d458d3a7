"""An image and its labels at another size."""

import numpy as np
import pytest

from swinseg.visualization.resize import fit


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.int64])
def test_fit__image_and_labels_stay_together(dtype):
    labels = np.zeros((40, 60), dtype)
    labels[10:, 30:] = 2
    image = np.where(labels[..., None] == 2, 200, 50).astype(np.uint8).repeat(3, 2)
    for side in (30, 60, 240):
        picture, small = fit(image, labels, side)
        assert picture.shape == (side * 2 // 3, side, 3)
        assert small.shape == picture.shape[:2]
        agree = picture[..., 0] == np.where(small == 2, 200, 50)
        assert agree.mean() > 0.9  # where the image is smoothed, it lies between


def test_fit__the_same_size_changes_nothing():
    rng = np.random.default_rng(0)
    image, labels = rng.integers(0, 256, (7, 5, 3), np.uint8), rng.integers(0, 9, (7, 5), np.uint8)
    for found, given in zip(fit(image, labels, 7), (image, labels), strict=True):
        np.testing.assert_array_equal(found, given)


def test_fit__a_thin_strip_keeps_a_pixel():
    image, labels = fit(np.zeros((1, 3000, 3), np.uint8), np.zeros((1, 3000), np.uint8), 100)
    assert image.shape == (1, 100, 3)
    assert labels.shape == (1, 100)
