"""Looking at a dataset before training starts, so that a bad file stops the run now and not in an hour."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from swinseg.datasets.errors import DataError
from swinseg.datasets.label_faults import MASK_SETTING
from swinseg.datasets.label_map import IGNORE_INDEX
from swinseg.datasets.loaders import image_loader, label_loader, load_image


class SegmentationDataset(Protocol):
    """What is needed of a dataset: mmseg's datasets and mmengine's wrappers of them have it."""

    @property
    def metainfo(self) -> Mapping[str, Any]:
        """``classes`` and more."""

    def __len__(self) -> int:
        """Number of images."""

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Return paths and label rules of one image."""


_LINES = 20


@dataclass(frozen=True)
class Summary:
    """What a look at a dataset found."""

    images: int
    labelled: int
    sampled: int
    class_pixels: dict[str, int]
    """Pixels of each class in the sample."""
    ignored_pixels: int
    """Pixels in the sample that do not count."""

    @property
    def class_shares(self) -> dict[str, float]:
        """Each class's share of the pixels in the sample that count, 0 to 1."""
        total = max(1, sum(self.class_pixels.values()))
        return {name: pixels / total for name, pixels in self.class_pixels.items()}

    @property
    def absent(self) -> tuple[str, ...]:
        """Classes of which the sample has no pixel."""
        return tuple(name for name, pixels in self.class_pixels.items() if pixels == 0)

    def __str__(self) -> str:
        everything = sum(self.class_pixels.values()) + self.ignored_pixels
        lines = [
            f'{self.images} images, {self.labelled} with labels; of {self.sampled} looked at, '
            f'{self.ignored_pixels / max(1, everything):.1%} of the pixels are ignored'
        ]
        shares = sorted(self.class_shares.items(), key=lambda item: -item[1])
        present = [f'  {share:6.2%}  {name}' for name, share in shares if share > 0]
        lines += present[:_LINES]
        if len(present) > _LINES:
            lines.append(f'  and {len(present) - _LINES} rarer classes')
        if self.absent:
            more = f' and {len(self.absent) - 10} more' if len(self.absent) > 10 else ''
            lines.append(f'  not in the sample: {", ".join(self.absent[:10])}{more}')
        return '\n'.join(lines)


def check_before_training(dataset: SegmentationDataset, *, sample: int = 64) -> Summary:
    """Check that every file is there, and decode a sample of images and labels, evenly spread.

    Args:
        dataset: one of this package, of mmseg, or mmengine's wrapper of such. It is not changed, and of its
            pipeline only what loads the files runs.
        sample: how many images to decode at most.

    Returns:
        What was found: counts, and how often each class occurs in the sample.

    Raises:
        DataError: there is no image, a file is missing or bad, a label value is out of range, or the labels
            that were looked at hold nothing to learn from.
    """
    count = len(dataset)
    if count == 0:
        raise DataError(
            'the dataset has no images; check data_root, data_prefix and the split file'
        )
    labelled = _check_all_files(dataset)
    names = [str(name) for name in dataset.metainfo.get('classes') or ()]
    ignore_index = int(getattr(dataset, 'ignore_index', IGNORE_INDEX))
    load_label, loader = label_loader(dataset), image_loader(dataset)
    histogram = np.zeros(256, np.int64)
    chosen = np.unique(np.linspace(0, count - 1, max(1, min(sample, count))).round().astype(int))
    for index in chosen.tolist():
        info = dataset.get_data_info(index)
        # Stock mmseg datasets do not say how many classes there are, but their metainfo does.
        info.setdefault('num_classes', len(names) or None)
        info.setdefault('ignore_index', ignore_index)
        results = load_image(loader, info)
        if results.get('seg_map_path') is not None:
            label = load_label.transform(results)['gt_seg_map']
            histogram += np.bincount(label.reshape(-1), minlength=256)
    ignored = 0 if ignore_index < len(names) else int(histogram[ignore_index])
    summary = Summary(
        images=count,
        labelled=labelled,
        sampled=len(chosen),
        class_pixels={name: int(histogram[index]) for index, name in enumerate(names)},
        ignored_pixels=ignored,
    )
    if labelled and names:
        _check_something_to_learn(summary, ignore_index)
    return summary


def _check_all_files(dataset: SegmentationDataset) -> int:
    """Return how many images have a label."""
    missing: list[str] = []
    labelled = 0
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        label = info.get('seg_map_path')
        labelled += label is not None
        for path in (info['img_path'], label):
            # A file behind a URL is found out about when it is read.
            if path is not None and '://' not in path and not os.path.isfile(path):
                missing.append(path)
    if missing:
        more = f' and {len(missing) - 3} more' if len(missing) > 3 else ''
        raise DataError(
            f'{len(missing)} of the files of the dataset do not exist: {", ".join(missing[:3])}{more}; '
            'add them, remove their counterparts, or correct data_root, data_prefix and the suffixes'
        )
    return labelled


def _check_something_to_learn(summary: Summary, ignore_index: int) -> None:
    counted = sum(summary.class_pixels.values())
    if counted == 0:
        raise DataError(
            f'all pixels of the {summary.sampled} labels that were looked at are ignored; check '
            'reduce_zero_label, label_map, ignore_values and the selected classes'
        )
    if len(summary.class_pixels) == 2 and len(summary.absent) == 1 and summary.ignored_pixels:
        raise DataError(
            f'the {summary.sampled} labels that were looked at hold only the class '
            f'{next(name for name in summary.class_pixels if name not in summary.absent)!r} and ignored pixels '
            f'({ignore_index}), none of {summary.absent[0]!r}; for masks of 0 and 255 set '
            f'{MASK_SETTING}'
        )
