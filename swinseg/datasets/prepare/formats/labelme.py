"""Labelme's JSON files (github.com/wkentaro/labelme): one beside each image, with shapes and their labels."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.files.headers import format_of, is_complete
from swinseg.datasets.files.images import IMAGE_SUFFIXES, decode_label
from swinseg.datasets.labels.map import IGNORE_INDEX
from swinseg.datasets.labels.palettes import distinct_colors
from swinseg.datasets.prepare.annotations import (
    blank_label,
    class_indices,
    class_names,
    embedded_png,
    errors_at,
    field,
    inner_name,
    points,
    read_json,
)
from swinseg.datasets.prepare.odd_entries import OddEntries
from swinseg.datasets.prepare.shapes import ellipse_mask, pasted, polygon_mask, rotated_box
from swinseg.datasets.prepare.source import (
    Label,
    PrepareError,
    Sample,
    Source,
    split_by_name,
)
from swinseg.errors import shown

# Four characters hold three bytes.
_HEAD_CHARACTERS = 88
_EMBEDDED_SUFFIXES = {'JPEG': '.jpg', 'PNG': '.png', 'TIFF': '.tif', 'BMP': '.bmp', 'WebP': '.webp'}

# Labelme's own name.
_IGNORE_LABEL = '__ignore__'


def from_labelme(
    folder: str | os.PathLike[str], *, val_share: float = 0.1, skip_odd: bool = False
) -> Source:
    """Read Labelme files as labels: background, then the labels in alphabetical order.

    Later shapes are on top of earlier ones. The label ``__ignore__`` marks pixels that do not count.

    Args:
        folder: with the JSON files and their images, and sub-folders, such as train and val. An image that is not
            there is taken from inside of its file, where it is.
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
        file = files[path]
        embedded = partial(_embedded_image, path) if file.is_embedded else None
        label = partial(_label, file, path, values, odd, embedded)
        samples.append(Sample(short, split, file.image, label, embedded))
    return Source(names, distinct_colors(len(names)), samples, odd)


class _File(NamedTuple):
    """A file of Labelme and the image that it is about."""

    content: dict[str, Any]
    image: Path
    is_embedded: bool


def _read(path: Path, root: Path) -> _File:
    content = read_json(path)
    # Mostly the image once more: of all files they would fill the memory.
    embedded = content.pop('imageData', None)
    for shape in field(content, 'shapes', list, str(path)):
        field(shape, 'label', str, f'a shape of {path}')
    suffix = _embedded_suffix(embedded)
    image = _image_of(path, content, root, is_needed=suffix is None)
    if image is not None:
        return _File(content, image, is_embedded=False)
    return _File(content, path.with_suffix(suffix or ''), is_embedded=True)


def _embedded_suffix(data: object) -> str | None:
    """Return what the name of an embedded image would end in, or None where there is none that can be read."""
    if not isinstance(data, str):
        return None
    try:
        head = base64.b64decode(data[:_HEAD_CHARACTERS])
    except ValueError:
        return None
    return _EMBEDDED_SUFFIXES.get(format_of(head) or '')


def _embedded_image(path: Path) -> bytes:
    """Return the bytes of the image inside of a file."""
    where = f'the image inside of {path}'
    try:
        data = base64.b64decode(field(read_json(path), 'imageData', str, str(path)), validate=True)
    except ValueError as error:
        raise PrepareError(f'{where} is damaged: {error}; put the image beside the file') from error
    if format_of(data) is None or not is_complete(data):
        raise PrepareError(f'{where} is cut short or no image; put the image beside the file')
    return data


def _image_of(
    path: Path, content: Mapping[str, Any], root: Path, *, is_needed: bool
) -> Path | None:
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
    if not is_needed:
        return None
    raise PrepareError(
        f'{path} is about the image {shown(named or path.stem)}, which is not there; put it beside the file'
    )


def _label(
    file: _File,
    path: Path,
    values: Mapping[str, int],
    odd: OddEntries,
    embedded: Callable[[], bytes] | None,
) -> Label:
    content, expected = file.content, None
    if content.get('imageHeight') is not None:
        where = str(path)
        expected = (
            field(content, 'imageHeight', int, where),
            field(content, 'imageWidth', int, where),
        )
    data = None if embedded is None else embedded()
    label = blank_label(file.image, expected, str(path), content=data)
    for number, shape in enumerate(content['shapes'], 1):
        size = (label.shape[0], label.shape[1])
        mask = odd.attempt(partial(_mask, shape, size, f'shape {number} of {path}'))
        if mask is not None:
            label[mask] = values[shape['label']]
    return label


def _mask(shape: Mapping[str, Any], size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    with errors_at(where):
        return _area(shape, size, where)


def _area(shape: Mapping[str, Any], size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    kind = shape.get('shape_type') or 'polygon'
    # Turned rectangles have their corners: of Labelme, and of programs that write its files.
    if kind in ('polygon', 'oriented_rectangle', 'rotation'):
        return polygon_mask(points(shape.get('points'), where, fewest=3), size)
    if kind not in ('rectangle', 'circle', 'mask'):
        raise PrepareError(
            f'{where} is a {shown(kind)}, which covers no area; draw a polygon, rectangle, circle or mask instead'
        )
    corners = points(shape.get('points'), where, fewest=2)
    (left, top), (right, bottom) = corners.min(0), corners.max(0)
    if kind == 'rectangle':
        return polygon_mask(rotated_box(left, top, right, bottom), size)
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
