"""Writing a dataset in the plain layout, and reading it back before it gets its name.

::

    classes.yaml                   names and colors, in the order of the indices
    images/<split>/<name>.jpg      as they were
    labels/<split>/<name>.png      8-bit class indices, 255 where a pixel does not count
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from swinseg.datasets.folder import FolderDataset
from swinseg.datasets.labels.map import IGNORE_INDEX
from swinseg.datasets.prepare.odd_entries import OddEntries
from swinseg.datasets.prepare.source import (
    TEST,
    TRAIN,
    VAL,
    Label,
    PrepareError,
    Sample,
    Source,
    loading,
)
from swinseg.files import OutputError, make_folder

CLASSES_FILE = 'classes.yaml'


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        folder: of the dataset.
        images: how many, by split.
        classes: names in the order of their indices.
        pixels: (K,) int64, how many pixels each class covers.
        ignored: how many pixels do not count.
        left_out: what of the annotations cannot be used.
        remarks: of the source.
    """

    folder: Path
    images: dict[str, int]
    classes: tuple[str, ...]
    pixels: NDArray[np.int64]
    ignored: int
    left_out: OddEntries
    remarks: tuple[str, ...]


def write_dataset(
    source: Source,
    out: str | os.PathLike[str],
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Written:
    """Write a dataset and read every image and label back.

    The folder gets its name when all of it is there and right; what an interruption leaves has another one.

    Args:
        source: from a converter.
        out: a folder that does not exist, or is empty.
        progress: called with the images done, written and then read back, and how many that will be.

    Raises:
        PrepareError: there are no images, ``out`` is not empty, or annotations cannot be used.
        DataError: an image or label is not as it should be.
        OutputError: a file cannot be written, or holds something else afterwards.
    """
    folder = new_folder(out)
    if not source.samples:
        raise PrepareError('there are no images to convert; check the folders')
    temporary = folder.with_name(f'.{folder.name}.{os.getpid()}.partial')
    total = 2 * len(source.samples)
    try:
        temporary.mkdir()
        checksums: dict[tuple[str, str], int] = {}
        pixels = np.zeros(256, np.int64)
        for done, sample in enumerate(source.samples, 1):
            label = sample.label() if source.odd is None else source.odd.attempt(sample.label)
            if label is not None:
                checksums[_write(temporary, sample, label)] = _checksum(label)
                pixels += np.bincount(label.reshape(-1), minlength=256)
            progress(done, total)
        left_out = source.odd or OddEntries()
        left_out.check()
        if not checksums:
            raise PrepareError(f'no image is left to convert:\n{left_out.listed()}')
        entries = [
            {'name': name, 'color': [int(channel) for channel in color]}
            for name, color in zip(source.classes, source.palette, strict=True)
        ]
        text = yaml.safe_dump({'classes': entries}, sort_keys=False, default_flow_style=None)
        (temporary / CLASSES_FILE).write_text(text, encoding='utf-8')
        images = _read_back(temporary, checksums, progress)
        os.replace(temporary, folder)
    except OSError as error:
        raise OutputError(
            f'cannot write the dataset {folder}: {error.strerror or error}; '
            'choose another folder or make room'
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    count = len(source.classes)
    return Written(
        folder, images, tuple(source.classes), pixels[:count], int(pixels[IGNORE_INDEX]),
        left_out, tuple(source.remarks),
    )  # fmt: skip


def new_folder(out: str | os.PathLike[str]) -> Path:
    """Return the path of a folder to be written, and create those above it.

    Raises:
        PrepareError: it is there already, and is not empty.
        OutputError: nothing can be written there.
    """
    # Absolute, so that the folder of "." has a name.
    folder = Path(out).resolve()
    if os.path.exists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise PrepareError(f'the output {folder} exists and is not empty; name a new folder')
    make_folder(folder.parent)
    return folder


def summary(written: Written) -> str:
    """Return what was written in a few lines, with the dataset's entry for a config."""
    counts = ', '.join(f'{count} {split}' for split, count in written.images.items())
    absent = [
        name for name, count in zip(written.classes, written.pixels, strict=True) if not count
    ]
    whole = max(int(written.pixels.sum()) + written.ignored, 1)
    lines = [
        f'{written.folder}: {counts} images, {len(written.classes)} classes, all read back',
        f'{100 * written.ignored / whole:.1f}% of the pixels are ignored',
    ]
    if absent:
        lines.append(f'no pixel is {", ".join(absent)}')
    lines += written.remarks
    if written.left_out.count:
        lines += [f'{written.left_out.count} entries were left out:', written.left_out.listed()]
    lines += [
        f"in a config, for {split}: dataset=dict(type='FolderDataset', data_root='{written.folder}', "
        f"classes_file='{CLASSES_FILE}', data_prefix={data_prefix(split)})"
        for split in sorted(written.images, key=[TRAIN, VAL, TEST].index)
    ]
    return '\n'.join(lines)


def data_prefix(split: str) -> dict[str, str]:
    """Return the ``data_prefix`` of a split for ``FolderDataset``."""
    return dict(img_path=f'images/{split}', seg_map_path=f'labels/{split}')


def _write(folder: Path, sample: Sample, label: Label) -> tuple[str, str]:
    """Write both files and return split and name of the image below its folder."""
    suffix = sample.image.suffix.lower()
    image = folder / 'images' / sample.split / f'{sample.name}{suffix}'
    target = folder / 'labels' / sample.split / f'{sample.name}.png'
    if '..' in Path(sample.name).parts or Path(sample.name).is_absolute():
        raise PrepareError(f'the name {sample.name} leads out of the dataset; rename its image')
    if os.path.exists(image):
        raise PrepareError(f'two images are called {sample.name} in {sample.split}; rename one')
    for path in (image, target):
        path.parent.mkdir(parents=True, exist_ok=True)
    if sample.content is None:
        shutil.copyfile(sample.image, image)
    else:
        image.write_bytes(sample.content())
    is_encoded, data = cv2.imencode('.png', label)
    assert is_encoded
    target.write_bytes(data.tobytes())
    return sample.split, image.relative_to(folder / 'images' / sample.split).as_posix()


def _checksum(label: Label) -> int:
    return zlib.crc32(np.ascontiguousarray(label).data, zlib.crc32(repr(label.shape).encode()))


def _read_back(
    folder: Path, checksums: dict[tuple[str, str], int], progress: Callable[[int, int], None]
) -> dict[str, int]:
    """Compare what training will see with what was written, and return the number of images by split."""
    counts: dict[str, int] = {}
    done = len(checksums)
    for split in dict.fromkeys(split for split, _ in checksums):
        dataset = FolderDataset(
            data_root=str(folder),
            data_prefix=data_prefix(split),
            classes_file=CLASSES_FILE,
            pipeline=loading(),
            test_mode=True,
            serialize_data=False,
        )
        for index in range(len(dataset)):
            item = dataset[index]
            name = Path(item['img_path']).relative_to(folder / 'images' / split).as_posix()
            if _checksum(item['gt_seg_map']) != checksums[split, name]:
                raise OutputError(
                    f'the label of {name} in {split} is not as it was written; check the disk'
                )
            done += 1
            progress(done, 2 * len(checksums))
        counts[split] = len(dataset)
    assert sum(counts.values()) == len(checksums)
    return counts
