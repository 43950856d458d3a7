"""Colour images, overlays, legends and indexed PNG files."""

import itertools

import cv2
import mmcv
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from swinseg.files import OutputError
from swinseg.visualization.colorize import (
    LegendEntry,
    add_legend,
    areas,
    colorize,
    legend_entries,
    overlay,
    save_indexed_png,
)
from swinseg.visualization.palette import VisualizationError, default_palette

PALETTE = [[10, 20, 30], [200, 100, 0], [0, 0, 255]]
NAMES = ['sky', 'road', 'swimming pool']
LABELS = np.array([[0, 1, 1], [2, 255, 0]], np.uint8)


@given(hnp.arrays(np.uint8, (5, 4), elements=st.sampled_from([0, 1, 2, 255])))
def test_colorize__every_pixel_has_its_classs_colour(labels):
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
        (np.array([[0, 3]]), 'the palette has 3 colours, but the label 3 was found'),
        (np.array([[0, -1]]), 'must hold class indices, but -1 was found'),
        (np.array([[0.0, 1.0]]), 'must be .height, width. whole numbers, but is .1, 2. float64'),
        (np.zeros((2, 2, 1), int), 'must be .height, width. whole numbers, but is .2, 2, 1.'),
    ],
)
def test_colorize__labels_without_a_colour(labels, message):
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
        (np.zeros((2, 3, 3), np.uint8), {'classes': ['a']}, 'there are 1 names and 3 colours'),
    ],
)  # fmt: skip
def test_overlay__bad_arguments(image, options, message):
    with pytest.raises(VisualizationError, match=message):
        overlay(image, LABELS, PALETTE, **options)


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


def test_areas__ignored_pixels_count_in_the_whole():
    np.testing.assert_allclose(areas(LABELS, 3), [2 / 6, 2 / 6, 1 / 6])


SIZES = [(1, 1), (20, 400), (400, 20), (64, 64), (333, 517), (1200, 900)]


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('count', [1, 3, 40])
def test_add_legend__leaves_the_photograph_alone_and_shows_every_colour(size, count):
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


@pytest.mark.parametrize('num_classes', [2, 3, 16, 150, 256])
def test_save_indexed_png__has_8_bits_and_the_palette_inside(tmp_path, num_classes):
    palette = default_palette(num_classes)
    labels = np.random.default_rng(0).integers(0, num_classes, (9, 14), dtype=np.uint8)
    path = tmp_path / 'labels.png'
    save_indexed_png(path, labels, palette)
    assert path.read_bytes()[24:26] == bytes([8, 3])  # bit depth, colour type "palette"
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.array(image), labels)
        np.testing.assert_array_equal(np.array(image.convert('RGB')), palette[labels])
    as_mmcv = mmcv.imread(path, flag='unchanged', backend='pillow')
    np.testing.assert_array_equal(as_mmcv, labels)


def test_save_indexed_png__ignored_pixels_keep_255(tmp_path):
    save_indexed_png(tmp_path / 'labels.png', LABELS, PALETTE)
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / 'labels.png')), LABELS)


def test_save_indexed_png__of_more_than_256_classes_has_16_bits(tmp_path):
    labels = np.random.default_rng(0).integers(0, 300, (9, 14)).astype(np.uint16)
    save_indexed_png(tmp_path / 'labels.png', labels, default_palette(300))
    found = cv2.imread(str(tmp_path / 'labels.png'), cv2.IMREAD_UNCHANGED)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, labels)


def test_save_indexed_png__values_that_do_not_fit(tmp_path):
    with pytest.raises(VisualizationError, match='stored as 0 to 255, but 0 to 256 were found'):
        save_indexed_png(tmp_path / 'labels.png', np.array([[0, 256]]), PALETTE)
    assert list(tmp_path.iterdir()) == []


def test_save_indexed_png__where_it_cannot(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OutputError, match='cannot write'):
        save_indexed_png(tmp_path / 'file' / 'labels.png', LABELS, PALETTE)
