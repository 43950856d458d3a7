"""VGG Image Annotator 2 (Dutta and Zisserman, 2019): JSON of a project, or of its annotations."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from swinseg.datasets.prepare.shapes import ellipse_mask, polygon_mask, rotated_box
from swinseg.datasets.prepare.source import Label, PrepareError, Sample, Source, split_by_name
from swinseg.errors import shown

_IMAGES_OF_PROJECT = '_via_img_metadata'


def from_via(
    path: str | os.PathLike[str],
    images: str | os.PathLike[str],
    *,
    attribute: str | None = None,
    val_share: float = 0.1,
    skip_odd: bool = False,
) -> Source:
    """Read regions of VIA as labels: background, then the classes in alphabetical order.

    Later regions are on top of earlier ones. A class that is called background marks background.

    Args:
        path: a JSON file, of a project or exported annotations.
        images: folder of the images.
        attribute: of regions, that says the class; None takes the only one that regions have.
        val_share: of the images, held out where no folders say the split.
        skip_odd: leave out regions without area, and images that are missing.

    Raises:
        PrepareError: the file is not as it should be, an image is missing, or regions have several attributes; a
            region that covers no area when the label is made.
        DataError: an image cannot be read, when its label is made.
    """
    where = os.fspath(path)
    regions: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for entry in _entries(read_json(path), where):
        at = f'an image of {where}'
        name = inner_name(field(entry, 'filename', str, at), at)
        if name in regions:
            raise PrepareError(f'{where} has two entries for the image {shown(name)}; remove one')
        regions[name] = list(_regions(entry, f'the image {shown(name)} of {where}'))
    every = [region for own in regions.values() for region in own]
    key = _attribute(every, where) if attribute is None else attribute
    classes = {place: _class(region, key, place) for place, region in every}
    names = class_names(sorted(set(classes.values())), where)
    indices = class_indices(classes.values(), names)
    values = {place: indices[name] for place, name in classes.items()}
    stems = {name: Path(name).with_suffix('').as_posix() for name in regions}
    placed = split_by_name(list(stems.values()), val_share=val_share)
    odd = OddEntries(skip=skip_odd)
    samples = []
    for name, own in regions.items():
        image = odd.attempt(partial(_image_of, name, Path(images), where))
        if image is not None:
            split, short = placed[stems[name]]
            label = partial(_label, image, own, values, where, odd)
            samples.append(Sample(short, split, image, label))
    odd.check()
    return Source(names, distinct_colors(len(names)), samples, odd)


def _image_of(name: str, folder: Path, where: str) -> Path:
    if not os.path.isfile(folder / name):
        raise PrepareError(
            f'the image {shown(name)} of {where} is not in {folder}; check the folder'
        )
    return folder / name


def _entries(content: Mapping[str, Any], where: str) -> list[Any]:
    """Return what the file says of each image."""
    if 'view' in content and 'metadata' in content:
        raise PrepareError(
            f'{where} is a project of VIA 3, which draws no masks; annotate with VIA 2, or export COCO'
        )
    if _IMAGES_OF_PROJECT in content:
        content = field(content, _IMAGES_OF_PROJECT, dict, where)
    return list(content.values())


def _regions(entry: Mapping[str, Any], where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the regions of an image, each with where it stands; VIA 1 has them numbered."""
    found = field(entry, 'regions', (list, dict), where)
    for number, region in enumerate(found.values() if isinstance(found, dict) else found, 1):
        yield f'region {number} of {where}', region


def _attribute(regions: list[tuple[str, Mapping[str, Any]]], where: str) -> str:
    """Return the only attribute that regions have."""
    names = {
        name
        for place, region in regions
        for name in field(region, 'region_attributes', dict, place)
    }
    if len(names) == 1:
        return names.pop()
    found = shown(', '.join(sorted(names))) if names else 'none'
    raise PrepareError(
        f'the regions of {where} must have one attribute that says the class, but have {found}; name it with '
        '--attribute, or give the regions one'
    )


def _class(region: Mapping[str, Any], attribute: str, where: str) -> str:
    """Return a region's class: the text of the attribute, or the only option that is ticked."""
    value = field(region, 'region_attributes', dict, where).get(attribute)
    if isinstance(value, dict):
        ticked = [option for option, is_ticked in value.items() if is_ticked]
        value = ticked[0] if len(ticked) == 1 else value
    if not isinstance(value, str) or not value.strip():
        raise PrepareError(
            f'{where} must have one class in the attribute {shown(attribute)!r}, but has {shown(value)}'
        )
    return value.strip()


def _label(
    image: Path,
    regions: list[tuple[str, Mapping[str, Any]]],
    values: Mapping[str, int],
    where: str,
    odd: OddEntries,
) -> Label:
    label = blank_label(image, None, where)
    for place, region in regions:
        mask = odd.attempt(partial(_mask, region, (label.shape[0], label.shape[1]), place))
        if mask is not None:
            label[mask] = values[place]
    return label


def _mask(region: Mapping[str, Any], size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    """Return the (height, width) bool mask of a region."""
    with errors_at(where):
        return _area(field(region, 'shape_attributes', dict, where), size, where)


def _area(shape: Mapping[str, Any], size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    kind = field(shape, 'name', str, where)
    if kind in ('polygon', 'polyline'):
        corners = _corners(shape, where)
        if kind == 'polygon' or (corners[0] == corners[-1]).all():
            return polygon_mask(corners, size)
    if kind == 'rect':
        left, top, width, height = _numbers(shape, ('x', 'y', 'width', 'height'), where)
        return polygon_mask(rotated_box(left, top, left + width, top + height), size)
    if kind == 'circle':
        x, y, radius = _numbers(shape, ('cx', 'cy', 'r'), where)
        return ellipse_mask((x, y), (radius, radius), size)
    if kind == 'ellipse':
        x, y, across, down = _numbers(shape, ('cx', 'cy', 'rx', 'ry'), where)
        turn = _numbers(shape, ('theta',), where)[0] if 'theta' in shape else 0.0
        return ellipse_mask((x, y), (across, down), size, degrees=math.degrees(turn))
    raise PrepareError(
        f'{where} is a {shown(kind)}, which covers no area; draw a polygon, rect, circle or ellipse instead'
    )


def _corners(shape: Mapping[str, Any], where: str) -> NDArray[np.float64]:
    x, y = (field(shape, f'all_points_{axis}', list, where) for axis in 'xy')
    if len(x) != len(y):
        raise PrepareError(f'{where} must have as many x as y, but has {len(x)} and {len(y)}')
    return points(list(zip(x, y, strict=True)), where, fewest=3)


def _numbers(shape: Mapping[str, Any], keys: tuple[str, ...], where: str) -> list[float]:
    given = [field(shape, key, (int, float), where) for key in keys]
    # Checked as corners are, two at a time.
    return [float(points([[value, 0]], where, fewest=1)[0, 0]) for value in given]
