"""Legends: which classes, and that every line of them can be read."""

import numpy as np
import pytest

from swinseg.visualization.legend import LegendEntry, add_legend, legend_entries

PALETTE = [[10, 20, 30], [200, 100, 0], [0, 0, 255]]
NAMES = ['sky', 'road', 'swimming pool']


def test_legend_entries__are_the_classes_present_the_largest_first():
    labels = np.zeros((100, 100), np.uint8)
    labels[:30] = 2
    labels[99, 99] = 255
    assert legend_entries(labels, PALETTE, NAMES) == [
        LegendEntry((10, 20, 30), 'sky', '70.0%'),
        LegendEntry((0, 0, 255), 'swimming pool', '30.0%'),
    ]


def test_legend_entries__a_speck_is_not_zero_percent():
    labels = np.zeros((100, 100), np.uint8)
    labels[0, 0] = 1
    assert legend_entries(labels, PALETTE, NAMES)[1].figure == '<0.1%'


SIZES = [(1, 1), (20, 400), (400, 20), (64, 64), (333, 517), (1200, 900)]


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('count', [1, 3, 40])
def test_add_legend__leaves_the_photograph_alone_and_shows_every_color(size, count):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, 3), np.uint8)
    before = image.copy()
    colors = [(250, 4 * i + 1, 3) for i in range(count)]
    entries = [LegendEntry(color, f'class number {i}', '12.3%') for i, color in enumerate(colors)]
    picture = add_legend(image, entries)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(picture[: size[0], : size[1]], image)
    outside = picture.copy()
    outside[: size[0], : size[1]] = 255
    codes, pixels = np.unique(outside @ [65536, 256, 1], return_counts=True)
    area = dict(zip(codes.tolist(), pixels.tolist(), strict=True))
    for red, green, blue in colors:
        # Legible: a swatch is at least 10 px wide inside its border, and text has its height.
        assert area.get(red * 65536 + green * 256 + blue, 0) >= 100
    # Nothing is cut off: the rim of the canvas, where it is not the photograph, is blank.
    assert (outside[-1] == 255).all()
    assert (outside[:, -1] == 255).all()


def test_add_legend__does_not_make_a_strip_of_a_photograph():
    entries = [LegendEntry((i, 0, 0), f'class {i}', '2.5%') for i in range(40)]
    height, width = add_legend(np.zeros((600, 800, 3), np.uint8), entries).shape[:2]
    assert height * width < 2.5 * 600 * 800
    assert 0.5 < width / height < 2.5


def test_add_legend__text_grows_with_the_image():
    entries = [LegendEntry((250, 0, 0), 'sky', '100.0%')]

    def swatch(size):
        picture = add_legend(np.zeros((*size, 3), np.uint8), entries)
        return (picture == (250, 0, 0)).all(axis=2).any(axis=0).sum()

    assert swatch((3000, 4000)) > 4 * swatch((300, 400))
