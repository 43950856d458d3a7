"""Ultralytics' format for segmentation (docs.ultralytics.com): ``data.yaml``, and a text file for each image, in
which a line is a class and the corners of a polygon, from 0 to 1.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from swinseg.datasets.files.images import IMAGE_SUFFIXES
from swinseg.datasets.files.pairs import match_files
from swinseg.datasets.labels.palettes import distinct_colors
from swinseg.datasets.plain_yaml import read_yaml
from swinseg.datasets.prepare.annotations import (
    blank_label,
    class_indices,
    class_names,
    errors_at,
    inner_name,
    points,
    read_text,
)
from swinseg.datasets.prepare.shapes import paint_below_smaller, polygon_mask
from swinseg.datasets.prepare.source import (
    TEST,
    TRAIN,
    VAL,
    Label,
    PrepareError,
    Sample,
    Source,
    split_by_name,
)
from swinseg.errors import quoted, shown

DATA_FILE = 'data.yaml'
_SPLITS = (TRAIN, VAL, TEST)
_IMAGES, _LABELS = 'images', 'labels'
# Of names of classes, which some tools put beside the labels.
_CLASSES_FILE = 'classes.txt'
_BOX_NUMBERS = 5
# Tools round, and draw a little beyond the border.
_BEYOND = 0.01


def from_yolo(path: str | os.PathLike[str], *, val_share: float = 0.1) -> Source:
    """Read polygons of YOLO as labels: background, then the names in their order.

    Where polygons overlap, the one with the smaller area is on top, as in Ultralytics' masks. An image without a
    label file is background; a part without any, such as a test set, is left out unless it is ``train``.

    Args:
        path: ``data.yaml``, or the folder with it; its lists and folders are below that folder.
        val_share: of the images, held out where ``data.yaml`` has no ``val``.

    Raises:
        PrepareError: ``data.yaml`` or what it names is not as it should be; a line of a label when it is made.
        DataError: an image cannot be read, when its label is made.
    """
    given = Path(path)
    file = given / DATA_FILE if given.is_dir() else given
    root, where = file.parent, str(file)
    content = read_yaml(file, 'the file', fix=f'name the folder of {DATA_FILE}, or the file')
    if not isinstance(content, dict):
        raise PrepareError(f"{where} must have 'names', but holds {shown(content)}")
    if content.get('masks_dir'):
        raise PrepareError(
            f'{where} has masks_dir: its labels are masks of class indices, which FolderDataset reads as they are'
        )
    given_names = _names(content.get('names'), where)
    names = class_names(given_names, where)
    indices = class_indices(given_names, names)
    values = [indices[name] for name in given_names]
    base = _base(root, content.get('path'))
    found: dict[str, list[Path]] = {}
    for split in _SPLITS:
        if content.get(split):
            images = _images(root, base, content[split], f'{split} of {where}')
            if split == TRAIN or any(_label_file(image, root).is_file() for image in images):
                found[split] = images
    if not found.get(TRAIN):
        raise PrepareError(f"{where} must have 'train', a folder or list of images, but has none")
    samples = []
    for split, images in found.items():
        short = {image: _short_name(image, base, split) for image in images}
        placed = {name: (split, name) for name in short.values()}
        if list(found) == [TRAIN]:
            placed = split_by_name(list(short.values()), val_share=val_share)
        for image, name in short.items():
            label = partial(_label, image, _label_file(image, root), values)
            samples.append(Sample(placed[name][1], placed[name][0], image, label))
    if not any(_label_file(image, root).is_file() for image in found[TRAIN]):
        raise PrepareError(
            f'no image of train of {where} has a label, such as {_label_file(found[TRAIN][0], root)}; export the '
            f'labels too, in {_LABELS} beside {_IMAGES}'
        )
    return Source(names, distinct_colors(len(names)), samples)


def _names(names: Any, where: str) -> list[str]:
    """Return the class names by their numbers, which stand before them or count from 0."""
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    elif isinstance(names, dict):
        raise PrepareError(
            f'the names of {where} must be numbered from 0 without a gap, but are {shown(names)}'
        )
    if not isinstance(names, list) or not names:
        raise PrepareError(f"{where} must have 'names', a list, but has names={shown(names)}")
    for name in names:
        if type(name) not in (str, int):
            raise PrepareError(
                f'{where} has the class {shown(name)}, which is no text; put it in quotation marks'
            )
    return [str(name) for name in names]


def _images(root: Path, base: Path, entries: Any, where: str) -> list[Path]:
    """Return the images of a split: those in folders, and those that text files list."""
    images: dict[Path, None] = {}
    for entry in entries if isinstance(entries, list) else [entries]:
        if not isinstance(entry, str):
            raise PrepareError(f'{where} must name folders or text files, but has {shown(entry)}')
        place = _place(root, base, entry, where)
        if place.suffix == '.txt':
            images.update(dict.fromkeys(_listed(place, root, base)))
        elif not place.is_dir():
            raise PrepareError(
                f'{where} must be a folder or a list (.txt), but is the file {quoted(entry)}'
            )
        else:
            pairs = match_files(place, None, hint=f'{where} names it').complete_pairs()
            inside = [Path(pair.image) for pair in pairs]
            _check_labels(inside, place, root)
            images.update(dict.fromkeys(inside))
    return list(images)


def _base(root: Path, path: Any) -> Path:
    """Return the folder that ``path`` names, or ``root`` where it is one of another computer, as it often is."""
    name = posixpath.normpath(_below(root, path)) if isinstance(path, str) else '.'
    return root / name if not _leads_out(name) and os.path.isdir(root / name) else root


def _place(root: Path, base: Path, entry: str, where: str) -> Path:
    """Return what is meant by an entry, inside of the folder.

    Some tools write ``../train/images`` for ``train/images``.
    """
    inner = _below(root, entry)
    below = base.relative_to(root).as_posix()
    candidates = [posixpath.join(below, inner), inner, inner.removeprefix('../')]
    for candidate in candidates:
        name = posixpath.normpath(candidate)
        if not _leads_out(name) and os.path.exists(root / name):
            return root / name
    if all(_leads_out(posixpath.normpath(candidate)) for candidate in candidates):
        inner_name(entry, where)
    raise PrepareError(
        f'{where} names {quoted(entry)}, which is not in {root}; put it there, and write its name relative to it'
    )


def _below(root: Path, name: str) -> str:
    """Return a name with forward slashes, made relative where it is the whole path of something in the folder."""
    plain = name.replace('\\', '/')
    whole = os.path.abspath(root)
    return os.path.relpath(plain, whole) if plain.startswith(f'{whole}/') else plain


def _leads_out(name: str) -> bool:
    return name.startswith('/') or name.split('/')[0] == '..' or '\0' in name


def _listed(path: Path, root: Path, base: Path) -> list[Path]:
    """Return the images that a text file names, one in each line: relative to the file, or to the data set."""
    images = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not (name := line.strip()):
            continue
        where = f'line {number} of {path}'
        beside = path.parent.relative_to(root) / _below(root, name)
        candidate = posixpath.normpath(beside.as_posix())
        if _leads_out(candidate) or not os.path.isfile(root / candidate):
            image = _place(root, base, name, where)
        else:
            image = root / candidate
        if image.suffix.lower() not in IMAGE_SUFFIXES:
            raise PrepareError(f'{where} names {quoted(name)}, which is no image')
        images.append(image)
    return images


def _label_file(image: Path, root: Path) -> Path:
    """Return the label's path: that of the image with its last folder ``images`` called ``labels``."""
    return _in_labels(image.relative_to(root), root).with_suffix('.txt')


