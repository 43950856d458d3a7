"""CVAT's exports (github.com/cvat-ai/cvat): "for images" 1.1, one XML file about all images; "for video" 1.1; and
"Segmentation mask" 1.1.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element

from swinseg.datasets.labels.palettes import distinct_colors
from swinseg.datasets.prepare.annotations import inner_name
from swinseg.datasets.prepare.formats.cvat_masks import LABEL_MAP, from_cvat_masks
from swinseg.datasets.prepare.formats.cvat_shapes import (
    SHAPES,
    label_names,
    label_of,
    number_of,
    read_xml,
)
from swinseg.datasets.prepare.formats.cvat_tracks import samples_of_tracks
from swinseg.datasets.prepare.odd_entries import OddEntries
from swinseg.datasets.prepare.source import Label, PrepareError, Sample, Source, split_by_name
from swinseg.errors import shown

ANNOTATIONS_FILE = 'annotations.xml'
# What CVAT calls images of no subset.
_NO_SUBSET = 'default'


def from_cvat(
    folder: str | os.PathLike[str], *, val_share: float = 0.1, skip_odd: bool = False
) -> Source:
    """Read an export of CVAT as labels: background, then the labels in the order of the task.

    Shapes with a higher ``z_order`` are on top, and later ones on those before them. A label that is called
    background marks background. Of a video, each frame in ``images`` becomes an image; see
    :mod:`~swinseg.datasets.prepare.formats.cvat_tracks`. A folder with ``labelmap.txt`` is read by
    :func:`~swinseg.datasets.prepare.formats.cvat_masks.from_cvat_masks`.

    Args:
        folder: with ``annotations.xml``, and the images in ``images`` or beside it.
        val_share: of the images, held out where neither subsets nor folders say the split; of a video, the last
            frames.
        skip_odd: leave out shapes without area, and images that are missing.

    Raises:
        PrepareError: the file is not as it should be, or an image is missing; a shape that covers no area when
            the label is made.
        DataError: an image cannot be read, when its label is made.
    """
    path = Path(folder) / ANNOTATIONS_FILE
    if not path.exists() and (path.parent / LABEL_MAP).is_file():
        return from_cvat_masks(folder, val_share=val_share)
    root = read_xml(path)
    names, values = label_names(root, path)
    odd = OddEntries(skip=skip_odd)
    images = list(root.iterfind('image'))
    if not images and root.find('track') is not None:
        samples = samples_of_tracks(root, path, values, odd, val_share=val_share)
    else:
        samples = _samples(images, path, values, odd, val_share=val_share)
    odd.check()
    return Source(names, distinct_colors(len(names)), samples, odd)


def _samples(
    images: list[Element],
    path: Path,
    values: Mapping[str, int],
    odd: OddEntries,
    *,
    val_share: float,
) -> list[Sample]:
    relative = {_name(image, path): image for image in images}
    if len(relative) < len(images):
        raise PrepareError(f'{path} has two entries for one image; export one task at a time')
    placed = split_by_name([_without_suffix(name) for name in relative], val_share=val_share)
    samples = []
    for name, image in relative.items():
        split, short = placed[_without_suffix(name)]
        file = odd.attempt(partial(_file_of, image, name, path))
        if file is not None:
            label = partial(_label, file, image, values, str(path), odd)
            samples.append(Sample(short, split, file, label))
    return samples


def _name(image: Element, path: Path) -> str:
    """Return an image's path below the folder of its subset, which comes first where there is one."""
    name, subset = image.get('name', ''), image.get('subset', _NO_SUBSET)
    if not name:
        raise PrepareError(
            f'image {shown(image.get("id"))} of {path} must have a name, but has none'
        )
    return inner_name(name if subset == _NO_SUBSET else f'{subset}/{name}', f'an image of {path}')


def _without_suffix(name: str) -> str:
    return Path(name).with_suffix('').as_posix()


def _file_of(image: Element, name: str, path: Path) -> Path:
    for folder in (path.parent / 'images', path.parent):
        for each in (name, inner_name(image.get('name', ''), f'an image of {path}')):
            if os.path.isfile(folder / each):
                return folder / each
    raise PrepareError(
        f'the image {shown(name)} of {path} is not in {path.parent / "images"}; export the task with its images, '
        'or put them there'
    )


def _label(
    file: Path, image: Element, values: Mapping[str, int], where: str, odd: OddEntries
) -> Label:
    at = f'image {shown(image.get("name"))} of {where}'
    size = (int(number_of(image, 'height', at)), int(number_of(image, 'width', at)))
    shapes = [
        (shape.get('label', ''), f'shape {number} of {at}', shape)
        for number, shape in enumerate(image, 1)
        if shape.tag in SHAPES
    ]
    return label_of(file, size, shapes, values, where, odd)
