"""Labelme's JSON files (github.com/wkentaro/labelme): one beside each image, with shapes and their labels."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.class_colors import distinct_colors
from swinseg.datasets.image_files import IMAGE_SUFFIXES, decode_label
from swinseg.datasets.label_map import IGNORE_INDEX
from swinseg.datasets.prepare.annotations import (
    blank_label,
    class_indices,
    class_names,
    embedded_png,
    field,
    inner_name,
    points,
    read_json,
    told_with,
)
from swinseg.datasets.prepare.odd_entries import OddEntries
from swinseg.datasets.prepare.shapes import ellipse_mask, pasted, polygon_mask, turned_box
from swinseg.datasets.prepare.source import (
    Label,
    PrepareError,
    Sample,
    Source,
    split_by_name,
)
from swinseg.errors import shown

# Labelme's own name.
_IGNORE_LABEL = '__ignore__'


def from_labelme(
    folder: str | os.PathLike[str], *, val_share: float = 0.1, skip_odd: bool = False
) -> Source:
    """Read Labelme files as labels: background, then the labels in alphabetical order.

    Later shapes are on top of earlier ones. The label ``__ignore__`` marks pixels that do not count.

    Args:
        folder: with the JSON files and their images, and sub-folders, such as train and val.
        val_share: of the images, held out where no folders say the split.
        skip_odd: leave out shapes without area, files that are not Labelme's, and those whose image is missing.

    Raises:
        PrepareError: a file is not as it should be, its image is missing or outside of the folder, or there is
            no file; a shape covers no area when the label is made.
        DataError: an image cannot be read, when its label is made.
    """
    root = Path(folder)
    paths = sorted(root.rglob('*.json'))
    if not paths:
        raise PrepareError(f'there is no Labelme file (*.json) in {root}; check the folder')
    odd = OddEntries(skip=skip_odd)
    files = {path: file for path in paths if (file := odd.attempt(partial(_read, path, root)))}
    odd.check()
    found = {shape['label'] for file in files.values() for shape in file.content['shapes']}
    found.discard(_IGNORE_LABEL)
    names = class_names(sorted(found), str(root))
    values = {**class_indices(found, names), _IGNORE_LABEL: IGNORE_INDEX}
    relative = {path.relative_to(root).with_suffix('').as_posix(): path for path in files}
    placed = split_by_name(list(relative), val_share=val_share)
    samples = []
    for name, path in relative.items():
        split, short = placed[name]
        label = partial(_label, files[path].image, path, files[path].content, values, odd)
        samples.append(Sample(short, split, files[path].image, label))
    return Source(names, distinct_colors(len(names)), samples, odd)


class _File(NamedTuple):
    """A file of Labelme and the image that it is about."""

    content: dict[str, Any]
    image: Path


def _read(path: Path, root: Path) -> _File:
    content = read_json(path)
    content.pop('imageData', None)  # the image once more, which would fill the memory for nothing
    for shape in field(content, 'shapes', list, str(path)):
        field(shape, 'label', str, f'a shape of {path}')
    return _File(content, _image_of(path, content, root))


def _image_of(path: Path, content: Mapping[str, Any], root: Path) -> Path:
    where = str(path)
    named = field(content, 'imagePath', str, where) if content.get('imagePath') else ''
    candidates = [path.with_suffix(suffix) for suffix in IMAGE_SUFFIXES]
    # Some programs name the file itself.
    if named and not named.lower().endswith('.json'):
        below = path.parent.relative_to(root).as_posix()
        candidates.insert(0, root / inner_name(named, where, below=below))
    for candidate in candidates:
        if os.path.isfile(candidate):
            return candidate
    raise PrepareError(
        f'{path} is about the image {shown(named or path.stem)}, which is not there; put it beside the file'
    )


def _label(
    image: Path,
    path: Path,
    content: Mapping[str, Any],
    values: Mapping[str, int],
    odd: OddEntries,
) -> Label:
    expected = None
    if content.get('imageHeight') is not None:
        where = str(path)
        expected = (
            field(content, 'imageHeight', int, where),
            field(content, 'imageWidth', int, where),
        )
    label = blank_label(image, expected, str(path))
    for number, shape in enumerate(content['shapes'], 1):
        size = (label.shape[0], label.shape[1])
        mask = odd.attempt(partial(_mask, shape, size, f'shape {number} of {path}'))
        if mask is not None:
            label[mask] = values[shape['label']]
    return label


def _mask(shape: Mapping[str, Any], size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    with told_with(where):
        return _area(shape, size, where)


def _area(shape: Mapping[str, Any], size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    kind = shape.get('shape_type') or 'polygon'
    if kind in ('polygon', 'oriented_rectangle'):
        return polygon_mask(points(shape.get('points'), where, fewest=3), size)
    if kind not in ('rectangle', 'circle', 'mask'):
        raise PrepareError(
            f'{where} is a {shown(kind)}, which covers no area; draw a polygon, rectangle, circle or mask instead'
        )
    corners = points(shape.get('points'), where, fewest=2)
    (left, top), (right, bottom) = corners.min(0), corners.max(0)
    if kind == 'rectangle':
        return polygon_mask(turned_box(left, top, right, bottom), size)
    if kind == 'circle':
        (x, y), edge = corners[0], corners[1]
        radius = math.dist((x, y), edge)
        return ellipse_mask((x, y), (radius, radius), size)
    place = round(top), round(left)
    try:
        png = embedded_png(base64.b64decode(field(shape, 'mask', str, where)), *place, size)
        return pasted(decode_label(png, where) > 0, *place, size)
    except ValueError as error:
        raise PrepareError(
            f'the mask of {where} is damaged or leads out of the image: {error}'
        ) from error
