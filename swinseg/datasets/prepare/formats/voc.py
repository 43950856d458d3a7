"""Pascal VOC (Everingham et al., 2010), and other classes in its folders, as CVAT and Labelme export them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from mmseg.datasets import PascalVOCDataset

from swinseg.datasets.files.images import png_palette, read_bytes
from swinseg.datasets.folder import FolderDataset
from swinseg.datasets.labels.palettes import distinct_colors
from swinseg.datasets.prepare.formats.cvat_masks import LABEL_MAP, classes_by_color
from swinseg.datasets.prepare.source import (
    TRAIN,
    VAL,
    PrepareError,
    Sample,
    Source,
    loading,
    samples_of,
)

_NAMES_FILES = ('class_names.txt', 'labels.txt')
# What Labelme writes before the names of the classes, whose numbers begin with the next one.
_IGNORE_NAME = '__ignore__'
_MOST_CHARACTERS = 2**20


def from_voc(root: str | os.PathLike[str], *, val_share: float = 0.1) -> Source:
    """Read labels in the layout of Pascal VOC.

    Its own 21 classes are taken for palette files in VOC's colors without a list of classes. Such a list is
    ``class_names.txt`` or ``labels.txt``, whose first line is the class 0, as Labelme writes it; or
    ``labelmap.txt`` with lines ``name:red,green,blue::``, as CVAT writes it, whose labels say the class by color.
    The value 255 does not count.

    Args:
        root: such as ``VOCdevkit/VOC2012``, with ``JPEGImages``, ``SegmentationClass`` and the lists
            ``ImageSets/Segmentation/train.txt`` and ``val.txt``, or another one; or a folder with both kinds of
            files.
        val_share: of the images, held out where no lists say the split.

    Raises:
        DataError: the files are not as they should be, or nothing says the classes; a label that is no class when
            the label is made.
    """
    folders = [Path(root, name) for name in ('JPEGImages', 'SegmentationClass')]
    is_devkit = all(os.path.isdir(folder) for folder in folders)
    images, labels = folders if is_devkit else [Path(root)] * 2
    lists = _split_lists(Path(root)) if is_devkit else {None: ''}
    classes = _own_classes(Path(root))
    settings = _voc_classes() if classes is None else classes
    # Photographs of VOC are JPEG files; beside labels in one folder they must be, to be told apart.
    suffix = '.jpg' if classes is None or not is_devkit else 'auto'

    def dataset(names: str = '') -> FolderDataset:
        return FolderDataset(
            data_prefix=dict(img_path=str(images), seg_map_path=str(labels)),
            ann_file=names,
            img_suffix=suffix,
            seg_map_suffix='.png',
            pipeline=loading(),
            test_mode=True,
            **settings,
        )

    samples: list[Sample] = []
    for split, names_file in lists.items():
        part = dataset(names_file)
        if classes is None and not samples:
            _require_vocs_colors(Path(root), part.get_data_info(0)['seg_map_path'])
        samples += samples_of(part, split, val_share=val_share)
    names = settings['classes']
    return Source(names, settings.get('palette') or distinct_colors(len(names)), samples)


def _split_lists(root: Path) -> dict[str | None, str]:
    """Return the file with the list of each split, or one of all images under None."""
    folder = root / 'ImageSets' / 'Segmentation'
    known: dict[str | None, Path] = {split: folder / f'{split}.txt' for split in (TRAIN, VAL)}
    found = {split: str(path) for split, path in known.items() if path.is_file()}
    if found:
        return found
    for name in ('default.txt', 'trainval.txt'):
        if (folder / name).is_file():
            return {None: str(folder / name)}
    raise PrepareError(
        f'{root} has no split lists ImageSets/Segmentation/train.txt and val.txt; '
        'without them images that have no segmentation cannot be told from those that have'
    )


def _voc_classes() -> dict[str, Any]:
    meta = PascalVOCDataset.METAINFO
    return {'classes': meta['classes'], 'palette': meta['palette']}


def _own_classes(root: Path) -> dict[str, Any] | None:
    """Return the arguments of ``FolderDataset`` that say the classes of a list in the folder; None without one."""
    if (root / LABEL_MAP).is_file():
        return classes_by_color(root / LABEL_MAP)
    path = next((root / name for name in _NAMES_FILES if (root / name).is_file()), None)
    if path is None:
        return None
    names = [line for line in _lines(path) if line != _IGNORE_NAME]
    if not names:
        raise PrepareError(
            f'{path} names no class; write one name in each line, that of the value 0 first'
        )
    return {'classes': names}


def _lines(path: Path) -> list[str]:
    try:
        with open(path, encoding='utf-8-sig') as file:
            text = file.read(_MOST_CHARACTERS)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, 'strerror', None) or 'it is not UTF-8 text'
        raise PrepareError(f'{path} cannot be read: {reason}') from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _require_vocs_colors(root: Path, label: str) -> None:
    """Refuse a label that does not show by VOC's palette that its numbers are those of VOC's classes."""
    expected = np.array(PascalVOCDataset.METAINFO['palette'])
    palette = png_palette(read_bytes(label, what='label'))
    count = 0 if palette is None else min(len(palette), len(expected))
    if palette is None or (palette[:count] != expected[:count]).any():
        found = 'no palette' if palette is None else 'another palette'
        raise PrepareError(
            f'the label {label} has {found}, not that of the 21 classes of Pascal VOC, and {root} has no list of '
            f'classes; put {_NAMES_FILES[0]} there, with one name in each line, that of the value 0 first'
        )
