"""COCO's instance and stuff annotations (Lin et al., 2014): polygons and run-length encoded masks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.labels.map import IGNORE_INDEX
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
from swinseg.datasets.prepare.shapes import paint_below_smaller, polygon_mask, rotated_box
from swinseg.datasets.prepare.source import (
    TRAIN,
    Label,
    PrepareError,
    Sample,
    Source,
    split_by_name,
)
from swinseg.errors import quoted, shown

Parts = Mapping[str, tuple[str | os.PathLike[str], str | os.PathLike[str]]]


def from_coco(parts: Parts, *, val_share: float = 0.1, skip_odd: bool = False) -> Source:
    """Read COCO annotations as labels: background, then the categories by their ids.

    Where annotations overlap, the one with the smaller area is on top. Crowds count as their category. A category
    that is called background marks background. Roboflow's category 0, which stands for the set and which no
    annotation has, is left out.

    Args:
        parts: annotation file and folder of images by split, ``'train'`` and ``'val'``.
        val_share: of the images, held out where there is only ``'train'``.
        skip_odd: leave out annotations that cannot be used, such as boxes without an outline, and images that are
            missing. The box of what is left out does not count where nothing else is.

    Raises:
        PrepareError: a file is not as it should be, an image is missing, or two files have other categories; an
            annotation has no outline when the label is made.
        DataError: an image cannot be read, when its label is made.
    """
    contents = {os.fspath(path): read_json(path) for path, _ in parts.values()}
    placeholder = _placeholder(contents.values())
    odd = OddEntries(skip=skip_odd)
    classes: list[str] | None = None
    samples: list[Sample] = []
    for split, (path, images) in parts.items():
        where = os.fspath(path)
        indices, names = _categories(contents[where], where, placeholder)
        if classes is not None and classes != names:
            raise PrepareError(
                f'{where} has other categories than the file before it; give files of one dataset'
            )
        classes = names
        samples += _samples(contents[where], where, Path(images), indices, split, odd)
    assert classes is not None
    odd.check()
    if list(parts) == [TRAIN]:
        placed = split_by_name([sample.name for sample in samples], val_share=val_share)
        samples = [
            replace(sample, split=placed[sample.name][0], name=placed[sample.name][1])
            for sample in samples
        ]
    remarks = [f'{placeholder} is left out: no annotation has it'] if placeholder else []
    return Source(classes, distinct_colors(len(classes)), samples, odd, remarks)


def _placeholder(contents: Iterable[Mapping[str, Any]]) -> str | None:
    """Return what Roboflow puts before the categories, the name of the set that is above all of them.

    Its number is 0, its supercategory none, it is that of all others, and no annotation has it. One of the others
    may have the same name.

    Returns:
        A phrase that names it, or None where a file has none.
    """
    found = None
    for content in contents:
        entries = content.get('categories')
        annotations = content.get('annotations')
        if not isinstance(entries, list) or not isinstance(annotations, list) or len(entries) < 2:
            return None
        if not all(isinstance(entry, Mapping) for entry in entries):
            return None
        first, *others = entries
        is_above = all(entry.get('supercategory') == first.get('name') for entry in others)
        if first.get('id') != 0 or first.get('supercategory') != 'none' or not is_above:
            return None
        if any(isinstance(each, Mapping) and each.get('category_id') == 0 for each in annotations):
            return None
        found = f'the category {quoted(first.get("name"))} of the id 0'
    return found


def _categories(
    content: Mapping[str, Any], where: str, placeholder: str | None
) -> tuple[dict[int, int], list[str]]:
    """Return the class index by category id, and the class names."""
    entries = field(content, 'categories', list, where)
    found = category_names(entries if placeholder is None else entries[1:], where)
    names = class_names([found[number] for number in sorted(found)], where)
    indices = class_indices(found.values(), names)
    return {number: indices[name] for number, name in found.items()}, names


def category_names(entries: Sequence[Any], where: str) -> dict[int, str]:
    """Return the names of COCO's categories by their ids.

    Args:
        entries: of the file's ``categories``.
        where: the file, for the message.

    Raises:
        PrepareError: one has no id or name, or two have the same.
    """
    found: dict[int, str] = {}
    at = f'a category of {where}'
    for entry in entries:
        number, name = field(entry, 'id', int, at), field(entry, 'name', str, at)
        if number in found or name in found.values():
            what = f'id {shown(number)}' if number in found else f'name {shown(name)}'
            raise PrepareError(
                f'{where} has two categories of the {what}; give each its own, or merge them into one'
            )
        found[number] = name
    return found


def _samples(
    content: Mapping[str, Any],
    where: str,
    folder: Path,
    indices: Mapping[int, int],
    split: str,
    odd: OddEntries,
) -> list[Sample]:
    annotations: dict[int, list[Mapping[str, Any]]] = {}
    for entry in field(content, 'annotations', list, where):
        image = odd.attempt(partial(_image_of, entry, where, indices))
        if image is not None:
            annotations.setdefault(image, []).append(entry)
    samples: list[Sample] = []
    numbers: set[int] = set()
    for entry in field(content, 'images', list, where):
        at = f'an image of {where}'
        number = field(entry, 'id', int, at)
        if number in numbers:
            raise PrepareError(
                f'{where} has two images of the id {shown(number)}; give each its own'
            )
        numbers.add(number)
        own = annotations.pop(number, [])
        found = odd.attempt(partial(_file_of, entry, where, folder))
        if found is not None:
            name, size = found
            label = partial(_label, folder / name, size, own, indices, where, odd)
            samples.append(
                Sample(Path(name).with_suffix('').as_posix(), split, folder / name, label)
            )
    for number, lost in annotations.items():
        odd.attempt(partial(_refuse_lost, number, len(lost), where))
    return samples


def _image_of(entry: Any, where: str, indices: Mapping[int, int]) -> int:
    """Return the id of an annotation's image."""
    at = _place(entry, where)
    category = field(entry, 'category_id', int, at)
    if category not in indices:
        raise PrepareError(
            f'{at} has the category {shown(category)}, which is not among the categories'
        )
    number: int = field(entry, 'image_id', int, at)
    return number