def _in_labels(relative: Path, root: Path) -> Path:
    folders = list(relative.parts)
    for position in range(len(folders) - 1, -1, -1):
        if folders[position] == _IMAGES:
            folders[position] = _LABELS
            break
    return root.joinpath(*folders)


def _check_labels(images: Sequence[Path], folder: Path, root: Path) -> None:
    """Refuse labels of images that are not there."""
    labels = _in_labels(folder.relative_to(root), root)
    if labels == folder:
        return
    expected = {_label_file(image, root) for image in images}
    for path in sorted(labels.rglob('[!.]*.txt')):
        if path not in expected and path.name != _CLASSES_FILE:
            raise PrepareError(
                f'the label {path} has no image in {folder}; add it, or remove the label'
            )


def _short_name(image: Path, base: Path, split: str) -> str:
    """Return the name without the folders that say that it is an image of the split."""
    parts = Path(os.path.relpath(image, base)).with_suffix('').parts
    folders = [part for part in parts[:-1] if part not in (_IMAGES, split, 'valid', '..')]
    return posixpath.join(*folders, parts[-1])


def _label(image: Path, path: Path, values: Sequence[int]) -> Label:
    label = blank_label(image, None, str(path))
    if not path.is_file():
        return label
    height, width = label.shape
    areas = np.full(label.shape, label.size, np.int64)
    for number, line in enumerate(read_text(path).splitlines(), 1):
        numbers = line.split()
        if not numbers:
            continue
        where = f'line {number} of {path}'
        value = values[_class(numbers[0], len(values), where)]
        if len(numbers) == _BOX_NUMBERS:
            raise PrepareError(
                f'{where} is a box (class x y width height), which says nothing of pixels; export the '
                'segmentation, with the corners of polygons'
            )
        if len(numbers) % 2 == 0:
            raise PrepareError(
                f'{where} must be a class and pairs x y, but has {len(numbers) - 1} numbers after the class'
            )
        corners = points(numbers[1:], where, fewest=3)
        if corners.min() < -_BEYOND or corners.max() > 1 + _BEYOND:
            raise PrepareError(
                f'{where} must have coordinates from 0 to 1, in parts of the image, but has '
                f'{corners.min():g} to {corners.max():g}'
            )
        with errors_at(where):
            mask = polygon_mask(corners * (width, height), (height, width))
        paint_below_smaller(label, areas, mask, value)
    return label


def _class(text: str, count: int, where: str) -> int:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not (number.is_integer() and 0 <= number < count):
        raise PrepareError(
            f'{where} must begin with a class from 0 to {count - 1}, but begins with {quoted(text)}'
        )
    return int(number)
