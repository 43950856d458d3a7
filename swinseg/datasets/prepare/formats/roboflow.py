"""Roboflow's "Semantic Segmentation Masks" (roboflow.com): masks of pixel values, named in ``_classes.csv``."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

from swinseg.datasets.folder import FolderDataset
from swinseg.datasets.labels.palettes import distinct_colors
from swinseg.datasets.prepare.annotations import names_without_background, read_text
from swinseg.datasets.prepare.source import (
    PrepareError,
    Sample,
    Source,
    loading,
    samples_of,
    split_of_folder,
)
from swinseg.errors import shown

CLASSES_FILE = '_classes.csv'
_MASK_SUFFIX = '_mask.png'
_VALUE = re.compile(r'[0-9]{1,3}')


def from_roboflow(folder: str | os.PathLike[str], *, val_share: float = 0.1) -> Source:
    """Read masks of pixel values as labels, in the order of the values.

    Args:
        folder: with ``train``, ``valid`` and ``test``, or one of them; each has ``_classes.csv``, images, and
            masks ``NAME_mask.png``.
        val_share: of the images, held out where there is one folder that does not say its split.

    Raises:
        PrepareError: a ``_classes.csv`` is missing, not as it should be, or not that of the other folders.
        DataError: an image has no mask; one is not as it should be, or has a value that is not named, when the
            label is made.
    """
    root = Path(folder)
    files = sorted(root.glob(f'*/{CLASSES_FILE}')) or [root / CLASSES_FILE]
    found = {path: _read_classes(path) for path in files}
    for path in files[1:]:
        if found[path] != found[files[0]]:
            raise PrepareError(
                f'{path} has other classes than {files[0]}; give folders of one export'
            )
    by_value = dict(sorted(found[files[0]].items()))
    names = names_without_background(list(by_value.values()), str(files[0]))
    samples: list[Sample] = []
    for path in files:
        dataset = FolderDataset(
            data_prefix=dict(img_path=str(path.parent), seg_map_path=str(path.parent)),
            img_suffix=('.jpg', '.jpeg', '.png'),
            seg_map_suffix=_MASK_SUFFIX,
            classes=names,
            label_map={value: names.index(name) for value, name in by_value.items()},
            # None but 255 may be ignored.
            ignore_values=[],
            pipeline=loading(),
            test_mode=True,
            serialize_data=False,
        )
        split = split_of_folder(path.parent.name)
        if split is None and len(files) > 1:
            raise PrepareError(
                f'{path.parent} must be called train, valid or test, so that it says its split; rename it'
            )
        samples += samples_of(dataset, split, val_share=val_share)
    return Source(names, distinct_colors(len(names)), samples)


def _read_classes(path: Path) -> dict[int, str]:
    """Return the classes by pixel value, which the lines after the first have."""
    classes: dict[int, str] = {}
    try:
        lines = list(csv.reader(read_text(path).splitlines(), skipinitialspace=True))
    except csv.Error as error:
        raise PrepareError(f'{path} is no valid CSV: {error}; export it again') from error
    for number, line in enumerate(lines[1:], 2):
        if not line:
            continue
        where = f'line {number} of {path}'
        value = line[0].strip()
        if len(line) != 2 or not _VALUE.fullmatch(value) or int(value) > 255:
            raise PrepareError(
                f'{where} must be a pixel value from 0 to 255 and a class, but is {shown(line)}'
            )
        if int(value) in classes:
            raise PrepareError(f'{where} has the pixel value {value} a second time; remove one')
        classes[int(value)] = line[1].strip()
    if not classes:
        raise PrepareError(f'{path} must name the classes in lines such as "0, background"')
    return classes