def _file_of(entry: Mapping[str, Any], where: str, folder: Path) -> tuple[str, tuple[int, int]]:
    """Return the name of an image below the folder and the (height, width) that the file tells."""
    at = f'an image of {where}'
    name = inner_name(field(entry, 'file_name', str, at), at)
    if not os.path.isfile(folder / name):
        raise PrepareError(
            f'the image {shown(name)} of {where} is not in {folder}; check the folder'
        )
    return name, (field(entry, 'height', int, at), field(entry, 'width', int, at))


def _refuse_lost(image: int, count: int, where: str) -> None:
    raise PrepareError(
        f'{where} has annotations of the image {shown(image)}, which is not among its images ({count} in all)'
    )


def _label(
    image: Path,
    size: tuple[int, int],
    annotations: Sequence[Mapping[str, Any]],
    indices: Mapping[int, int],
    where: str,
    odd: OddEntries,
) -> Label:
    label = blank_label(image, size, where)
    uncertain = np.zeros(size, bool)
    areas = np.full(size, size[0] * size[1], np.int64)
    for entry in annotations:
        mask = odd.attempt(partial(_mask, entry, size, _place(entry, where)))
        if mask is None:
            uncertain |= _box(entry, size)
            continue
        paint_below_smaller(label, areas, mask, indices[entry['category_id']])
    # There is something, but of which pixels nobody knows.
    label[uncertain & (areas == size[0] * size[1])] = IGNORE_INDEX
    return label


def _place(entry: Any, where: str) -> str:
    number = entry.get('id') if isinstance(entry, Mapping) else None
    return f'annotation {shown(number)} of {where}'


def _mask(entry: Mapping[str, Any], size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    """Return the (height, width) bool mask of an annotation."""
    if not entry.get('segmentation'):
        found = 'only a box, as sets for detection do' if entry.get('bbox') else 'no segmentation'
        raise PrepareError(f'{where} has no outline but {found}; draw it as a polygon or mask')
    segmentation = field(entry, 'segmentation', (list, dict), where)
    if isinstance(segmentation, dict):
        counts = field(segmentation, 'counts', (list, str), where)
        given = field(segmentation, 'size', list, where)
        if tuple(given) != size:
            raise PrepareError(
                f'{where} has a mask of {shown(given)}, but its image is {list(size)}'
            )
        # A copy, for pixels of other annotations are taken out of it.
        with errors_at(where):
            return mask_of(counts, size).copy()
    whole = np.zeros(size, bool)
    for polygon in segmentation:
        with errors_at(where):
            whole |= polygon_mask(points(polygon, where, fewest=3), size)
    return whole


def _box(entry: Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the (height, width) bool mask of an annotation's box; empty where it has none."""
    try:
        left, top, width, height = points([entry.get('bbox')], 'its box', fewest=2).ravel()
    except ValueError:
        return np.zeros(size, bool)
    return polygon_mask(rotated_box(left, top, left + width, top + height), size)
