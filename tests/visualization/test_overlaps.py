import numpy as np
import pytest

from swinseg.visualization.overlaps import (
    class_masks,
    class_pixels,
    colorize_overlaps,
    overlay_overlaps,
)
from swinseg.visualization.palette import VisualizationError

PALETTE = [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


def bits(dtype=np.uint8):
    found = np.zeros((40, 60), dtype)
    found[5:30, 5:30] |= dtype(1)
    found[15:38, 20:50] |= dtype(2)
    return found


def colors_in(picture, mask):
    return {tuple(color) for color in picture[mask].tolist()}


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.uint32, np.uint64])
def test_class_masks__any_width(dtype):
    last = 8 * np.dtype(dtype).itemsize - 1
    found = np.array([[0, 1, 1 << last]], dtype)
    masks = list(class_masks(found, last + 1))
    assert masks[0].tolist() == [[False, True, False]]
    assert masks[last].tolist() == [[False, False, True]]
    assert class_pixels(found, last + 1).sum() == 2


def test_colorize_overlaps__stripes_of_all_colors_where_there_are_several():
    picture = colorize_overlaps(bits(), PALETTE)
    assert colors_in(picture, bits() == 0) == {(0, 0, 0)}
    assert colors_in(picture, bits() == 1) == {(255, 0, 0)}
    assert colors_in(picture, bits() == 2) == {(0, 255, 0)}
    assert colors_in(picture, bits() == 3) == {(255, 0, 0), (0, 255, 0)}
    share = (picture[bits() == 3] == (255, 0, 0)).all(axis=1).mean()
    assert 0.35 < share < 0.65


def test_overlay_overlaps__blends_with_the_photograph():
    image = np.full((40, 60, 3), 100, np.uint8)
    before = image.copy()
    picture = overlay_overlaps(image, bits(), PALETTE, alpha=0.4, borders=False)
    np.testing.assert_array_equal(image, before)
    assert colors_in(picture, bits() == 0) == {(100, 100, 100)}
    assert colors_in(picture, bits() == 1) == {(162, 60, 60)}
    assert colors_in(picture, bits() == 3) == {(162, 60, 60), (60, 162, 60)}


def test_overlay_overlaps__rims_in_full_colors():
    image = np.full((40, 60, 3), 100, np.uint8)
    picture = overlay_overlaps(image, bits(), PALETTE)
    assert picture[5, 10].tolist() == [255, 0, 0]
    assert picture[37, 30].tolist() == [0, 255, 0]
    # The rim of one class runs on through the other.
    assert picture[29, 25].tolist() == [255, 0, 0]
    assert picture[15, 28].tolist() == [0, 255, 0]


def test_overlay_overlaps__legend_of_the_classes_present():
    image = np.full((40, 60, 3), 100, np.uint8)
    plain = overlay_overlaps(image, bits(), PALETTE)
    picture = overlay_overlaps(image, bits(), PALETTE, classes=('a', 'b', 'c'))
    assert picture.size > plain.size
    np.testing.assert_array_equal(picture[:40, :60], plain)


@pytest.mark.parametrize(('shape', 'alpha'), [((40, 61), 0.5), ((40, 60), 1.5)])
def test_overlay_overlaps__bad_input(shape, alpha):
    with pytest.raises(VisualizationError):
        overlay_overlaps(np.zeros((*shape, 3), np.uint8), bits(), PALETTE, alpha=alpha)
