"""Supervisely's format for images (supervisely.com): a project of datasets, each with ``img`` and ``ann``."""

from __future__ import annotations

import base64
import io
import os
import struct
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swinseg.datasets.labels.palettes import distinct_colors
from swinseg.datasets.prepare.annotations import (
    blank_label,
    class_indices,
    class_names,
    embedded_png,
    field,
    points,
    read_json,
)
from swinseg.datasets.prepare.odd_entries import OddEntries
from swinseg.datasets.prepare.shapes import pasted
from swinseg.datasets.prepare.source import Label, PrepareError, Sample, Source, split_by_name
from swinseg.errors import quoted, shown

META_FILE = 'meta.json'

# Of 255, from which on a pixel of an alpha mask belongs to the object.
_HALF_OPAQUE = 128


def from_supervisely(
    folder: str | os.PathLike[str], *, val_share: float = 0.1, skip_odd: bool = False
) -> Source:
    """Read a project of Supervisely as labels: background, then the classes in the order of the project.

    Later objects are on top of earlier ones. A class that is called background marks background. As in
    Supervisely, a corner at (x, y) is in the middle of that pixel, and the pixels under an outline belong to the
    shape.

    Args:
        folder: with ``meta.json`` and a folder for each dataset, such as train and val.
        val_share: of the images, held out where no datasets say the split.
        skip_odd: leave out objects without area, and images that are missing or whose file is damaged.

    Raises:
        PrepareError: a file is not as it should be, an image is missing, or there are none; an object that covers
            no area when the label is made.
        DataError: an image cannot be read, when its label is made.
    """
    root = Path(folder)
    meta = root / META_FILE
    found = [
        field(entry, 'title', str, f'a class of {meta}')
        for entry in field(read_json(meta), 'classes', list, str(meta))
    ]
    names = class_names(found, str(meta))
    values = class_indices(found, names)
    odd = OddEntries(skip=skip_odd)
    paths = sorted(path for path in root.rglob('*.json') if path.parent.name == 'ann')
    if not paths:
        raise PrepareError(f'there is no annotation (*/ann/*.json) in {root}; check the folder')
    relative = {_name(path, root): path for path in paths}
    placed = split_by_name(list(relative), val_share=val_share)
    samples = []
    for name, path in relative.items():
        image = odd.attempt(partial(_image_of, path))
        split, short = placed[name]
        if image is not None:
            samples.append(Sample(short, split, image, partial(_label, image, path, values, odd)))
    odd.check()
    return Source(names, distinct_colors(len(names)), samples, odd)


def _image_of(path: Path) -> Path:
    image = path.parent.parent / 'img' / path.stem
    if not os.path.isfile(image):
        raise PrepareError(f'{path} is about the image {image}, which is not there; export it too')
    return image


def _name(path: Path, root: Path) -> str:
    """Return ``DATASET/NAME`` of ``DATASET/ann/NAME.jpg.json``."""
    dataset = path.parent.parent.relative_to(root)
    return (dataset / Path(path.stem).stem).as_posix()


def _label(image: Path, path: Path, values: Mapping[str, int], odd: OddEntries) -> Label:
    content = read_json(path)
    side = field(content, 'size', dict, str(path))
    size = (field(side, 'height', int, str(path)), field(side, 'width', int, str(path)))
    label = blank_label(image, size, str(path))
    for number, entry in enumerate(field(content, 'objects', list, str(path)), 1):
        mask = odd.attempt(partial(_mask, entry, values, size, f'object {number} of {path}'))
        if mask is not None:
            label[mask] = values[entry['classTitle']]
    return label


def _mask(
    entry: Mapping[str, Any], values: Mapping[str, int], size: tuple[int, int], where: str
) -> NDArray[np.bool_]:
    """Return the (height, width) bool mask of an object that has one of the classes."""
    name = field(entry, 'classTitle', str, where)
    if name not in values:
        raise PrepareError(f'{where} has the class {quoted(name)}, which is not in {META_FILE}')
    kind = _kind(entry, where)
    if kind in ('bitmap', 'alpha_mask'):
        fewest = 1 if kind == 'bitmap' else _HALF_OPAQUE
        return _bitmap(field(entry, 'bitmap', dict, where), size, where, fewest=fewest)
    if kind not in ('polygon', 'rectangle'):
        raise PrepareError(
            f'{where} is a {shown(kind)}, which covers no area; draw a polygon, rectangle or bitmap instead'
        )
    given = field(entry, 'points', dict, where)
    filled = np.zeros(size, np.uint8)
    if kind == 'rectangle':
        corners = _pixels(given.get('exterior'), where, fewest=2)
        cv2.rectangle(filled, corners.min(0).tolist(), corners.max(0).tolist(), 1, cv2.FILLED)
    else:
        cv2.fillPoly(filled, [_pixels(given.get('exterior'), where, fewest=3)], 1)
        for hole in field(given, 'interior', list, where) if given.get('interior') else ():
            cv2.fillPoly(filled, [_pixels(hole, where, fewest=3)], 0)
    return filled.astype(bool)


def _kind(entry: Mapping[str, Any], where: str) -> str:
    """Return the kind of an object, which older exports leave to what the object has."""
    if entry.get('geometryType') is not None or not ('bitmap' in entry or 'points' in entry):
        return field(entry, 'geometryType', str, where)
    if entry.get('bitmap') is not None:
        return 'bitmap'
    exterior = field(field(entry, 'points', dict, where), 'exterior', list, where)
    return {1: 'point', 2: 'rectangle'}.get(len(exterior), 'polygon')


def _pixels(values: Any, where: str, *, fewest: int) -> NDArray[np.int32]:
    """Return corners as (N, 2) whole pixels; the bounds keep OpenCV's fixed-point numbers from overflowing."""
    corners = points(values, where, fewest=fewest)
    return np.rint(np.clip(corners, -(2**14), 2**14)).astype(np.int32)


def _bitmap(
    bitmap: Mapping[str, Any], size: tuple[int, int], where: str, *, fewest: int
) -> NDArray[np.bool_]:
    """Return a mask that is given as a compressed PNG file in base64 with its place: from what value on."""
    try:
        left, top = np.rint(points([bitmap.get('origin')], 'its origin', fewest=1))[0].astype(int)
        packed = base64.b64decode(field(bitmap, 'data', str, where), validate=True)
        # A mask of the whole image fits, a bomb does not.
        png = zlib.decompressobj().decompress(packed, 8 * size[0] * size[1] + 2**16)
        with Image.open(
            io.BytesIO(embedded_png(png, top, left, size)), formats=('PNG',)
        ) as picture:
            # The last channel is the transparency, where there are several.
            pixels = np.atleast_3d(np.array(picture))[..., -1] >= fewest
        return pasted(pixels, top, left, size)
    except (
        zlib.error,
        struct.error,
        Image.DecompressionBombError,
        OSError,
        SyntaxError,
        ValueError,
    ) as error:
        raise PrepareError(
            f'the bitmap of {where} is damaged or leads out of the image: {error}'
        ) from error
