"""COCO's panoptic annotations (Kirillov et al., 2019): PNG files whose colors are the numbers of segments."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.files.images import read_bytes
from swinseg.datasets.labels.colors import decode_colors
from swinseg.datasets.labels.map import IGNORE_INDEX
from swinseg.datasets.labels.palettes import distinct_colors
from swinseg.datasets.prepare.annotations import (
    blank_label,
    field,
    inner_name,
    names_without_background,
    read_json,
)
from swinseg.datasets.prepare.formats.coco import category_names
from swinseg.datasets.prepare.source import (
    TRAIN,
    Label,
    PrepareError,
    Sample,
    Source,
    split_by_name,
)
from swinseg.errors import shown

PathLike = str | os.PathLike[str]

_VOID = 0
_COLORS = 1 << 24
# In the table of an image's segments.
_UNKNOWN = 256


def from_coco_panoptic(
    parts: Mapping[str, tuple[PathLike, PathLike, PathLike]], *, val_share: float = 0.1
) -> Source:
    """Read panoptic annotations as labels: the categories, things and stuff, by their ids.

    Pixels of no segment, which are black, do not count. Crowds count as their category.

    Args:
        parts: annotation file, folder of its PNG files, and folder of images by split, ``'train'`` and ``'val'``.
        val_share: of the images, held out where there is only ``'train'``.

    Raises:
        PrepareError: a file is not as it should be, an image or PNG file is missing, or two files have other
            categories; a segment that the file does not have when the label is made.
        DataError: an image cannot be read, when its label is made.
    """
    categories: dict[int, str] | None = None
    samples: list[Sample] = []
    palette: list[list[int]] = []
    for split, (path, masks, images) in parts.items():
        where = os.fspath(path)
        content = read_json(path)
        found, colors = _categories(content, where)
        if categories is not None and categories != found:
            raise PrepareError(
                f'{where} has other categories than the file before it; give files of one dataset'
            )
        categories, palette = found, palette or colors
        indices = {number: index for index, number in enumerate(categories)}
        samples += _samples(content, where, Path(masks), Path(images), indices, split)
    assert categories is not None
    if list(parts) == [TRAIN]:
        placed = split_by_name([sample.name for sample in samples], val_share=val_share)
        samples = [
            replace(sample, split=placed[sample.name][0], name=placed[sample.name][1])
            for sample in samples
        ]
    return Source(list(categories.values()), palette, samples)


def _categories(content: Mapping[str, Any], where: str) -> tuple[dict[int, str], list[list[int]]]:
    """Return the names by category id, ascending, and a color for each."""
    entries = field(content, 'categories', list, where)
    ordered = dict(sorted(category_names(entries, where).items()))
    colors: dict[int, list[int]] = {}
    for entry in entries:
        color = entry.get('color')
        if _is_color(color) and color not in colors.values():
            colors[entry['id']] = color
    names_without_background(list(ordered.values()), where)
    has_all = colors.keys() == ordered.keys()
    return ordered, [colors[number] for number in ordered] if has_all else distinct_colors(
        len(ordered)
    )


def _is_color(color: Any) -> bool:
    return (
        isinstance(color, list)
        and len(color) == 3
        and all(type(each) is int and 0 <= each <= 255 for each in color)
    )


def _samples(
    content: Mapping[str, Any],
    where: str,
    masks: Path,
    images: Path,
    indices: Mapping[int, int],
    split: str,
) -> list[Sample]:
    annotations: dict[int, Mapping[str, Any]] = {}
    for entry in field(content, 'annotations', list, where):
        number = field(entry, 'image_id', int, f'an annotation of {where}')
        if number in annotations:
            raise PrepareError(
                f'{where} has two annotations of the image {shown(number)}; panoptic ones have one for each'
            )
        annotations[number] = entry
    samples = []
    for entry in field(content, 'images', list, where):
        at = f'an image of {where}'
        name = inner_name(field(entry, 'file_name', str, at), at)
        number = field(entry, 'id', int, at)
        own = annotations.pop(number, None)
        if own is None:
            raise PrepareError(
                f'the image {shown(name)} of {where} has no annotation; remove it from the images'
            )
        size = (field(entry, 'height', int, at), field(entry, 'width', int, at))
        at = f'the annotation of the image {shown(name)} of {where}'
        values = _segments(own, indices, at)
        mask = masks / inner_name(field(own, 'file_name', str, at), at)
        for file, folder in ((images / name, images), (mask, masks)):
            if not os.path.isfile(file):
                raise PrepareError(
                    f'the file {shown(file.relative_to(folder).as_posix())} of {where} is not in {folder}; '
                    'check the folder'
                )
        label = partial(_label, images / name, size, mask, values, where)
        samples.append(Sample(Path(name).with_suffix('').as_posix(), split, images / name, label))
    if annotations:
        absent = shown(next(iter(annotations)))
        raise PrepareError(
            f'{where} has an annotation of the image {absent}, which is not among its images'
        )
    return samples


def _segments(
    annotation: Mapping[str, Any], indices: Mapping[int, int], where: str
) -> dict[int, int]:
    """Return the class indices of an image's segments by their numbers."""
    values: dict[int, int] = {}
    for segment in field(annotation, 'segments_info', list, where):
        at = f'a segment in {where}'
        number, category = field(segment, 'id', int, at), field(segment, 'category_id', int, at)
        if category not in indices:
            raise PrepareError(
                f'{at} has the category {shown(category)}, which is not among the categories'
            )
        if not _VOID < number < _COLORS or number in values:
            raise PrepareError(
                f'{at} must have an id of its own from 1 to {_COLORS - 1}, but has {shown(number)}'
            )
        values[number] = indices[category]
    return values


def _label(
    image: Path, size: tuple[int, int], mask: Path, values: Mapping[int, int], where: str
) -> Label:
    expected = blank_label(image, size, where).shape
    numbers = segment_numbers(decode_colors(read_bytes(mask), mask))
    if numbers.shape != expected:
        raise PrepareError(
            f'{mask} has {numbers.shape[0]} x {numbers.shape[1]} pixels, but {image} has {expected[0]} x '
            f'{expected[1]} (height x width); export it again for this image'
        )
    table = np.full(_COLORS, _UNKNOWN, np.uint16)
    table[_VOID] = IGNORE_INDEX
    table[list(values)] = list(values.values())
    found = table[numbers]
    unknown = numbers[found == _UNKNOWN]
    if unknown.size:
        raise PrepareError(
            f'{mask} has pixels of the segment {unknown.min()}, which {where} does not have; take both from one '
            'export'
        )
    return found.astype(np.uint8)


def segment_numbers(colors: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return the (H, W) numbers of segments: red + 256 green + 65536 blue.

    Args:
        colors: (H, W, 3) uint8 BGR.
    """
    blue, green, red = (colors[..., channel].astype(np.int32) for channel in range(3))
    return red + 256 * green + 65536 * blue
