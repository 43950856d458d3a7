"""The legend beside a video's frames: one size, and lines that stay."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from swinseg.visualization.legend_panel import LegendPanel
from swinseg.visualization.palette import VisualizationError, default_palette

NAMES = [f'class {i}' for i in range(9)]
PALETTE = default_palette(9)


def panel(count=9, frame_size=(60, 80)):
    return LegendPanel(PALETTE[:count], NAMES[:count], frame_size)


def share(**of):
    values = np.zeros(9)
    for name, value in of.items():
        values[int(name[1:])] = value
    return values


def lines(picture, places):
    """Return which class's color stands in each line, None in an empty one."""
    height = (len(picture) - 12) // places
    found = []
    for place in range(places):
        row = picture[6 + place * height : 6 + (place + 1) * height]
        known = [i for i, color in enumerate(PALETTE) if (row == color).all(2).sum() >= 50]
        assert len(known) <= 1
        found.append(known[0] if known else None)
    return found


def test_draw__a_class_keeps_its_line_and_is_gray_where_it_is_absent():
    legend = panel()
    first = legend.draw(share(c4=0.6, c1=0.4))
    assert first.shape == (*legend.size, 3)
    assert lines(first, 6) == [4, 1, None, None, None, None]
    second = legend.draw(share(c1=0.5, c7=0.5))
    assert lines(second, 6) == [4, 1, 7, None, None, None]
    height = (len(first) - 12) // 6
    there, absent = first[6 : 6 + height], second[6 : 6 + height]
    assert (there < 60).all(2).sum() > (absent < 60).all(2).sum()


def test_draw__a_full_panel_gives_a_line_to_what_covers_more():
    legend = panel()
    legend.draw(share(c0=0.3, c1=0.3, c2=0.2, c3=0.1, c4=0.06, c5=0.04))
    kept = legend.draw(share(c0=0.3, c1=0.3, c2=0.2, c3=0.1, c4=0.06, c5=0.03, c6=0.01))
    assert lines(kept, 6) == [0, 1, 2, 3, 4, 5]
    changed = legend.draw(share(c6=1.0))
    assert lines(changed, 6) == [0, 1, 2, 3, 4, 6]


@settings(max_examples=25, deadline=None)
@given(st.lists(hnp.arrays(float, 9, elements=st.floats(0, 1)), min_size=1, max_size=8))
def test_draw__one_size_no_class_twice_and_the_largest_is_named(shares):
    legend = panel()
    for each in shares:
        picture = legend.draw(each)
        assert picture.shape == (*legend.size, 3)
        named = [i for i in lines(picture, 6) if i is not None]
        assert len(set(named)) == len(named)
        assert len(named) >= min(6, np.count_nonzero(each))


def test_size__grows_with_the_frame_and_never_beyond_the_classes():
    low, high = panel(frame_size=(60, 80)), panel(frame_size=(480, 640))
    assert high.size[0] > low.size[0]
    assert high.size[0] < 480
    assert panel(2).size[0] < low.size[0]


def test_names_must_match_the_palette():
    with pytest.raises(VisualizationError, match='one color per class'):
        LegendPanel(PALETTE, NAMES[:3], (60, 80))
