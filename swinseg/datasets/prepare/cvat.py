"""CVAT's "for images" format 1.1 (github.com/cvat-ai/cvat): one XML file about all images, with shapes and their
labels.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.class_colors import distinct_colors
from swinseg.datasets.prepare.annotations import (
    MOST_COORDINATE,
    blank_label,
    class_indices,
    class_names,
    inner_name,
    points,
    told_with,
)
from swinseg.datasets.prepare.odd_entries import OddEntries
from swinseg.datasets.prepare.rle import runs_of
from swinseg.datasets.prepare.shapes import (
    check_inside,
    ellipse_mask,
    pasted,
    polygon_mask,
    turned_box,
)
from swinseg.datasets.prepare.source import Label, PrepareError, Sample, Source, split_by_name
from swinseg.errors import quoted, shown

ANNOTATIONS_FILE = 'annotations.xml'
_WITHOUT_AREA = ('polyline', 'points', 'cuboid', 'skeleton')
_SHAPES = ('polygon', 'box', 'ellipse', 'mask', *_WITHOUT_AREA)
# What CVAT calls images of no subset.
_NO_SUBSET = 'default'


def from_cvat(
    folder: str | os.PathLike[str], *, val_share: float = 0.1, skip_odd: bool = False
) -> Source:
    """Read an export of CVAT as labels: background, then the labels in the order of the task.

    Shapes with a higher ``z_order`` are on top, and later ones on those before them. A label that is called
    background marks background.

    Args:
        folder: with ``annotations.xml``, and the images in ``images`` or beside it.
        val_share: of the images, held out where neither subsets nor folders say the split.
        skip_odd: leave out shapes without area, and images that are missing.

    Raises:
        PrepareError: the file is not as it should be, or an image is missing; a shape that covers no area when
            the label is made.
        DataError: an image cannot be read, when its label is made.
    """
    path = Path(folder) / ANNOTATIONS_FILE
    root = _read_xml(path)
    found = [label.findtext('name', '') for label in root.iterfind('meta/*/labels/label')
             if label.find('parent') is None]  # fmt: skip
    if not found:
        raise PrepareError(
            f'{path} names no labels below meta; export the task as "CVAT for images 1.1"'
        )
    names = class_names(found, str(path))
    values = class_indices(found, names)
    odd = OddEntries(skip=skip_odd)
    images = list(root.iterfind('image'))
    if not images and root.find('track') is not None:
        raise PrepareError(
            f'{path} is about the frames of a video; export the task as "CVAT for images 1.1"'
        )
    relative = {_name(image, path): image for image in images}
    if len(relative) < len(images):
        raise PrepareError(f'{path} has two entries for one image; export one task at a time')
    placed = split_by_name([_without_suffix(name) for name in relative], val_share=val_share)
    samples = []
    for name, image in relative.items():
        split, short = placed[_without_suffix(name)]
        file = odd.attempt(partial(_file_of, image, name, path))
        if file is not None:
            label = partial(_label, file, image, values, str(path), odd)
            samples.append(Sample(short, split, file, label))
    odd.check()
    return Source(names, distinct_colors(len(names)), samples, odd)


class _PlainTree(TreeBuilder):
    """Builds a tree of a file without a document type, whose entities could fill the memory."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Refuse a document type."""
        raise ParseError(f'it has the document type {name}, which no export has')


def _read_xml(path: Path) -> Element:
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


def _name(image: Element, path: Path) -> str:
    """Return an image's path below the folder of its subset, which comes first where there is one."""
    name, subset = image.get('name', ''), image.get('subset', _NO_SUBSET)
    if not name:
        raise PrepareError(
            f'image {shown(image.get("id"))} of {path} must have a name, but has none'
        )
    return inner_name(name if subset == _NO_SUBSET else f'{subset}/{name}', f'an image of {path}')


def _without_suffix(name: str) -> str:
    return Path(name).with_suffix('').as_posix()


def _file_of(image: Element, name: str, path: Path) -> Path:
    for folder in (path.parent / 'images', path.parent):
        for each in (name, inner_name(image.get('name', ''), f'an image of {path}')):
            if os.path.isfile(folder / each):
                return folder / each
    raise PrepareError(
        f'the image {shown(name)} of {path} is not in {path.parent / "images"}; export the task with its images, '
        'or put them there'
    )


def _label(
    file: Path, image: Element, values: Mapping[str, int], where: str, odd: OddEntries
) -> Label:
    at = f'image {shown(image.get("name"))} of {where}'
    height, width = (int(_number(image, side, at)) for side in ('height', 'width'))
    label = blank_label(file, (height, width), where)
    shapes = [(number, shape) for number, shape in enumerate(image, 1) if shape.tag in _SHAPES]
    # Sorting keeps the order of shapes at one height.
    shapes.sort(
        key=lambda pair: _number(pair[1], 'z_order', at) if 'z_order' in pair[1].attrib else 0.0
    )
    for number, shape in shapes:
        place = f'shape {number} of {at}'
        mask = odd.attempt(partial(_mask, shape, values, (height, width), place))
        if mask is not None:
            label[mask] = values[shape.get('label', '')]
    return label


def _mask(
    shape: Element, values: Mapping[str, int], size: tuple[int, int], where: str
) -> NDArray[np.bool_]:
    """Return the (height, width) bool mask of a shape that has one of the labels."""
    name = shape.get('label', '')
    if name not in values:
        raise PrepareError(
            f'{where} has the label {quoted(name)}, which is not among those of the task'
        )
    with told_with(where):
        return _area(shape, size, where)


def _area(shape: Element, size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    if shape.tag in _WITHOUT_AREA:
        raise PrepareError(
            f'{where} is a {shape.tag}, which covers no area; draw a polygon, box, ellipse or mask instead'
        )
    if shape.tag == 'polygon':
        corners = [pair.split(',') for pair in shape.get('points', '').split(';')]
        return polygon_mask(points(corners, where, fewest=3), size)
    if shape.tag == 'mask':
        return _painted(shape, size, where)
    turn = _number(shape, 'rotation', where) if 'rotation' in shape.attrib else 0.0
    if shape.tag == 'box':
        left, top, right, bottom = _numbers(shape, ('xtl', 'ytl', 'xbr', 'ybr'), where)
        return polygon_mask(turned_box(left, top, right, bottom, degrees=turn), size)
    x, y, across, down = _numbers(shape, ('cx', 'cy', 'rx', 'ry'), where)
    return ellipse_mask((x, y), (across, down), size, degrees=turn)


def _painted(shape: Element, size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    """Return a mask that is given by the lengths of runs of 0 and 1 in turn, along the rows of its box."""
    left, top, width, height = (
        int(value) for value in _numbers(shape, ('left', 'top', 'width', 'height'), where)
    )
    try:
        check_inside(height, width, top, left, size)
        runs = [int(run) for run in shape.get('rle', '').split(',')]
        part = runs_of(runs, height * width).reshape(height, width)
        return pasted(part, top, left, size)
    except ValueError as error:
        raise PrepareError(f'the mask of {where} is damaged: {error}') from error


def _numbers(entry: Element, keys: Sequence[str], where: str) -> list[float]:
    return [_number(entry, key, where) for key in keys]


def _number(entry: Element, key: str, where: str) -> float:
    try:
        value = float(entry.get(key, ''))
    except ValueError:
        value = math.nan
    if not abs(value) < MOST_COORDINATE:
        found = entry.get(key)
        raise PrepareError(f'{where} must have {key!r}, a number, but has {quoted(found)}')
    return value
