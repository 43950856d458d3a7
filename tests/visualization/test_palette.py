"""Palettes: what is accepted, and that the default one tells classes apart."""

import numpy as np
import pytest

from swinseg.visualization.palette import VisualizationError, check_palette, default_palette


@pytest.mark.parametrize('num_classes', [0, 1, 2, 11, 150, 256, 1000])
def test_default_palette__colors_differ_from_one_another_and_from_black(num_classes):
    palette = default_palette(num_classes)
    assert palette.shape == (num_classes, 3)
    assert palette.dtype == np.uint8
    assert len({tuple(color) for color in palette.tolist()} | {(0, 0, 0)}) == num_classes + 1


def test_default_palette__is_the_same_every_time():
    np.testing.assert_array_equal(default_palette(40), default_palette(40))


@pytest.mark.parametrize(
    'palette', [[[1, 2, 3], [255, 0, 0]], ((1, 2, 3), (255, 0, 0)), np.array([[1, 2, 3], [255, 0, 0]])]
)  # fmt: skip
def test_check_palette__gives_a_new_array(palette):
    found = check_palette(palette, num_classes=2)
    assert found.dtype == np.uint8
    assert found is not palette
    np.testing.assert_array_equal(found, [[1, 2, 3], [255, 0, 0]])


@pytest.mark.parametrize(
    ('palette', 'message'),
    [
        ([[1, 2]], 'a palette must be a list of .red, green, blue. whole numbers'),
        ([[1, 2, 3], [1, 2]], 'a palette must be a list of'),
        ([[0.5, 0.2, 0.1]], 'a palette must be a list of'),
        (['red'], 'a palette must be a list of'),
        ([[0, 0, 0], [0, 256, 0]], r'the color of class 1 is \[0, 256, 0\]'),
        ([[0, 0, -1]], r'the color of class 0 is \[0, 0, -1\]'),
        ([[0, 0, 1]], 'there are 2 classes and 1 colors'),
    ],
)
def test_check_palette__says_what_is_wrong(palette, message):
    with pytest.raises(VisualizationError, match=message) as caught:
        check_palette(palette, num_classes=2)
    assert '\n' not in str(caught.value)
