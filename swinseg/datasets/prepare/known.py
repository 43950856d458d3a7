"""Layouts whose labels are pictures: colour masks, Cityscapes, Pascal VOC."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mmseg.datasets import CityscapesDataset, PascalVOCDataset

from swinseg.datasets.cityscapes import LAST_ID, TRAIN_IDS
from swinseg.datasets.folder import FolderDataset
from swinseg.datasets.prepare.source import (
    TRAIN,
    VAL,
    PrepareError,
    Sample,
    Source,
    loading,
    samples_of,
)

PathLike = str | os.PathLike[str]


def from_color_masks(
    images: PathLike,
    masks: PathLike,
    *,
    classes_file: PathLike,
    ignore_colors: Sequence[Sequence[int]] = (),
    val_share: float = 0.1,
) -> Source:
    """Read masks whose colours say the class.

    Args:
        images: folder of images, with train, val and test below it or without.
        masks: folder of masks with the images' names, RGB or with a palette.
        classes_file: classes and their colours, see
            :func:`~swinseg.datasets.classes_file.read_classes_file`.
        ignore_colors: of pixels that do not count.
        val_share: of the images, held out where no folders say the split.

    Raises:
        DataError: files, classes or colours are not as they should be; colours when the label is made.
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


def from_voc(root: PathLike, *, val_share: float = 0.1) -> Source:
    """Read Pascal VOC's palette labels: 21 classes with the background, 255 at borders.

    Args:
        root: such as ``VOCdevkit/VOC2012``, with ``JPEGImages``, ``SegmentationClass`` and the lists
            ``ImageSets/Segmentation/train.txt`` and ``val.txt``; or a folder with both kinds of files.
        val_share: of the images, held out where there are no lists.

    Raises:
        DataError: the files are not as they should be; a label that is no class when the label is made.
    """
    folders = [Path(root, name) for name in ('JPEGImages', 'SegmentationClass')]
    lists = {
        split: path
        for split in (TRAIN, VAL)
        if (path := Path(root, 'ImageSets', 'Segmentation', f'{split}.txt')).is_file()
    }
    is_devkit = all(os.path.isdir(folder) for folder in folders)
    if is_devkit and not lists:
        raise PrepareError(
            f'{os.fspath(root)} has no split lists ImageSets/Segmentation/train.txt and val.txt; '
            'without them images that have no segmentation cannot be told from those that have'
        )
    images, labels = folders if is_devkit else [Path(root)] * 2
    meta = PascalVOCDataset.METAINFO

    def dataset(names: str = '') -> FolderDataset:
        return FolderDataset(
            data_prefix=dict(img_path=str(images), seg_map_path=str(labels)),
            ann_file=names,
            img_suffix='.jpg',
            seg_map_suffix='.png',
            classes=meta['classes'],
            palette=meta['palette'],
            pipeline=loading(),
            test_mode=True,
        )

    samples: list[Sample] = []
    if is_devkit:
        for split, path in lists.items():
            samples += samples_of(dataset(str(path)), split)
    else:
        samples = samples_of(dataset(), val_share=val_share)
    return Source(meta['classes'], meta['palette'], samples)
