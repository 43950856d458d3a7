"""The plots of a report: what is drawn, and where a page finds it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from swinseg.report.figures import confusion_figure, object_size_figure, reliability_figure

SVG = '{http://www.w3.org/2000/svg}'


def texts(svg):
    return [
        ''.join(element.itertext()) for element in ElementTree.fromstring(svg).iter(f'{SVG}text')
    ]


def test_confusion_figure__says_where_its_cells_are():
    svg = confusion_figure(np.eye(3), ['a', 'b', 'c'])
    root = ElementTree.fromstring(svg)
    image = next(root.iter(f'{SVG}image'))
    _, _, width, height = map(float, root.attrib['viewBox'].split())
    left, top, across, down = map(float, root.attrib['data-cells'].split())
    assert float(image.attrib['x']) / width == pytest.approx(left, abs=0.005)
    assert float(image.attrib['width']) / width == pytest.approx(across, abs=0.01)
    assert float(image.attrib['height']) / height == pytest.approx(down, abs=0.01)
    # matplotlib turns the picture upside down about the line between its y and 0.
    shift = float(re.search(r'translate\(0 (-?[\d.]+)\)', image.attrib['transform'])[1])
    assert -(float(image.attrib['y']) + shift + float(image.attrib['height'])) / height == (
        pytest.approx(top, abs=0.01)
    )


@pytest.mark.parametrize(('count', 'numbers'), [(24, 24), (25, 0)])
def test_confusion_figure__writes_numbers_that_can_be_read(count, numbers):
    names = [f'class {index}' for index in range(count)]
    drawn = texts(confusion_figure(np.eye(count), names))
    assert drawn.count('100') == numbers
    assert all(drawn.count(name) == 2 for name in names)


def test_confusion_figure__shortens_long_names_and_takes_them_literally():
    drawn = texts(
        confusion_figure(np.eye(2), ['$x_1$ & <b>', 'chest of drawers, chest, bureau, dresser'])
    )
    assert drawn.count('$x_1$ & <b>') == 2
    assert drawn.count('chest of drawers, chest, …') == 2


def test_object_size_figure__tells_empty_sizes_from_missed_ones():
    drawn = texts(object_size_figure(['small', 'large'], np.array([0.0, np.nan]), np.array([7, 0])))
    joined = ' '.join(drawn)
    assert re.search(r'0%\s*7\b', joined)
    assert re.search(r'-\s*0\b', joined)


def test_figures__draw_in_the_colors_of_the_page():
    empty = np.full(3, np.nan)
    svg = reliability_figure(empty, empty, np.zeros(3))  # no pixel at all
    assert 'var(--ink)' in svg
    assert not re.search('#01010[1-5]', svg)
