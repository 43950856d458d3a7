"""Color images and overlays."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from swinseg.visualization.colorize import colorize, overlay
from swinseg.visualization.palette import VisualizationError, default_palette

PALETTE = [[10, 20, 30], [200, 100, 0], [0, 0, 255]]
NAMES = ['sky', 'road', 'swimming pool']
LABELS = np.array([[0, 1, 1], [2, 255, 0]], np.uint8)


@settings(deadline=None)
@given(hnp.arrays(np.uint8, (5, 4), elements=st.sampled_from([0, 1, 2, 255])))
def test_colorize__every_pixel_has_its_classs_color(labels):
    picture = colorize(labels, PALETTE)
    assert picture.dtype == np.uint8
    colors = [*PALETTE, [0, 0, 0]]
    for position in itertools.product(range(5), range(4)):
        label = labels[position]
        assert picture[position].tolist() == colors[label if label < 3 else 3]


@pytest.mark.parametrize('dtype', [np.int64, np.uint16, np.int32])
def test_colorize__any_integer_dtype(dtype):
    np.testing.assert_array_equal(
        colorize(LABELS.astype(dtype), PALETTE), colorize(LABELS, PALETTE)
    )


def test_colorize__label_255_is_a_class_of_a_large_palette():
    palette = default_palette(300)
    labels = np.array([[255, 299]], np.uint16)
    np.testing.assert_array_equal(colorize(labels, palette)[0], palette[[255, 299]])


@pytest.mark.parametrize(
    ('labels', 'message'),
    [
        (np.array([[0, 3]]), 'the palette has 3 colors, but the label 3 was found'),
        (np.array([[0, -1]]), 'must hold class indices, but -1 was found'),
        (np.array([[0.0, 1.0]]), 'must be .height, width. whole numbers, but is .1, 2. float64'),
        (np.zeros((2, 2, 1), int), 'must be .height, width. whole numbers, but is .2, 2, 1.'),
    ],
)
def test_colorize__labels_without_a_color(labels, message):
    with pytest.raises(VisualizationError, match=message):
        colorize(labels, PALETTE)


def test_overlay__blends_by_alpha_and_shows_the_photograph_where_ignored():
    image = np.full((2, 3, 3), 100, np.uint8)
    before = image.copy()
    blended = overlay(image, LABELS, PALETTE, alpha=0.25)
    np.testing.assert_array_equal(image, before)
    assert blended[0, 1].tolist() == [125, 100, 75]
    assert blended[1, 1].tolist() == [100, 100, 100]


@pytest.mark.parametrize('alpha', [0, 1])
def test_overlay__at_the_ends_of_alpha(alpha):
    image = np.random.default_rng(0).integers(0, 256, (2, 3, 3), np.uint8)
    labels = np.array([[0, 1, 1], [2, 2, 0]], np.uint8)
    expected = colorize(labels, PALETTE) if alpha else image
    np.testing.assert_array_equal(overlay(image, labels, PALETTE, alpha=alpha), expected)


@pytest.mark.parametrize(
    ('image', 'options', 'message'),
    [
        (np.zeros((2, 2, 3), np.uint8), {}, r'the image is \(2, 2\) and the labels \(2, 3\)'),
        (np.zeros((2, 3), np.uint8), {}, 'an image must be .height, width, 3. uint8 RGB'),
        (np.zeros((2, 3, 3)), {}, 'an image must be .* float64'),
        (np.zeros((2, 3, 3), np.uint8), {'alpha': 1.5}, 'alpha must lie between 0 and 1, but is 1.5'),
        (np.zeros((2, 3, 3), np.uint8), {'classes': ['a']}, 'there are 1 names and 3 colors'),
    ],
)  # fmt: skip
def test_overlay__bad_arguments(image, options, message):
    with pytest.raises(VisualizationError, match=message):
        overlay(image, LABELS, PALETTE, **options)


def test_overlay__with_names_has_a_legend():
    image = np.full((200, 300, 3), 100, np.uint8)
    labels = np.full((200, 300), 1, np.uint8)
    picture = overlay(image, labels, PALETTE, classes=NAMES)
    np.testing.assert_array_equal(picture[:200, :300], overlay(image, labels, PALETTE))
    assert picture.shape != image.shape
    colors = {tuple(color) for color in picture.reshape(-1, 3).tolist()}
    assert (200, 100, 0) in colors
    assert (0, 0, 255) not in colors  # a class that is absent


def test_overlay__of_nothing_has_no_legend():
    labels = np.full((5, 5), 255, np.uint8)
    assert overlay(np.zeros((5, 5, 3), np.uint8), labels, PALETTE, classes=NAMES).shape == (5, 5, 3)


def test_overlay__borders_show_the_colors_at_full_strength():
    image = np.full((20, 30, 3), 100, np.uint8)
    labels = np.zeros((20, 30), np.uint8)
    labels[:, 15:] = 1
    labels[10:, 25:] = 255
    plain, lined = (overlay(image, labels, PALETTE, borders=borders) for borders in (False, True))
    changed = (plain != lined).any(2)
    assert set(np.flatnonzero(changed.any(0)).tolist()) <= {14, 15, 24, 25}
    np.testing.assert_array_equal(lined[changed], colorize(labels, PALETTE)[changed])
    assert (lined[labels == 255] == 100).all()  # the photograph
    assert changed[:, 14:16].any(1).all()
