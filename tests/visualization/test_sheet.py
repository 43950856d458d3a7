"""Many pictures in one."""

import numpy as np
import pytest

from swinseg.visualization.legend import LegendEntry, legend_font
from swinseg.visualization.sheet import Tile, draw_sheet, shortened


def tiles(count, size=(240, 320)):
    rng = np.random.default_rng(0)
    return [
        Tile(rng.integers(1, 255, (*size, 3), np.uint8), f'photo {i}.jpg', 'sky 60%, road 40%')
        for i in range(count)
    ]


def places(sheet, picture):
    """Return the (row, column) at which a picture stands in a sheet, whole."""
    height, width = picture.shape[:2]
    rows, columns = np.nonzero(
        (sheet[: 1 - height or None, : 1 - width or None] == picture[0, 0]).all(2)
    )
    return [
        (row, column)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if np.array_equal(sheet[row : row + height, column : column + width], picture)
    ]  # fmt: skip


@pytest.mark.parametrize('count', [1, 2, 7, 12])
def test_draw_sheet__shows_every_picture_once_and_in_order(count):
    given = tiles(count)
    sheet = draw_sheet(given, [LegendEntry((250, 0, 0), 'sky', '60.0%')])
    found = [places(sheet, tile.picture) for tile in given]
    assert [len(each) for each in found] == [1] * count
    assert [each[0] for each in found] == sorted(each[0] for each in found)
    assert ((sheet == (250, 0, 0)).all(2)).sum() >= 100


def test_draw_sheet__names_stand_below_and_cover_nothing():
    blank = [Tile(np.full((50, 320, 3), 90, np.uint8), name, '') for name in ('a', '')]
    sheet = draw_sheet(blank, [])
    assert len(places(sheet, blank[0].picture)) == 2  # both are whole
    assert (sheet.min(2) < 60).any()  # the name
    assert (draw_sheet([blank[1]] * 2, []).min(2) >= 90).all()


@pytest.mark.parametrize('size', [(320, 320), (100, 320), (320, 40)])
def test_draw_sheet__is_shaped_like_a_screen(size):
    height, width = draw_sheet(tiles(48, size), []).shape[:2]
    assert 0.7 < width / height < 2.2


def test_draw_sheet__pictures_of_several_sizes():
    given = [*tiles(3, (320, 200)), *tiles(3, (20, 320)), *tiles(1, (1, 1))]
    sheet = draw_sheet(given, [])
    assert all(places(sheet, tile.picture) for tile in given)


def test_shortened__fits_and_keeps_both_ends():
    name = 'a_very_long_folder/and_a_very_long_name_of_a_photograph_0042.jpg'
    text = shortened(name, 200)
    assert legend_font(15).getlength(text) <= 200
    start, end = text.split('…')
    assert name.startswith(start)
    assert name.endswith(end)
    assert end.endswith('0042.jpg')
    assert shortened('short.jpg', 200) == 'short.jpg'
