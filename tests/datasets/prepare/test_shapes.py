"""Polygons and ellipses by the centers of the pixels, and run lengths there and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.path import Path as Outline

from swinseg.datasets.prepare import PrepareError
from swinseg.datasets.prepare.rle import decode_counts, mask_of
from swinseg.datasets.prepare.shapes import ellipse_mask, pasted, polygon_mask, rotated_box

SIZE = (11, 14)


def centers(size=SIZE):
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    return np.stack([columns.ravel(), rows.ravel()], axis=1)


def on_an_edge(corners, size=SIZE):
    """Return which centers lie on an edge to rounding: those may be in or out."""
    found = np.zeros(size, bool)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        along, across = end - start, centers(size) - start
        doubled_area = along[0] * across[:, 1] - along[1] * across[:, 0]
        found |= (abs(doubled_area) < 1e-6).reshape(size)
    return found


coordinate = st.integers(-40, 180).map(lambda value: value / 10)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=3).map(np.array))
def test_polygon_mask__triangles_as_matplotlib_sees_them(corners):
    inside = Outline(corners, closed=False).contains_points(centers()).reshape(SIZE)
    assert ((polygon_mask(corners, SIZE) == inside) | on_an_edge(corners)).all()


def test_polygon_mask__a_rectangle_covers_its_pixels():
    mask = polygon_mask(np.array([[2, 3], [6, 3], [6, 7], [2, 7.0]]), SIZE)
    expected = np.zeros(SIZE, bool)
    expected[3:7, 2:6] = True
    np.testing.assert_array_equal(mask, expected)


def test_polygon_mask__neighbors_share_no_pixel_and_leave_none():
    cut = [(5.5, -1), (7.2, 4.5), (3.1, 8.5), (9, 20.0)]
    left = polygon_mask(np.array([(-9, -1), *cut, (-9, 20)]), SIZE)
    right = polygon_mask(np.array([(99, -1), *cut, (99, 20)]), SIZE)
    assert (left ^ right).all()


def test_ellipse_mask__a_circle():
    mask = ellipse_mask((5.0, 5.0), (3.0, 3.0), SIZE, degrees=77)
    distances = np.hypot(*(centers() - 5).T).reshape(SIZE)
    np.testing.assert_array_equal(mask, distances <= 3)


def test_ellipse_mask__a_quarter_turn_swaps_the_radii():
    lying = ellipse_mask((6.0, 5.0), (5.2, 2.2), SIZE)
    standing = ellipse_mask((6.0, 5.0), (2.2, 5.2), SIZE)
    assert (lying.sum(0) > 0).sum() == 10
    np.testing.assert_array_equal(ellipse_mask((6.0, 5.0), (5.2, 2.2), SIZE, degrees=90), standing)
    assert not ellipse_mask((6.0, 5.0), (0.0, 2.0), SIZE).any()


def test_ellipse_mask__turns_clockwise():
    mask = ellipse_mask((7.0, 5.0), (6.0, 1.0), SIZE, degrees=30)
    rows, columns = np.nonzero(mask)
    assert np.corrcoef(columns, rows)[0, 1] > 0.9  # rows go down


def test_turned_box():
    np.testing.assert_allclose(
        rotated_box(2, 4, 6, 6, degrees=90), [[5, 3], [5, 7], [3, 7], [3, 3]], atol=1e-12
    )


@pytest.mark.parametrize(('top', 'left'), [(-1, 0), (0, -1), (10, 0), (0, 12)])
def test_pasted__leads_out(top, left):
    part = np.ones((2, 3), bool)
    assert pasted(part, 9, 11, SIZE).sum() == 6
    with pytest.raises(ValueError, match='lead out of 11 x 14 pixels'):
        pasted(part, top, left, SIZE)


def runs_of(mask):
    flat = mask.T.ravel()
    ends = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *ends, flat.size]).tolist()
    return [0, *runs] if flat[0] else runs


def compress(runs):
    """Write COCO's compressed form by its definition: differences, five bits a character, lowest first."""
    text = ''
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        while True:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(48 + bits + 32 * more)
            if not more:
                break
    return text


@given(hnp.arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_mask_of__both_forms_give_the_mask_back(mask):
    runs = runs_of(mask)
    np.testing.assert_array_equal(mask_of(runs, mask.shape), mask)
    np.testing.assert_array_equal(mask_of(compress(runs), mask.shape), mask)


def test_mask_of__as_pycocotools_writes_it():
    coco = pytest.importorskip('pycocotools.mask')
    mask = polygon_mask(np.array([[20.0, 5], [300, 90], [150, 380], [10, 250]]), (400, 320))
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    np.testing.assert_array_equal(mask_of(encoded['counts'].decode(), (400, 320)), mask)


def test_decode_counts__large_numbers_and_differences():
    runs = [0, 70000, 5, 69990, 4, 100000, 1]
    assert decode_counts(compress(runs), 10**9) == runs


@pytest.mark.parametrize(
    ('counts', 'message'),
    [
        ([3, 4], 'of 6 pixels must add up to as many, but add up to 7'),
        ([7, -1], 'of 6 pixels must be whole numbers from 0 to as many, but one is 7'),
        ('a b', "holds characters from 0 to o, but ' ' was found"),
        ('0P', 'ends in the middle of a number'),
    ],
)
def test_mask_of__mistakes(counts, message):
    with pytest.raises(PrepareError, match=message):
        mask_of(counts, (2, 3))


@pytest.mark.parametrize(
    'text',
    ['o' * 2**21, 'PP' + 'o' * 2**20 + '0', '0' + 'P' * 40 + '1'],
)
def test_decode_counts__numbers_that_do_not_end(text):
    with pytest.raises(PrepareError, match='a run that is longer than its 192 pixels'):
        mask_of(text, (12, 16))


@pytest.mark.parametrize(
    'counts', [[-1, 7], [7], [2.0, 4], [True, 5], ['6'], [None], [[6]], [10**400], [float('nan')]]
)
def test_mask_of__runs_that_are_none(counts):
    with pytest.raises(PrepareError, match='must be whole numbers from 0 to as many, but one is'):
        mask_of(counts, (2, 3))


def test_polygon_mask__many_corners_are_drawn_and_too_many_refused():
    size = (300, 400)
    comb = np.array([(x / 4, 290 if x % 2 else 10) for x in range(1600)] + [(400, 0), (0, 0)])
    inside = Outline(comb, closed=False).contains_points(centers(size)).reshape(size)
    assert (polygon_mask(comb, size) != inside).mean() < 0.01
    with pytest.raises(ValueError, match=r'crosses the rows of 300 x 400 pixels \d+ times'):
        polygon_mask(np.tile(comb, (10, 1)), size)
    # Corners between two rows of pixels cross none, however many they are.
    assert not polygon_mask(np.tile([(0, 1.6), (300, 1.9), (5, 2.2)], (10**5, 1)), size).any()
