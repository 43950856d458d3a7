"""A dataset of one's own images: two folders, a list of classes, and any kind of label file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from mmseg.registry import DATASETS

from swinseg.datasets.checked import CheckedDataset, checked_color
from swinseg.datasets.files.pairs import Matching, Pair, match_class_folders
from swinseg.datasets.labels.classes_file import ClassList, read_classes_file, whole_numbers
from swinseg.datasets.labels.colors import MAX_COLORED_CLASSES
from swinseg.datasets.labels.map import IGNORE_INDEX, Color, compose, subset_map
from swinseg.datasets.labels.multi_label import Layout, Missing, MultiLabelRule
from swinseg.datasets.labels.palettes import distinct_colors
from swinseg.errors import DataError, quoted, shown


@DATASETS.register_module()
class FolderDataset(CheckedDataset):
    """Images in one folder, labels in another (or the same), classes from a YAML file or from the config.

    An image ``NAME<img_suffix>`` belongs to the label ``NAME<seg_map_suffix>``, in subfolders as well. Label
    files may be 8-bit, 16-bit, palette or 1-bit. By default they hold class indices. Where they do not,
    ``label_map`` says which raw value is which class: values that it does not name are ignored, unless
    ``ignore_values`` lists what may be ignored; then every other value stops with an error.

    Args:
        data_root: folder that ``data_prefix``, ``ann_file`` and ``classes_file`` are relative to.
        data_prefix: ``img_path`` and ``seg_map_path``, folders; without ``seg_map_path`` there are no labels.
        classes: class names in the order of their indices.
        palette: one [red, green, blue] per class; generated where nobody gives one.
        classes_file: YAML file instead of ``classes``, ``palette``, ``label_map`` and ``ignore_values``, see
            :func:`read_classes_file`; looked for as given, then under ``data_root``.
        metainfo: ``classes`` and ``palette`` as in mmseg; beside ``classes`` or ``classes_file`` its
            ``classes`` select a subset, and the pixels of the others are ignored.
        label_map: raw value -> class index.
        ignore_values: raw values that mean "does not count", such as the void class.
        instance_divisor: raw values from this number on are class * number + number of the object, and the class
            is what counts: 1000 for the instance maps of Cityscapes.
        color_labels: the colors in the label files, which are then those of ``palette`` (or of ``classes_file``),
            say the class: for RGB masks, and for palette files whose indices mean nothing.
        ignore_colors: with ``color_labels``, colors that mean "does not count"; any other color that is
            not of a class stops with an error.
        multi_label: for labels of which a pixel may have several at once. ``'bits'``: label files are bit masks,
            bit k is class k, up to 16 classes in one channel, more in the bands of a TIFF. ``'folders'``: the
            folder of labels has one folder for each class, of its name, with a mask of each image, 0 and one other
            value. Then ``ignore_values`` are raw values of pixels that do not count, in the mask of a class for
            that class; and where ``metainfo`` chooses some of the classes, pixels of the others still count.
        missing_masks: with ``'folders'``, what an image without a mask of a class means: ``'error'``, ``'empty'``
            (it has no pixel of it) or ``'ignore'`` (nobody has looked, so the class does not count there).
        ann_file: text file with one name per line, or empty for all images.
        img_suffix: what image names end in, several of these, or ``'auto'`` for every known image format.
        seg_map_suffix: what label names end in, several of these, or ``'auto'``.
        pipeline: transforms or their configs.
        test_mode: as in mmseg.
        ignore_index: what ignored pixels become, 0 to 255.
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

    def __init__(
        self,
        *,
        data_root: str | None = None,
        data_prefix: Mapping[str, str] | None = None,
        classes: Sequence[str] | None = None,
        palette: Sequence[Sequence[int]] | None = None,
        classes_file: str | None = None,
        metainfo: Mapping[str, Any] | None = None,
        label_map: Mapping[int, int] | None = None,
        ignore_values: Sequence[int] | None = None,
        instance_divisor: int | None = None,
        color_labels: bool = False,
        ignore_colors: Sequence[Sequence[int]] = (),
        multi_label: Layout | None = None,
        missing_masks: Missing = 'error',
        ann_file: str = '',
        img_suffix: str | Sequence[str] = 'auto',
        seg_map_suffix: str | Sequence[str] = 'auto',
        pipeline: Sequence[Any] = (),
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
        given = dict(metainfo or {})
        if classes_file is not None:
            beside = {
                'classes': classes,
                'palette': palette,
                'label_map': label_map,
                'ignore_values': ignore_values,
            }
            twice = [name for name, value in beside.items() if value is not None]
            if twice:
                raise DataError(
                    f'classes_file and {twice[0]} are both given; leave {twice[0]} out or put it into the file'
                )
            self._list = read_classes_file(_find(classes_file, data_root))
        else:
            if classes is None:
                classes, given = (
                    given.get('classes'),
                    {k: v for k, v in given.items() if k != 'classes'},
                )
                if palette is None:
                    palette = given.pop('palette', None)
            if classes is not None and not isinstance(classes, (str, list, tuple)):
                raise DataError(
                    f'classes of FolderDataset must be a list of names, found {shown(classes)}'
                )
            self._list = ClassList(
                names=()
                if classes is None
                else (classes,)
                if isinstance(classes, str)
                else tuple(classes),
                palette=None
                if palette is None
                else [list(checked_color(color)) for color in palette],
                label_map=None if label_map is None else _checked_map(label_map),
                ignore_values=None
                if ignore_values is None
                else tuple(whole_numbers(list(ignore_values), 'ignore_values of FolderDataset')),
            )
        if isinstance(classes, str):
            raise DataError(
                f'classes of FolderDataset must be a list of names, found {quoted(classes)}; '
                f"set classes=['{shown(classes)}']"
            )
        self._check_list(ignore_index, reduce_zero_label)
        if instance_divisor is not None and not 2 <= instance_divisor <= 65535:
            raise DataError(
                f'instance_divisor must be a number from 2 to 65535, such as 1000, not {instance_divisor!r}'
            )
        self._instance_divisor = instance_divisor
        self._ignore_colors = tuple(checked_color(color) for color in ignore_colors)
        self._label_colors = self._colors_of_labels(reduce_zero_label) if color_labels else None
        if ignore_colors and not color_labels:
            raise DataError(
                'ignore_colors needs color_labels=True; set it, or leave ignore_colors out'
            )
        self._check_multi_label(
            multi_label,
            missing_masks,
            label_map=self._list.label_map is not None,
            color_labels=color_labels,
            reduce_zero_label=reduce_zero_label,
            instance_divisor=instance_divisor is not None,
        )
        self._multi_label, self._missing_masks = multi_label, missing_masks
        if self._list.label_map is not None:
            self.unlisted_labels = 'ignore' if self._list.ignore_values is None else 'reject'
        given.setdefault('classes', list(self._list.names))
        super().__init__(
            data_root=data_root,
            data_prefix=data_prefix,
            ann_file=ann_file,
            metainfo=given,
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix,
            pipeline=pipeline,
            test_mode=test_mode,
            ignore_index=ignore_index,
            reduce_zero_label=reduce_zero_label,
            filter_cfg=filter_cfg,
            indices=indices,
            serialize_data=serialize_data,
            lazy_init=lazy_init,
            max_refetch=max_refetch,
            backend_args=backend_args,
        )

    def _check_list(self, ignore_index: int, reduce_zero_label: bool) -> None:
        count = len(self._list.names)
        if self._list.palette is not None and len(self._list.palette) != count:
            raise DataError(
                f'the palette has {len(self._list.palette)} colors for {count} classes; '
                'give one [red, green, blue] per class, or leave the palette out'
            )
        if self._list.label_map is None and self._list.ignore_values is None:
            return
        if reduce_zero_label:
            raise DataError(
                'reduce_zero_label and label_map or ignore_values are both given to FolderDataset, but both say '
                'what raw value 0 is; leave reduce_zero_label out and name the raw values'
            )
        for value, index in (self._list.label_map or {}).items():
            if not (0 <= index < count or index == ignore_index):
                raise DataError(
                    f'label_map sends the raw value {value} to {index}, expected a class index from 0 to '
                    f'{count - 1} or ignore_index {ignore_index}'
                )
        both = sorted(set(self._list.label_map or {}) & set(self._list.ignore_values or ()))
        if both:
            raise DataError(
                f'the raw value {both[0]} is in label_map and in ignore_values; leave it out of one of them'
            )

    def _colors_of_labels(self, reduce_zero_label: bool) -> tuple[Color, ...]:
        """Return the classes' colors, as RGB masks have them, checked to be those of one class each."""
        given = {
            'label_map': self._list.label_map is not None,
            'ignore_values': self._list.ignore_values is not None,
            'reduce_zero_label': reduce_zero_label,
            'instance_divisor': self._instance_divisor is not None,
        }
        for name in (name for name, is_given in given.items() if is_given):
            raise DataError(
                f'color_labels and {name} are both given, but with color_labels the values in the files mean '
                f'nothing; leave {name} out (ignore_colors says which colors do not count)'
            )
        if self._list.palette is None:
            raise DataError(
                'color_labels needs the color of each class; set palette=[[red, green, blue], ...], or color '
                'in classes_file'
            )
        colors = tuple(checked_color(color) for color in self._list.palette)
        if len(colors) > MAX_COLORED_CLASSES:
            raise DataError(
                f'color_labels takes at most {MAX_COLORED_CLASSES} classes, found {len(colors)}'
            )
        twice = [color for color in colors if (*colors, *self._ignore_colors).count(color) > 1]
        if twice:
            raise DataError(
                f'the color {list(twice[0])} stands for two classes or for one and ignore_colors; with '
                'color_labels each needs its own'
            )
        return colors

    def _check_multi_label(self, layout: Layout | None, missing: Missing, **others: bool) -> None:
        if layout not in (None, *get_args(Layout)):
            raise DataError(
                f"multi_label of FolderDataset must be 'bits' or 'folders', found {quoted(layout)}; leave it out "
                'where a pixel has one class'
            )
        if missing not in get_args(Missing):
            raise DataError(
                f'missing_masks of FolderDataset must be one of {", ".join(get_args(Missing))}, found '
                f'{quoted(missing)}'
            )
        if missing != 'error' and layout != 'folders':
            raise DataError(
                "missing_masks is about labels with multi_label='folders'; set that, or leave missing_masks out"
            )
        for name in (name for name, is_given in others.items() if is_given and layout is not None):
            raise DataError(
                f'multi_label and {name} are both given to FolderDataset, but with multi_label the files say each '
                f'class by a bit or a mask of its own; leave {name} out'
            )

    def match_files(self) -> Matching:
        """Match the images with their labels; with one mask for each class, with all of these."""
        folder = self.data_prefix.get('seg_map_path')
        if self._multi_label != 'folders' or folder is None:
            return super().match_files()
        return match_class_folders(
            self.data_prefix['img_path'],
            folder,
            self._metainfo['classes'],
            may_be_missing=self._missing_masks != 'error',
            **self.matching_options(),
        )

    def data_of(self, pair: Pair) -> dict[str, Any]:
        """Return what an item's data says of a pair before its files are read."""
        item = super().data_of(pair)
        if self._multi_label is not None:
            names = list(self.all_classes)
            item['multi_label'] = MultiLabelRule(
                layout=self._multi_label,
                names=tuple(names),
                chosen=tuple(names.index(name) for name in self._metainfo['classes']),
                ignore_values=tuple(self._list.ignore_values or ()),
                ignore_index=int(self.ignore_index),
                missing=self._missing_masks,
            )
            # Labels are no values that a map could turn into others.
            item['label_map'] = None
            if pair.masks:
                item['mask_paths'] = pair.masks
        item['instance_divisor'] = self._instance_divisor
        if self._label_colors is not None:
            item['label_colors'] = self._label_colors
            item['ignore_colors'] = self._ignore_colors
        return item

    @property
    def all_classes(self) -> Sequence[str]:
        """The classes that label files tell apart; ``metainfo`` may name a subset."""
        return self._list.names

    @property
    def all_colors(self) -> Sequence[Sequence[int]]:
        """One RGB color for each of :attr:`all_classes`."""
        return self._list.palette or distinct_colors(len(self._list.names))

    def get_label_map(self, new_classes: Sequence[str] | None = None) -> dict[int, int] | None:
        """Return the map from raw values to indices among ``new_classes``, or None where they are the same.

        Raises:
            DataError: there are no classes, too many, two of the same name, or one that is not in the set.
        """
        self._check_classes(new_classes)
        assert new_classes is not None
        chosen = None
        if list(new_classes) != list(self.all_classes):
            chosen = subset_map(self.all_classes, new_classes, ignore_index=self.ignore_index)
        ignored = dict.fromkeys(self._list.ignore_values or (), int(self.ignore_index))
        explicit = self._list.label_map
        if explicit is not None and chosen is not None:
            explicit = compose(explicit, chosen, ignore_index=self.ignore_index)
        if explicit is None and chosen is None and not ignored:
            return None
        return {**(explicit or chosen or {}), **ignored}


def _find(classes_file: str, data_root: str | None) -> str:
    if not os.path.exists(classes_file) and data_root and not os.path.isabs(classes_file):
        under_root = os.path.join(data_root, classes_file)
        if os.path.exists(under_root):
            return under_root
    return classes_file


def _checked_map(label_map: Mapping[int, int] | Mapping[str, int]) -> dict[int, int]:
    checked: dict[int, int] = {}
    for key, index in label_map.items():
        # JSON, YAML and --cfg-options make strings of the keys.
        value = int(key) if isinstance(key, str) and key.isdecimal() else key
        if type(value) is not int or type(index) is not int or not 0 <= value <= 65535:
            raise DataError(
                f'label_map must map raw values (0 to 65535) to class indices, found {key!r}: {index!r}'
            )
        checked[value] = index
    return checked
