"""Layouts whose labels are pictures: color masks and Cityscapes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mmseg.datasets import CityscapesDataset

from swinseg.datasets.folder import FolderDataset
from swinseg.datasets.labels.cityscapes import LAST_ID, TRAIN_IDS
from swinseg.datasets.prepare.source import Source, loading, samples_of

PathLike = str | os.PathLike[str]


def from_color_masks(
    images: PathLike,
    masks: PathLike,
    *,
    classes_file: PathLike,
    ignore_colors: Sequence[Sequence[int]] = (),
    val_share: float = 0.1,
) -> Source:
    """Read masks whose colors say the class.

    Args:
        images: folder of images, with train, val and test below it or without.
        masks: folder of masks with the images' names, RGB or with a palette.
        classes_file: classes and their colors, see
            :func:`~swinseg.datasets.labels.classes_file.read_classes_file`.
        ignore_colors: of pixels that do not count.
        val_share: of the images, held out where no folders say the split.

    Raises:
        DataError: files, classes or colors are not as they should be; colors when the label is made.
    """
    dataset = FolderDataset(
        data_prefix=dict(img_path=os.fspath(images), seg_map_path=os.fspath(masks)),
        classes_file=os.fspath(classes_file),
        color_labels=True,
        ignore_colors=ignore_colors,
        pipeline=loading(),
        test_mode=True,
    )
    meta = dataset.metainfo
    return Source(meta['classes'], meta['palette'], samples_of(dataset, val_share=val_share))


def from_cityscapes(root: PathLike, *, val_share: float = 0.0) -> Source:
    """Read Cityscapes' label ids as the 19 classes that are evaluated (Cordts et al., 2016).

    Args:
        root: with ``leftImg8bit`` and ``gtFine``, and train and val below them, or a folder with both kinds of
            files.
        val_share: of the images, held out where no folders say the split.

    Raises:
        DataError: the files are not as they should be; a label id above 33 when the label is made.
    """
    folders = [Path(root, name) for name in ('leftImg8bit', 'gtFine')]
    images, labels = (
        folders if all(os.path.isdir(folder) for folder in folders) else [Path(root)] * 2
    )
    meta = CityscapesDataset.METAINFO
    dataset = FolderDataset(
        data_prefix=dict(img_path=str(images), seg_map_path=str(labels)),
        img_suffix=('_leftImg8bit.png', '_leftImg8bit.jpg'),
        seg_map_suffix='_gtFine_labelIds.png',
        classes=meta['classes'],
        palette=meta['palette'],
        label_map=TRAIN_IDS,
        ignore_values=[value for value in range(LAST_ID + 1) if value not in TRAIN_IDS],
        pipeline=loading(),
        test_mode=True,
    )
    return Source(meta['classes'], meta['palette'], samples_of(dataset, val_share=val_share))
