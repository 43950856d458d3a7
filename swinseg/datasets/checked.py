"""Base of this package's datasets: mmseg's dataset with checked files and a right subset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from mmseg.datasets import BaseSegDataset

from swinseg.datasets.files.pairs import Matching, Pair, match_files
from swinseg.datasets.labels.dtype import most_classes
from swinseg.datasets.labels.map import IGNORE_INDEX, Color, Unlisted, subset_map
from swinseg.datasets.labels.palettes import distinct_colors
from swinseg.errors import DataError, quoted, shown

MAX_CLASSES = most_classes(np.uint8, reserved=1)
"""Labels of a training are uint8, and 255 means that a pixel does not count."""


class CheckedDataset(BaseSegDataset):
    """mmseg's ``BaseSegDataset`` that checks its files and tells :class:`LoadLabel` what labels may hold.

    Each item's data has, beside mmseg's keys, ``num_classes``, ``ignore_index`` and ``unlisted_labels``.

    Subclasses set :attr:`METAINFO` (``classes`` and ``palette``) and :attr:`hint`.

    Args:
        data_root: folder that ``data_prefix`` and ``ann_file`` are relative to.
        data_prefix: ``img_path`` and ``seg_map_path``, folders; without ``seg_map_path`` there are no labels.
        ann_file: text file with one name per line, or empty for all images.
        metainfo: ``classes`` (a subset of the classes; the labels of the others are ignored) and ``palette``.
        img_suffix: what image names end in, several of these, or ``'auto'``.
        seg_map_suffix: what label names end in, several of these, or ``'auto'``.
        pipeline: transforms or their configs.
        test_mode: as in mmseg.
        ignore_index: label of pixels that do not count, 0 to 255.
        reduce_zero_label: raw value 0 is ignored and class indices are raw values minus one.
        filter_cfg: as in mmseg.
        indices: as in mmseg.
        serialize_data: as in mmseg.
        lazy_init: as in mmseg.
        max_refetch: as in mmseg.
        backend_args: as in mmseg, of files that this machine has: None or ``dict(backend='local')``.

    Raises:
        DataError: the classes, the folders or the files are not as they should be.
    """

    hint: str = ''
    """How to get the data and where to put it, for the message about a missing or empty folder."""
    unlisted_labels: Unlisted = 'keep'

    def __init__(
        self,
        *,
        data_root: str | None = None,
        data_prefix: Mapping[str, str] | None = None,
        ann_file: str = '',
        metainfo: Mapping[str, Any] | None = None,
        img_suffix: str | Sequence[str] = 'auto',
        seg_map_suffix: str | Sequence[str] = 'auto',
        pipeline: Sequence[dict[str, Any] | Callable[..., Any]] = (),
        test_mode: bool = False,
        ignore_index: int = IGNORE_INDEX,
        reduce_zero_label: bool = False,
        filter_cfg: dict[str, Any] | None = None,
        indices: int | Sequence[int] | None = None,
        serialize_data: bool = True,
        lazy_init: bool = False,
        max_refetch: int = 1000,
        backend_args: Mapping[str, Any] | None = None,
    ) -> None:
        if not 0 <= ignore_index <= 255:
            raise DataError(
                f'ignore_index must be 0 to 255 since labels are 8-bit, not {ignore_index}; the usual one is 255'
            )
        prefix = {key: value for key, value in dict(data_prefix or {}).items() if value is not None}
        if 'img_path' not in prefix:
            raise DataError(
                f'data_prefix of {type(self).__name__} must name the folder of images, found '
                f"{prefix}; set data_prefix=dict(img_path='images', seg_map_path='annotations')"
            )
        super().__init__(
            ann_file=ann_file,
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix,
            metainfo=metainfo,
            data_root=data_root,
            data_prefix=prefix,
            filter_cfg=filter_cfg,
            indices=indices,
            serialize_data=serialize_data,
            pipeline=list(pipeline),
            test_mode=test_mode,
            lazy_init=lazy_init,
            max_refetch=max_refetch,
            backend_args=_checked_backend(backend_args),
            ignore_index=ignore_index,
            reduce_zero_label=reduce_zero_label,
        )

    @property
    def all_classes(self) -> Sequence[str]:
        """The classes that label files tell apart; ``metainfo`` may name a subset."""
        return self.METAINFO.get('classes', ())

    @property
    def all_colors(self) -> Sequence[Sequence[int]]:
        """One RGB color for each of :attr:`all_classes`."""
        return self.METAINFO.get('palette', ())

    def get_label_map(self, new_classes: Sequence[str] | None = None) -> dict[int, int] | None:
        """Return the map from indices among all classes to indices among ``new_classes``, or None if equal.

        It is applied after the zero label has been reduced, so a raw ADE20K value v in 1..150 becomes
        class v - 1 of the full set and then its index in the subset; everything else is ignored.

        Raises:
            DataError: there are no classes, too many, two of the same name, or one that is not in the set.
        """
        self._check_classes(new_classes)
        assert new_classes is not None
        if not self.all_classes or list(new_classes) == list(self.all_classes):
            return None
        return subset_map(self.all_classes, new_classes, ignore_index=self.ignore_index)

    def _check_classes(self, names: Sequence[str] | None) -> None:
        who = type(self).__name__
        if names is not None and not isinstance(names, (str, list, tuple)):
            raise DataError(f'classes of {who} must be a list of names, found {shown(names)}')
        if not names or isinstance(names, str):
            raise DataError(
                f'{who} has no class names (found {shown(names)}); '
                "set classes=['background', 'road', ...] in the order of the label values"
            )
        if len(names) > MAX_CLASSES:
            raise DataError(f'{who} takes at most {MAX_CLASSES} classes, found {len(names)}')
        other = [name for name in names if not isinstance(name, str)]
        if other:
            raise DataError(
                f'{who} has the class name {shown(other[0])}, but names are texts; put it in quotation marks'
            )
        twice = sorted({str(name) for name in names if list(names).count(name) > 1})
        if twice:
            raise DataError(f'{who} has the class {shown(twice[0])} twice; class names must differ')
        unknown = [str(name) for name in names if self.all_classes and name not in self.all_classes]
        if unknown:
            raise DataError(
                f'{who} has no class named {quoted(unknown[0])}; its {len(self.all_classes)} classes are '
                f'{", ".join(list(self.all_classes)[:5])} ...'
            )

    def _update_palette(self) -> list[list[int]]:
        """Return one color per class: those given, those of the subset, or generated ones."""
        names = list(self._metainfo['classes'])
        given = self._metainfo.get('palette') or []
        colors_of_all = dict(zip(self.all_classes, self.all_colors, strict=False))
        # The class's own palette belongs to all classes in their order; any other one to the names given.
        if given and list(map(list, given)) != list(map(list, self.all_colors)):
            if len(given) != len(names):
                raise DataError(
                    f'the palette has {len(given)} colors for {len(names)} classes; '
                    'give one [red, green, blue] per class, or leave the palette out'
                )
            return [list(checked_color(color)) for color in given]
        if all(name in colors_of_all for name in names):
            return [list(checked_color(colors_of_all[name])) for name in names]
        return distinct_colors(len(names))

    def match_files(self) -> Matching:
        """Match the images with their labels; see :func:`swinseg.datasets.files.pairs.match_files`."""
        return match_files(
            self.data_prefix['img_path'],
            self.data_prefix.get('seg_map_path'),
            **self.matching_options(),
        )

    def matching_options(self) -> dict[str, Any]:
        """Return how files are matched, as :func:`swinseg.datasets.files.pairs.match_files` takes it."""
        return dict(
            image_suffix=self.img_suffix,
            label_suffix=self.seg_map_suffix,
            names_file=self.ann_file or None,
            hint=self.missing_data_hint(),
        )

    def data_of(self, pair: Pair) -> dict[str, Any]:
        """Return what an item's data says of a pair before its files are read."""
        item: dict[str, Any] = {
            'img_path': pair.image,
            'label_map': self.label_map,
            'reduce_zero_label': self.reduce_zero_label,
            'num_classes': len(self._metainfo['classes']),
            'ignore_index': self.ignore_index,
            'unlisted_labels': self.unlisted_labels,
            'seg_fields': [],
        }
        if pair.label is not None:
            item['seg_map_path'] = pair.label
        return item

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the pairs and check that each image has its label.

        Raises:
            DataError: the folders do not match, see :meth:`match_files`.
        """
        return [self.data_of(pair) for pair in self.match_files().complete_pairs()]

    def missing_data_hint(self) -> str:
        """How to get the data and where to put it, as the second half of a sentence; may be empty."""
        return self.hint


def _checked_backend(backend_args: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return mmengine's file backend, which must be that of local files: folders are listed without one.

    Raises:
        DataError: it is another one.
    """
    if backend_args is None:
        return None
    if not isinstance(backend_args, Mapping) or backend_args.get('backend') != 'local':
        raise DataError(
            f"backend_args of a dataset must be None or dict(backend='local'), found {quoted(backend_args)}; "
            'mount the storage as a folder, or copy the files'
        )
    return dict(backend_args)


def checked_color(color: Sequence[int]) -> Color:
    """Return a color as three whole numbers from 0 to 255.

    Raises:
        DataError: it is none.
    """
    values = list(color) if isinstance(color, (list, tuple)) else []
    if len(values) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in values):
        raise DataError(
            f'a color must be [red, green, blue] with values 0 to 255, not {shown(color)}'
        )
    return values[0], values[1], values[2]
