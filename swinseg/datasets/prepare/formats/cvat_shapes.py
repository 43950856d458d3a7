"""Labels and shapes of CVAT's XML files (github.com/cvat-ai/cvat), for images and for videos."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.prepare.annotations import (
    MOST_COORDINATE,
    blank_label,
    class_indices,
    class_names,
    errors_at,
    points,
)
from swinseg.datasets.prepare.odd_entries import OddEntries
from swinseg.datasets.prepare.rle import runs_of
from swinseg.datasets.prepare.shapes import (
    check_inside,
    ellipse_mask,
    pasted,
    polygon_mask,
    rotated_box,
)
from swinseg.datasets.prepare.source import Label, PrepareError
from swinseg.errors import quoted

_WITHOUT_AREA = ('polyline', 'points', 'cuboid', 'skeleton')
SHAPES = ('polygon', 'box', 'ellipse', 'mask', *_WITHOUT_AREA)
BOX_NUMBERS = ('xtl', 'ytl', 'xbr', 'ybr')
ELLIPSE_NUMBERS = ('cx', 'cy', 'rx', 'ry')


class _PlainTree(TreeBuilder):
    """Builds a tree of a file without a document type, whose entities could fill the memory."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Refuse a document type."""
        raise ParseError(f'it has the document type {name}, which no export has')


def read_xml(path: Path) -> Element:
    """Return the root of an XML file without a document type.

    Raises:
        PrepareError: it cannot be read, or is no such file.
    """
    parser = XMLParser(target=_PlainTree())
    try:
        parser.feed(path.read_bytes())
        root: Element = parser.close()
    except OSError as error:
        raise PrepareError(f'{path} cannot be read: {error.strerror or error}') from error
    except (LookupError, UnicodeError, ValueError) as error:
        # An encoding that Python does not know, or of which a character has several bytes, such as gbk.
        raise PrepareError(
            f'{path} is in an encoding that the XML reader does not know ({error}); save it as UTF-8, as CVAT does'
        ) from error
    except ParseError as error:
        raise PrepareError(f'{path} is no valid XML of CVAT: {error}; export it again') from error
    return root


def label_names(root: Element, path: Path) -> tuple[list[str], dict[str, int]]:
    """Return the class names, background and then the labels in their order, and the class index of each label.

    Raises:
        PrepareError: there are none, or one is not as it should be.
    """
    found = [label.findtext('name', '') for label in root.iterfind('meta/*/labels/label')
             if label.find('parent') is None]  # fmt: skip
    if not found:
        raise PrepareError(
            f'{path} names no labels below meta; export the task as "CVAT for images 1.1"'
        )
    names = class_names(found, str(path))
    return names, class_indices(found, names)


def label_of(
    file: Path,
    expected: tuple[int, int] | None,
    shapes: Iterable[tuple[str, str, Element]],
    values: Mapping[str, int],
    where: str,
    odd: OddEntries,
) -> Label:
    """Return the label that shapes make: those with a higher ``z_order`` on top, and later ones at one height.

    Args:
        file: the image.
        expected: (height, width) that the XML file says, or None.
        shapes: of the image, each with the name of its label, and where it stands, for the message.
        values: class index by the name of the label.
        where: the XML file, for the message.
        odd: gets shapes that cover no area, are of another label, or are not as they should be.

    Raises:
        PrepareError: a height is no number.
        DataError: the image cannot be read, or has another size.
    """
    label = blank_label(file, expected, where)
    # Sorting keeps the order of shapes at one height.
    for name, place, shape in sorted(shapes, key=lambda entry: _height(entry[2], entry[1])):
        size = (label.shape[0], label.shape[1])
        mask = odd.attempt(partial(_labeled_mask, shape, name, values, size, place))
        if mask is not None:
            label[mask] = values[name]
    return label


def _labeled_mask(
    shape: Element, name: str, values: Mapping[str, int], size: tuple[int, int], where: str
) -> NDArray[np.bool_]:
    if name not in values:
        raise PrepareError(
            f'{where} has the label {quoted(name)}, which is not among those of the task'
        )
    with errors_at(where):
        return _mask(shape, size, where)


def _height(shape: Element, where: str) -> float:
    return number_of(shape, 'z_order', where) if 'z_order' in shape.attrib else 0.0


def _mask(shape: Element, size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    """Return the (height, width) bool mask of a shape."""
    if shape.tag in _WITHOUT_AREA:
        raise PrepareError(
            f'{where} is a {shape.tag}, which covers no area; draw a polygon, box, ellipse or mask instead'
        )
    if shape.tag == 'polygon':
        corners = [pair.split(',') for pair in shape.get('points', '').split(';')]
        return polygon_mask(points(corners, where, fewest=3), size)
    if shape.tag == 'mask':
        return _painted(shape, size, where)
    turn = number_of(shape, 'rotation', where) if 'rotation' in shape.attrib else 0.0
    if shape.tag == 'box':
        left, top, right, bottom = numbers_of(shape, BOX_NUMBERS, where)
        return polygon_mask(rotated_box(left, top, right, bottom, degrees=turn), size)
    x, y, across, down = numbers_of(shape, ELLIPSE_NUMBERS, where)
    return ellipse_mask((x, y), (across, down), size, degrees=turn)


def _painted(shape: Element, size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    """Return a mask that is given by the lengths of runs of 0 and 1 in turn, along the rows of its box."""
    left, top, width, height = (
        int(value) for value in numbers_of(shape, ('left', 'top', 'width', 'height'), where)
    )
    try:
        check_inside(height, width, top, left, size)
        runs = [int(run) for run in shape.get('rle', '').split(',')]
        part = runs_of(runs, height * width).reshape(height, width)
        return pasted(part, top, left, size)
    except ValueError as error:
        raise PrepareError(f'the mask of {where} is damaged: {error}') from error


def numbers_of(entry: Element, keys: Sequence[str], where: str) -> list[float]:
    """Return several attributes as :func:`number_of` does one."""
    return [number_of(entry, key, where) for key in keys]


def number_of(entry: Element, key: str, where: str) -> float:
    """Return an attribute that is a number.

    Raises:
        PrepareError: it is missing, or is none of a sensible size.
    """
    try:
        value = float(entry.get(key, ''))
    except ValueError:
        value = math.nan
    if not abs(value) < MOST_COORDINATE:
        found = entry.get(key)
        raise PrepareError(f'{where} must have {key!r}, a number, but has {quoted(found)}')
    return value
