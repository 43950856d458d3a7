"""Shares of the pixels."""

import numpy as np

from swinseg.visualization.areas import class_shares


def test_class_shares__ignored_pixels_count_in_the_whole():
    labels = np.array([[0, 1, 1], [2, 255, 0]], np.uint8)
    np.testing.assert_allclose(class_shares(labels, 3), [2 / 6, 2 / 6, 1 / 6])
