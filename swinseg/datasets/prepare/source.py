"""Source that a converter hands over: classes, and images with functions that give their labels."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.checked import CheckedDataset
from swinseg.datasets.files.value_range import PER_IMAGE
from swinseg.datasets.prepare.odd_entries import OddEntries
from swinseg.datasets.transforms.loading import LoadImage, LoadLabel
from swinseg.errors import PrepareError

TRAIN, VAL, TEST = 'train', 'val', 'test'
_SPLIT_NAMES = {
    'train': TRAIN, 'training': TRAIN, 'val': VAL, 'valid': VAL, 'validation': VAL, 'test': TEST,
    'testing': TEST,
}  # fmt: skip

Label = NDArray[np.uint8]
"""(H, W) uint8 class indices, 255 where a pixel does not count."""


@dataclass(frozen=True)
class Sample:
    """An image and its label.

    Attributes:
        name: relative path without suffix, of both written files below the folder of the split.
        split: ``'train'``, ``'val'`` or ``'test'``.
        image: the file, which is copied as it is.
        label: gives the label when it is called.
        content: gives the bytes of the image, where they are inside of another file and ``image`` only names them;
            else None.
    """

    name: str
    split: str
    image: Path
    label: Callable[[], Label]
    content: Callable[[], bytes] | None = None


@dataclass(frozen=True)
class Source:
    """A dataset to be written.

    Attributes:
        classes: names in the order of their indices.
        palette: one RGB color for each.
        samples: of all splits.
        odd: what of the annotations cannot be used, those among them that are found when a label is made; None for
            layouts of which nothing can be left out.
        remarks: sentences about what was not taken as it stands.
    """

    classes: Sequence[str]
    palette: Sequence[Sequence[int]]
    samples: Sequence[Sample]
    odd: OddEntries | None = None
    remarks: Sequence[str] = ()


def loading() -> list[Callable[..., object]]:
    """Return the pipeline that datasets given to :func:`samples_of` have."""
    # Of the image only the size is asked for; what its values mean, training must be told.
    return [LoadImage(value_range=PER_IMAGE), LoadLabel()]


def samples_of(
    dataset: CheckedDataset, split: str | None = None, *, val_share: float = 0.0
) -> list[Sample]:
    """Return a dataset's images with the labels that training would see.

    Args:
        dataset: with the pipeline of :func:`loading`.
        split: of all images; None asks :func:`split_by_name`.
        val_share: for it.

    Raises:
        PrepareError: ``val_share`` is outside its range.
    """
    root = dataset.data_prefix['img_path']
    paths = [dataset.get_data_info(index)['img_path'] for index in range(len(dataset))]
    relative = [Path(os.path.relpath(path, root)).as_posix() for path in paths]
    placed = (
        {name: (split, name) for name in relative}
        if split is not None
        else split_by_name(relative, val_share=val_share)
    )
    return [
        Sample(
            name=_stem(placed[name][1], dataset.img_suffix),
            split=placed[name][0],
            image=Path(path),
            label=partial(_label, dataset, index),
        )
        for index, (path, name) in enumerate(zip(paths, relative, strict=True))
    ]


def _label(dataset: CheckedDataset, index: int) -> Label:
    return cast(Label, dataset[index]['gt_seg_map'])


def _stem(name: str, suffix: str | Sequence[str]) -> str:
    known = () if suffix == 'auto' else (suffix,) if isinstance(suffix, str) else suffix
    ending = next((each for each in known if name.endswith(each)), Path(name).suffix)
    return name.removesuffix(ending)


def split_of_folder(folder: str) -> str | None:
    """Return the split that a folder of this name holds, or None."""
    return _SPLIT_NAMES.get(folder.lower())


def _folder_split(name: str) -> str | None:
    folder, _, rest = name.partition('/')
    return split_of_folder(folder) if rest else None


def split_by_name(names: Sequence[str], *, val_share: float) -> dict[str, tuple[str, str]]:
    """Choose the split of each name.

    Where the first folder of all names is one of train, val, test (or training, validation, valid, testing),
    it says the split. Otherwise a share is held out for validation, the same names every time.

    Args:
        names: relative paths with forward slashes.
        val_share: of the names, in [0, 1).

    Returns:
        By name, the split and the name without the folder that said it.

    Raises:
        PrepareError: the share is outside its range.
    """
    if not 0 <= val_share < 1:
        raise PrepareError(f'the share for validation must be in [0, 1), but is {val_share}')
    by_folder = {
        name: (split, name.split('/', 1)[1]) for name in names if (split := _folder_split(name))
    }
    if len(by_folder) == len(names):
        return by_folder
    # Of a file name that is no UTF-8 Python makes text that cannot be encoded as usual.
    shuffled = sorted(
        names, key=lambda name: (zlib.crc32(name.encode(errors='surrogatepass')), name)
    )
    held_out = set(shuffled[: round(val_share * len(names))])
    return {name: (VAL if name in held_out else TRAIN, name) for name in names}
