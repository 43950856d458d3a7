"""Datumaro's own format (github.com/open-edge-platform/datumaro): a JSON file for each subset."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.files.images import IMAGE_SUFFIXES
from swinseg.datasets.labels.palettes import distinct_colors
from swinseg.datasets.prepare.annotations import (
    blank_label,
    class_indices,
    class_names,
    errors_at,
    field,
    inner_name,
    points,
    read_json,
)
from swinseg.datasets.prepare.odd_entries import OddEntries
from swinseg.datasets.prepare.rle import mask_of
from swinseg.datasets.prepare.shapes import ellipse_mask, polygon_mask, rotated_box
from swinseg.datasets.prepare.source import Label, PrepareError, Sample, Source, split_by_name
from swinseg.errors import shown

# Of the whole image.
_WITHOUT_PLACE = ('label', 'caption', 'hash_key', 'feature_vector')
_IMAGES = 'images'


def from_datumaro(
    folder: str | os.PathLike[str], *, val_share: float = 0.1, skip_odd: bool = False
) -> Source:
    """Read Datumaro's annotations as labels: background, then the labels in their order.

    Annotations with a higher ``z_order`` are on top, and later ones on those before them. A label that is called
    background marks background.

    Args:
        folder: with ``annotations/SUBSET.json``, and the images in ``images/SUBSET`` or ``images``.
        val_share: of the images, held out where no subsets say the split.
        skip_odd: leave out annotations without area, and images that are missing.

    Raises:
        PrepareError: a file is not as it should be, an image is missing, or two subsets have other labels; an
            annotation that covers no area when the label is made.
        DataError: an image cannot be read, when its label is made.
    """
    root = Path(folder)
    paths = sorted((root / 'annotations').glob('[!.]*.json'))
    if not paths:
        raise PrepareError(
            f'there is no annotation (annotations/*.json) in {root}; check the folder'
        )
    odd = OddEntries(skip=skip_odd)
    found: list[str] | None = None
    entries: dict[str, tuple[Path, Mapping[str, Any], str]] = {}
    for path in paths:
        content = read_json(path)
        names = _labels(content, str(path))
        if found is not None and names != found:
            raise PrepareError(
                f'{path} has other labels than {paths[0]}; give subsets of one dataset'
            )
        found = names
        below = f'{path.stem}/' if len(paths) > 1 else ''
        for item in field(content, 'items', list, str(path)):
            identity = field(item, 'id', str, f'an item of {path}')
            where = f'item {shown(identity)} of {path}'
            name = below + inner_name(identity, where)
            if name in entries:
                raise PrepareError(f'{path} has two items of the id {shown(identity)}; remove one')
            image = odd.attempt(partial(_image_of, item, root, path.stem, where))
            if image is not None:
                entries[name] = (image, item, where)
    odd.check()
    assert found is not None
    classes = class_names(found, str(paths[0]))
    indices = class_indices(found, classes)
    values = [indices[name] for name in found]
    placed = split_by_name(list(entries), val_share=val_share)
    samples = [
        Sample(
            placed[name][1],
            placed[name][0],
            image,
            partial(_label, image, item, values, where, odd),
        )
        for name, (image, item, where) in entries.items()
    ]
    return Source(classes, distinct_colors(len(classes)), samples, odd)


def _labels(content: Mapping[str, Any], where: str) -> list[str]:
    categories = field(
        field(content, 'categories', dict, where), 'label', dict, f'categories of {where}'
    )
    return [
        field(entry, 'name', str, f'a label of {where}')
        for entry in field(categories, 'labels', list, f'the label categories of {where}')
    ]


def _image_of(item: Mapping[str, Any], root: Path, subset: str, where: str) -> Path:
    image = field(item, 'image', dict, where)
    identity = inner_name(item['id'], where)
    named = [f'{identity}{suffix}' for suffix in IMAGE_SUFFIXES]
    if image.get('path'):
        named.insert(0, inner_name(field(image, 'path', str, where), where))
    for name in named:
        for folder in (root / _IMAGES / subset, root / _IMAGES):
            if os.path.isfile(folder / name):
                return folder / name
    raise PrepareError(
        f'the image {shown(named[0])} of {where} is not in {root / _IMAGES}; export the dataset with its images'
    )


def _label(
    image: Path, item: Mapping[str, Any], values: Sequence[int], where: str, odd: OddEntries
) -> Label:
    size = field(item['image'], 'size', list, where) if item['image'].get('size') else None
    if size is not None and (len(size) != 2 or any(type(side) is not int for side in size)):
        raise PrepareError(f"{where} must have 'size', [height, width], but has {shown(size)}")
    label = blank_label(image, None if size is None else (size[0], size[1]), where)
    shapes = []
    for number, entry in enumerate(field(item, 'annotations', list, where), 1):
        place = f'annotation {number} of {where}'
        if field(entry, 'type', str, place) not in _WITHOUT_PLACE:
            height = entry.get('z_order')
            shapes.append(
                (0 if height is None else field(entry, 'z_order', int, place), place, entry)
            )
    # Sorting keeps the order of shapes at one height.
    for _, place, entry in sorted(shapes, key=lambda shape: shape[0]):
        side = (label.shape[0], label.shape[1])
        mask = odd.attempt(partial(_labeled_mask, entry, len(values), side, place))
        if mask is not None:
            label[mask] = values[entry['label_id']]
    return label


def _labeled_mask(
    entry: Mapping[str, Any], count: int, size: tuple[int, int], where: str
) -> NDArray[np.bool_]:
    index = field(entry, 'label_id', int, where)
    if not 0 <= index < count:
        raise PrepareError(f'{where} has the label {shown(index)}, which is not among the labels')
    with errors_at(where):
        return _mask(entry, size, where)


def _mask(entry: Mapping[str, Any], size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    """Return the (height, width) bool mask of an annotation."""
    kind = entry['type']
    if kind == 'polygon':
        return polygon_mask(points(entry.get('points'), where, fewest=3), size)
    if kind == 'mask':
        given = field(entry, 'rle', dict, where)
        counts = field(given, 'counts', (list, str), where)
        if tuple(field(given, 'size', list, where)) != size:
            raise PrepareError(
                f'{where} has a mask of {shown(given["size"])}, but its image is {list(size)}'
            )
        return mask_of(counts, size)
    if kind == 'bbox':
        (left, top), (width, height) = _two_points(entry.get('bbox'), where)
        return polygon_mask(rotated_box(left, top, left + width, top + height), size)
    if kind == 'ellipse':
        (left, top), (right, bottom) = _two_points(entry.get('points'), where)
        center, radii = (
            ((left + right) / 2, (top + bottom) / 2),
            ((right - left) / 2, (bottom - top) / 2),
        )
        return ellipse_mask(center, radii, size)
    raise PrepareError(
        f'{where} is a {shown(kind)}, which covers no area; draw a polygon, mask, bbox or ellipse instead'
    )


def _two_points(values: Any, where: str) -> NDArray[np.float64]:
    found = points(values, where, fewest=2)
    if len(found) != 2:
        raise PrepareError(f'{where} must have 4 numbers, but has {shown(values)}')
    return found
