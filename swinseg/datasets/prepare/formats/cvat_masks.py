"""CVAT's "Segmentation mask" 1.1: the folders of Pascal VOC, and ``labelmap.txt`` with the labels' colors."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from swinseg.datasets.folder import FolderDataset
from swinseg.datasets.prepare.annotations import (
    BACKGROUND,
    class_indices,
    class_names,
    is_background,
    read_text,
)
from swinseg.datasets.prepare.source import (
    TRAIN,
    PrepareError,
    Sample,
    Source,
    loading,
    samples_of,
    split_of_folder,
)
from swinseg.errors import shown

LABEL_MAP = 'labelmap.txt'
# The label of pixels that do not count, and its color where the file does not name it.
_IGNORED, _IGNORED_COLOR = 'ignored', [224, 224, 192]
_NUMBER = re.compile(r'[0-9]{1,3}')


def from_cvat_masks(folder: str | os.PathLike[str], *, val_share: float = 0.1) -> Source:
    """Read masks whose colors say the label: background, then the labels in the order of the task.

    The label ``ignored`` marks pixels that do not count.

    Args:
        folder: with ``labelmap.txt``, ``JPEGImages``, ``SegmentationClass``, and the lists of the subsets, such as
            ``ImageSets/Segmentation/default.txt``.
        val_share: of the images, held out where no list is called train, val or test.

    Raises:
        PrepareError: ``labelmap.txt`` is not as it should be, or there is no list.
        DataError: an image or a mask is missing or not as it should be; a color of no label when the label is
            made.
    """
    root = Path(folder)
    settings = classes_by_color(root / LABEL_MAP)
    lists = sorted((root / 'ImageSets' / 'Segmentation').glob('[!.]*.txt'))
    if not lists:
        raise PrepareError(
            f'{root} has no list of images, such as ImageSets/Segmentation/default.txt; export it again'
        )
    samples: list[Sample] = []
    for path in lists:
        dataset = FolderDataset(
            data_prefix=dict(
                img_path=str(root / 'JPEGImages'), seg_map_path=str(root / 'SegmentationClass')
            ),
            ann_file=str(path),
            pipeline=loading(),
            test_mode=True,
            serialize_data=False,
            **settings,
        )
        split = split_of_folder(path.stem)
        if split is None and len(lists) > 1:
            split = TRAIN
        samples += samples_of(dataset, split, val_share=val_share)
    return Source(settings['classes'], settings['palette'], samples)


def classes_by_color(path: Path) -> dict[str, Any]:
    """Return the arguments of ``FolderDataset`` that say the classes of ``labelmap.txt``, background first.

    Raises:
        PrepareError: the file is not as it should be.
    """
    colors = _read_label_map(path)
    ignored = colors.pop(_IGNORED, _IGNORED_COLOR)
    if not any(map(is_background, colors)):
        colors[BACKGROUND] = [0, 0, 0]
    names = class_names(list(colors), str(path))
    by_index = {index: colors[name] for name, index in class_indices(colors, names).items()}
    palette = [by_index[index] for index in range(len(names))]
    return {
        'classes': names,
        'palette': palette,
        'color_labels': True,
        'ignore_colors': [] if ignored in palette else [ignored],
    }


def _read_label_map(path: Path) -> dict[str, list[int]]:
    """Return the colors of the labels, in their order: a line is ``name:red,green,blue:parts:actions``."""
    colors: dict[str, list[int]] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.startswith('#'):
            continue
        where = f'line {number} of {path}'
        name, *rest = line.rsplit(':', 3)
        channels = rest[0].split(',') if len(rest) == 3 else []
        color = [int(text) for text in channels if _NUMBER.fullmatch(text.strip())]
        if len(channels) != 3 or len(color) != 3 or max(color) > 255:
            raise PrepareError(
                f'{where} must be name:red,green,blue:parts:actions, but is {shown(line)!r}'
            )
        if name in colors:
            raise PrepareError(f'{where} has the label {shown(name)!r} a second time; remove one')
        colors[name] = color
    return colors
