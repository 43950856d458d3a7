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
    BACKGROUND,
    blank_label,
    check_number_of_classes,
    field,
    points,
    read_json,
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

Parts = Mapping[str, tuple[str | os.PathLike[str], str | os.PathLike[str]]]


def from_coco(parts: Parts, *, val_share: float = 0.1) -> Source:
    """Read COCO annotations as labels: background, then the categories by their ids.

    Where annotations overlap, the one with the smaller area is on top. Crowds count as their category.

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
    for entry in field(content, 'categories', list, where):
        found[field(entry, 'id', int, f'a category of {where}')] = field(
            entry, 'name', str, f'a category of {where}'
        )
    names = [BACKGROUND, *(found[number] for number in sorted(found))]
    check_number_of_classes(names, where)
    return {number: index for index, number in enumerate(sorted(found), 1)}, names


def _samples(
    content: Mapping[str, Any], where: str, folder: Path, indices: Mapping[int, int], split: str
) -> list[Sample]:
    annotations: dict[int, list[Mapping[str, Any]]] = {}
    for entry in field(content, 'annotations', list, where):
        at = f'annotation {entry.get("id")} of {where}'
        category = field(entry, 'category_id', int, at)
        if category not in indices:
            raise PrepareError(
                f'{at} has the category {category}, which is not among the categories'
            )
        annotations.setdefault(field(entry, 'image_id', int, at), []).append(entry)
    samples = []
    for entry in field(content, 'images', list, where):
        at = f'an image of {where}'
        name = field(entry, 'file_name', str, at)
        image = folder / name
        if not image.is_file():
            raise PrepareError(f'the image {name} of {where} is not in {folder}; check the folder')
        size = (field(entry, 'height', int, at), field(entry, 'width', int, at))
        own = annotations.pop(field(entry, 'id', int, at), [])
        label = partial(_label, image, size, own, indices, where)
        samples.append(Sample(Path(name).with_suffix('').as_posix(), split, image, label))
    if annotations:
        raise PrepareError(
            f'{where} has annotations of the image {next(iter(annotations))}, which is not among its images'
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
    masks = [
        (_mask(entry, size, f'annotation {entry.get("id")} of {where}'), entry['category_id'])
        for entry in annotations
    ]
    for mask, category in sorted(masks, key=lambda pair: -int(pair[0].sum())):
        label[mask] = indices[category]
    return label


def _mask(entry: Mapping[str, Any], size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    """Return the (height, width) bool mask of an annotation."""
    segmentation = field(entry, 'segmentation', (list, dict), where)
    if isinstance(segmentation, dict):
        counts = field(segmentation, 'counts', (list, str), where)
        given = field(segmentation, 'size', list, where)
        if tuple(given) != size:
            raise PrepareError(f'{where} has a mask of {given}, but its image is {list(size)}')
        try:
            return mask_of(counts, size)
        except PrepareError as error:
            raise PrepareError(f'{where}: {error}') from error
    whole = np.zeros(size, bool)
    for polygon in segmentation:
        whole |= polygon_mask(points(polygon, where, fewest=3), size)
    return whole
