"""Label Studio's JSON export (labelstud.io): tasks with polygons, rectangles, ellipses and brush masks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

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
    read_json_list,
)
from swinseg.datasets.prepare.brush_rle import decode_brush
from swinseg.datasets.prepare.odd_entries import OddEntries
from swinseg.datasets.prepare.shapes import ellipse_mask, polygon_mask
from swinseg.datasets.prepare.source import Label, PrepareError, Sample, Source, split_by_name
from swinseg.errors import quoted, shown

_SHAPES = ('polygon', 'rectangle', 'ellipse', 'brush')
# Results that are about a place, but no area that can be read.
_WITHOUT_AREA = ('keypoint', 'vector', 'bitmask')
# A tag for labels of whatever shape.
_ANY_SHAPE = 'labels'
_UPLOAD_PREFIX = re.compile(r'[0-9a-f]{8}-')


class _Region(NamedTuple):
    """A labeled shape of a task, and where it stands."""

    kind: str
    label: str
    result: Mapping[str, Any]
    where: str


def from_label_studio(
    path: str | os.PathLike[str],
    images: str | os.PathLike[str],
    *,
    val_share: float = 0.1,
    skip_odd: bool = False,
) -> Source:
    """Read annotations of Label Studio as labels: background, then the labels in alphabetical order.

    Later regions are on top of earlier ones. A label that is called background marks background. Of several
    annotations of a task the one that is the ground truth counts. Tasks without an annotation, or that were
    skipped, are left out.

    Args:
        path: the file of the export "JSON".
        images: folder of the images. One is found by the end of its address, with or without the eight
            characters that an upload puts before its name.
        val_share: of the images, held out where no folders say the split.
        skip_odd: leave out regions without area or of no label, and images that are missing.

    Raises:
        PrepareError: the file is not as it should be, an image is missing, or no task is annotated; a shape that
            is not as it should be when the label is made.
        DataError: an image cannot be read, when its label is made.
    """
    where, folder = os.fspath(path), Path(images)
    odd = OddEntries(skip=skip_odd)
    regions: dict[str, list[_Region]] = {}
    for number, task in enumerate(read_json_list(path), 1):
        identity = task.get('id', number) if isinstance(task, dict) else number
        at = f'task {shown(identity)} of {where}'
        annotation = _annotation(task, at)
        if annotation is None:
            continue
        name = odd.attempt(partial(_image_name, field(task, 'data', dict, at), folder, at))
        if name is None:
            continue
        if name in regions:
            raise PrepareError(
                f'{at} is about the image {shown(name)}, as a task before it is; remove one of them'
            )
        regions[name] = list(_regions(field(annotation, 'result', list, at), at, odd))
    odd.check()
    if not regions:
        raise PrepareError(f'no task of {where} has an annotation; submit them, and export again')
    found = {region.label for own in regions.values() for region in own}
    names = class_names(sorted(found), where)
    values = class_indices(found, names)
    stems = {name: Path(name).with_suffix('').as_posix() for name in regions}
    placed = split_by_name(list(stems.values()), val_share=val_share)
    samples = []
    for name, own in regions.items():
        split, short = placed[stems[name]]
        label = partial(_label, folder / name, own, values, where, odd)
        samples.append(Sample(short, split, folder / name, label))
    return Source(names, distinct_colors(len(names)), samples, odd)


def _annotation(task: Any, where: str) -> Mapping[str, Any] | None:
    """Return the annotation of a task that counts, or None."""
    if isinstance(task, dict) and 'annotations' not in task and 'data' not in task:
        raise PrepareError(f'{where} is of another export; export it as "JSON", not as "JSON-MIN"')
    found = [
        annotation
        for annotation in field(task, 'annotations', list, where)
        if not (isinstance(annotation, dict) and annotation.get('was_cancelled'))
    ]
    true = [each for each in found if isinstance(each, dict) and each.get('ground_truth')]
    if len(true or found) > 1:
        raise PrepareError(
            f'{where} has {len(true or found)} annotations; mark one of them as the ground truth, or remove the '
            'others'
        )
    return next(iter(true or found), None)


def _image_name(data: Mapping[str, Any], folder: Path, where: str) -> str:
    """Return the path below the folder of the image that a task is about."""
    addresses = [
        value
        for value in data.values()
        if isinstance(value, str) and _path_of(value).suffix.lower() in IMAGE_SUFFIXES
    ]
    if len(addresses) != 1:
        raise PrepareError(
            f"{where} must have one image in 'data', but has {len(addresses)}: {shown(dict(data))}"
        )
    parts = [part for part in _path_of(addresses[0]).parts if part != '/']
    # The longest end of the path first, so that folders count where they are kept.
    ends = ['/'.join(parts[start:]) for start in range(len(parts))]
    ends.append(_UPLOAD_PREFIX.sub('', parts[-1], count=1))
    for end in ends:
        if os.path.isfile(folder / inner_name(end, where)):
            return inner_name(end, where)
    raise PrepareError(
        f'the image {quoted(parts[-1])} of {where} is not in {folder}; check the folder'
    )


def _path_of(address: str) -> PurePosixPath:
    """Return the path in an address of an upload, of local storage, of a bucket, or of another server."""
    try:
        split = urlsplit(address)
        # Local storage: /data/local-files/?d=folder/name.jpg
        local = parse_qs(split.query).get('d')
    except ValueError:
        return PurePosixPath(address.replace('\0', ''))
    path = local[0] if local and split.path.rstrip('/').endswith('local-files') else split.path
    return PurePosixPath(unquote(path).replace('\\', '/').replace('\0', ''))


def _regions(results: list[Any], where: str, odd: OddEntries) -> Iterator[_Region]:
    """Yield the labeled shapes; results about the whole image, such as choices, are none."""
    kinds = [field(result, 'type', str, f'a result of {where}') for result in results]
    # With a tag for labels of whatever shape, a shape comes twice: alone, and with its label.
    labeled = {
        shown(result.get('id'))
        for kind, result in zip(kinds, results, strict=True)
        if kind == _ANY_SHAPE
    }
    for number, (kind, result) in enumerate(zip(kinds, results, strict=True), 1):
        if kind in _SHAPES and shown(result.get('id')) in labeled:
            continue
        found = odd.attempt(partial(_region, kind, result, f'result {number} of {where}'))
        yield from found or ()


def _region(kind: str, result: Mapping[str, Any], where: str) -> list[_Region]:
    """Return the labeled shape of a result, or nothing where it is about the whole image."""
    shape = kind.removesuffix('labels')
    if kind == _ANY_SHAPE:
        shape = _shape_of(field(result, 'value', dict, where), where)
    if shape in _WITHOUT_AREA:
        raise PrepareError(
            f'{where} is a {shown(kind)}, which cannot be read as an area; draw a polygon, rectangle, ellipse or '
            'brush instead'
        )
    if shape not in _SHAPES:
        return []
    value = field(result, 'value', dict, where)
    given = value.get(f'{shape}labels', value.get('labels'))
    if not isinstance(given, list) or len(given) != 1 or not isinstance(given[0], str):
        raise PrepareError(f'{where} must have one label, but has {shown(given)}')
    return [_Region(shape, given[0], result, where)]


def _shape_of(value: Mapping[str, Any], where: str) -> str:
    keys = {'points': 'polygon', 'rle': 'brush', 'radiusX': 'ellipse', 'width': 'rectangle'}
    for key, shape in keys.items():
        if key in value and not (key == 'width' and 'height' not in value):
            return shape
    raise PrepareError(
        f'{where} is a label of no area; draw a polygon, rectangle, ellipse or brush'
    )


def _label(
    image: Path,
    regions: list[_Region],
    values: Mapping[str, int],
    where: str,
    odd: OddEntries,
) -> Label:
    label = blank_label(image, None, where)
    for region in regions:
        mask = odd.attempt(partial(_checked_mask, region, (label.shape[0], label.shape[1]), image))
        if mask is not None:
            label[mask] = values[region.label]
    return label


def _checked_mask(region: _Region, size: tuple[int, int], image: Path) -> NDArray[np.bool_]:
    height, width = size
    given = tuple(
        # A script that made the region may have left them out.
        field(region.result, key, int, region.where) if key in region.result else actual
        for key, actual in (('original_height', height), ('original_width', width))
    )
    if given != size:
        raise PrepareError(
            f'{region.where} is about an image of {shown(given[0])} x {shown(given[1])} pixels, but {image} '
            f'has {height} x {width} (height x width); export it again for this image'
        )
    if region.result.get('image_rotation'):
        raise PrepareError(
            f'{region.where} was drawn on the image turned by {shown(region.result["image_rotation"])} '
            'degrees; turn it back in Label Studio, and export again'
        )
    with errors_at(region.where):
        return _mask(region, size)


def _mask(region: _Region, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the (height, width) bool mask of a region, whose numbers are percents of the image."""
    value, where = region.result['value'], region.where
    percent = np.array([size[1], size[0]]) / 100
    if region.kind == 'brush':
        return decode_brush(field(value, 'rle', list, where), size)
    if region.kind == 'polygon':
        return polygon_mask(points(value.get('points'), where, fewest=3) * percent, size)
    place = _pair(value, ('x', 'y'), where) * percent
    turn = _pair(value, ('rotation', 'rotation'), where)[0] if value.get('rotation') else 0.0
    if region.kind == 'ellipse':
        radii = _pair(value, ('radiusX', 'radiusY'), where) * percent
        return ellipse_mask((place[0], place[1]), (radii[0], radii[1]), size, degrees=turn)
    right, down = np.diag(_pair(value, ('width', 'height'), where) * percent)
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    # About the corner that is the upper left one before the turn.
    turned = np.array([0 * right, right, right + down, down]) @ [[cosine, sine], [-sine, cosine]]
    return polygon_mask(place + turned, size)


def _pair(value: Mapping[str, Any], keys: tuple[str, str], where: str) -> NDArray[np.float64]:
    given = [field(value, key, (int, float), where) for key in keys]
    return points([given], where, fewest=1)[0]
