"""COCO's instance and stuff annotations (Lin et al., 2014): polygons and run-length encoded masks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.class_colors import distinct_colors
from swinseg.datasets.prepare.annotations import (
    blank_label,
    class_names,
    field,
    inner_name,
    points,
    read_json,
    told_with,
)
from swinseg.datasets.prepare.rle import mask_of
from swinseg.datasets.prepare.shapes import polygon_mask
from swinseg.datasets.prepare.source import (
    TRAIN,
    Label,
    PrepareError,
    Sample,
    Source,
    split_by_name,
)
from swinseg.errors import shown

Parts = Mapping[str, tuple[str | os.PathLike[str], str | os.PathLike[str]]]


def from_coco(parts: Parts, *, val_share: float = 0.1) -> Source:
    """Read COCO annotations as labels: background, then the categories by their ids.

    Where annotations overlap, the one with the smaller area is on top. Crowds count as their category. A category
    that is called background marks background.

    Args:
        parts: annotation file and folder of images by split, ``'train'`` and ``'val'``.
        val_share: of the images, held out where there is only ``'train'``.

    Raises:
        PrepareError: a file is not as it should be, an image is missing, or two files have other categories.
        DataError: an image cannot be read, when its label is made.
    """
    classes: list[str] | None = None
    samples: list[Sample] = []
    for split, (path, images) in parts.items():
        where = os.fspath(path)
        content = read_json(path)
        indices, names = _categories(content, where)
        if classes is not None and classes != names:
            raise PrepareError(
                f'{where} has other categories than the file before it; give files of one dataset'
            )
        classes = names
        samples += _samples(content, where, Path(images), indices, split)
    assert classes is not None
    if list(parts) == [TRAIN]:
        placed = split_by_name([sample.name for sample in samples], val_share=val_share)
        samples = [
            replace(sample, split=placed[sample.name][0], name=placed[sample.name][1])
            for sample in samples
        ]
    return Source(classes, distinct_colors(len(classes)), samples)


def _categories(content: Mapping[str, Any], where: str) -> tuple[dict[int, int], list[str]]:
    """Return the class index by category id, and the class names."""
    found: dict[int, str] = {}
    at = f'a category of {where}'
    for entry in field(content, 'categories', list, where):
        number, name = field(entry, 'id', int, at), field(entry, 'name', str, at)
        if number in found or name in found.values():
            what = f'id {shown(number)}' if number in found else f'name {shown(name)}'
            raise PrepareError(
                f'{where} has two categories of the {what}; give each its own, or merge them into one'
            )
        found[number] = name
    names = class_names([found[number] for number in sorted(found)], where)
    indices = {name: index for index, name in enumerate(names)}
    return {number: indices[name] for number, name in found.items()}, names


def _samples(
    content: Mapping[str, Any], where: str, folder: Path, indices: Mapping[int, int], split: str
) -> list[Sample]:
    annotations: dict[int, list[Mapping[str, Any]]] = {}
    for entry in field(content, 'annotations', list, where):
        at = _place(entry, where)
        category = field(entry, 'category_id', int, at)
        if category not in indices:
            raise PrepareError(
                f'{at} has the category {shown(category)}, which is not among the categories'
            )
        annotations.setdefault(field(entry, 'image_id', int, at), []).append(entry)
    samples = []
    numbers: set[int] = set()
    for entry in field(content, 'images', list, where):
        at = f'an image of {where}'
        name = inner_name(field(entry, 'file_name', str, at), at)
        image = folder / name
        if not os.path.isfile(image):
            raise PrepareError(
                f'the image {shown(name)} of {where} is not in {folder}; check the folder'
            )
        size = (field(entry, 'height', int, at), field(entry, 'width', int, at))
        number = field(entry, 'id', int, at)
        if number in numbers:
            raise PrepareError(
                f'{where} has two images of the id {shown(number)}; give each its own'
            )
        numbers.add(number)
        own = annotations.pop(number, [])
        label = partial(_label, image, size, own, indices, where)
        samples.append(Sample(Path(name).with_suffix('').as_posix(), split, image, label))
    if annotations:
        raise PrepareError(
            f'{where} has annotations of the image {shown(next(iter(annotations)))}, which is not among its images'
        )
    return samples


def _label(
    image: Path,
    size: tuple[int, int],
    annotations: Sequence[Mapping[str, Any]],
    indices: Mapping[int, int],
    where: str,
) -> Label:
    label = blank_label(image, size, where)
    # Of each pixel's annotation. No mask is kept: a file can name more of them than the memory holds.
    areas = np.full(size, size[0] * size[1], np.int64)
    for entry in annotations:
        mask = _mask(entry, size, _place(entry, where))
        area = np.count_nonzero(mask)
        mask &= areas >= area
        label[mask] = indices[entry['category_id']]
        areas[mask] = area
    return label


def _place(entry: Any, where: str) -> str:
    number = entry.get('id') if isinstance(entry, Mapping) else None
    return f'annotation {shown(number)} of {where}'


def _mask(entry: Mapping[str, Any], size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    """Return the (height, width) bool mask of an annotation."""
    segmentation = field(entry, 'segmentation', (list, dict), where)
    if isinstance(segmentation, dict):
        counts = field(segmentation, 'counts', (list, str), where)
        given = field(segmentation, 'size', list, where)
        if tuple(given) != size:
            raise PrepareError(
                f'{where} has a mask of {shown(given)}, but its image is {list(size)}'
            )
        # A copy, for pixels of other annotations are taken out of it.
        with told_with(where):
            return mask_of(counts, size).copy()
    whole = np.zeros(size, bool)
    for polygon in segmentation:
        with told_with(where):
            whole |= polygon_mask(points(polygon, where, fewest=3), size)
    return whole
