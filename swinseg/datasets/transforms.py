"""Loading transforms for mmseg pipelines: the same pixels as mmcv's and mmseg's, and an error for bad files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from swinseg.datasets import image_files
from swinseg.datasets.errors import DataError
from swinseg.datasets.label_map import (
    IGNORE_INDEX,
    REJECTED,
    Unlisted,
    allowed_outputs,
    apply_table,
    contains_any,
    label_table,
)
from swinseg.datasets.resize_crop import DRAWN_SCALE, checked_scale, draw_scale, resized_size

COLOR_TYPES = (
    'color',
    'grayscale',
    'unchanged',
    'color_ignore_orientation',
    'grayscale_ignore_orientation',
)


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Load ``results['img_path']``, pixel for pixel as mmcv's ``LoadImageFromFile`` with OpenCV.

    Adds ``img`` ((H, W, 3) uint8 BGR for ``'color'``; grey files are widened), ``img_shape`` and
    ``ori_shape`` ((H, W)).

    Args:
        to_float32: convert the image to float32.
        color_type: mmcv's flag, see :func:`swinseg.datasets.image_files.decode_image`.
        backend_args: mmengine's file backend, or None for the one that the path asks for.
        reduced_for: the ``scale``, ``ratio_range`` and ``keep_ratio`` of the ``RandomResizeCrop`` that
            follows. Then the scale is drawn here, with the same draws, and a JPEG of at least twice the drawn
            size is decoded at half, a quarter or an eighth of its size. That saves time with large
            photographs, but averages pixels that mmseg would skip. ``ori_shape`` stays that of the file.

    Raises:
        DataError: on loading, when the file is missing, empty, no image, truncated or damaged.
    """

    def __init__(
        self,
        *,
        to_float32: bool = False,
        color_type: str = 'color',
        backend_args: dict[str, Any] | None = None,
        reduced_for: Mapping[str, Any] | None = None,
    ) -> None:
        if color_type not in COLOR_TYPES:
            raise DataError(
                f'color_type of LoadImage must be one of {COLOR_TYPES}, not {color_type!r}'
            )
        self.to_float32 = to_float32
        self.color_type = color_type
        self.backend_args = dict(backend_args) if backend_args else None
        self.reduced_for = None if reduced_for is None else _checked_reduced_for(reduced_for)
        if self.reduced_for is not None and color_type != 'color':
            raise DataError(
                f"LoadImage with reduced_for takes color_type='color', not {color_type!r}; leave one of them out"
            )

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the image to ``results`` and return it."""
        path = results['img_path']
        data = image_files.read_bytes(path, backend_args=self.backend_args)
        reduction, full_shape = 1, None
        if self.reduced_for is not None:
            results[DRAWN_SCALE], full_shape, reduction = _draw_reduction(data, **self.reduced_for)
        image = image_files.decode_image(
            data, path, color_type=self.color_type, reduction=reduction
        )
        if self.to_float32:
            image = image.astype(np.float32)
        results['img'] = image
        results['img_shape'] = image.shape[:2]
        results['ori_shape'] = image.shape[:2] if reduction == 1 else full_shape
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(to_float32={self.to_float32}, color_type={self.color_type!r}, '
            f'backend_args={self.backend_args}, reduced_for={self.reduced_for})'
        )


def _draw_reduction(
    data: bytes, *, scale: Any, ratio_range: Any, keep_ratio: bool
) -> tuple[tuple[int, int], tuple[int, int] | None, int]:
    """Draw a scale; return it, the shape of the image if it is a JPEG, and the reduction that it permits."""
    drawn = draw_scale(scale, ratio_range)
    shape = image_files.jpeg_shape(data)
    if shape is None:
        return drawn, None, 1
    return (
        drawn,
        shape,
        permitted_reduction(shape, resized_size(shape, drawn, keep_ratio=keep_ratio)),
    )


def permitted_reduction(shape: tuple[int, int], size_wh: tuple[int, int]) -> int:
    """Return the largest of 1, 2, 4 and 8 by which ``shape`` (H, W) can be divided and still cover ``size_wh``."""
    (height, width), (new_width, new_height) = shape, size_wh
    fits = (n for n in (8, 4, 2) if new_height * n <= height and new_width * n <= width)
    return next(fits, 1)


def _checked_reduced_for(parameters: Mapping[str, Any]) -> dict[str, Any]:
    known = {'ratio_range': None, 'keep_ratio': False}
    unknown = sorted(set(parameters) - {'scale', *known})
    if unknown or 'scale' not in parameters:
        what = f'has no {unknown[0]}' if unknown else 'needs scale'
        raise DataError(
            f'reduced_for of LoadImage {what}; give it the scale, ratio_range and keep_ratio of '
            'the RandomResizeCrop that follows'
        )
    checked = {**known, **parameters}
    return {**checked, 'scale': checked_scale(checked['scale'], checked['ratio_range'])}


@TRANSFORMS.register_module()
class LoadLabel(BaseTransform):
    """Load ``results['seg_map_path']`` as class indices, with the results of mmseg's ``LoadAnnotations``.

    Adds ``gt_seg_map`` ((H, W) uint8) and appends its name to ``seg_fields``. It reads 8-bit, 16-bit,
    palette and 1-bit files, then reduces the zero label where ``results['reduce_zero_label']`` says so, then
    applies ``results['label_map']``, in mmseg's order.

    The datasets of this package also give ``num_classes``, ``ignore_index`` and ``unlisted_labels`` (see
    :func:`swinseg.datasets.label_map.label_table`); with ``num_classes`` each value is checked. Stock mmseg
    datasets do not, so theirs are only checked to fit 8 bits.

    Args:
        backend_args: mmengine's file backend, or None for the one that the path asks for.

    Raises:
        DataError: on loading, when the file is missing, empty, no image, truncated or damaged, has several
            channels, has another size than its image, or holds a value that is no class.
    """

    def __init__(self, *, backend_args: dict[str, Any] | None = None) -> None:
        self.backend_args = dict(backend_args) if backend_args else None
        self._tables: dict[Any, tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]] = {}

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the label to ``results`` and return it."""
        path = results.get('seg_map_path')
        if path is None:
            raise DataError(
                f'image {results.get("img_path")} has no label file; set seg_map_path in data_prefix, '
                'or leave LoadLabel out of the pipeline'
            )
        data = image_files.read_bytes(path, what='label', backend_args=self.backend_args)
        raw = image_files.decode_label(data, path)
        _check_size(raw, path, results)
        table, allowed = self._table(results, size=256 if raw.dtype == np.uint8 else 65536)
        if contains_any(raw, ~allowed):
            raise _value_error(raw, ~allowed[raw], table, path, results)
        results['gt_seg_map'] = apply_table(raw, table)
        results.setdefault('seg_fields', []).append('gt_seg_map')
        return results

    def _table(
        self, results: dict[str, Any], *, size: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        label_map = results.get('label_map')
        reduce_zero_label = bool(results.get('reduce_zero_label', False))
        num_classes = results.get('num_classes')
        ignore_index = results.get('ignore_index', IGNORE_INDEX)
        unlisted: Unlisted = results.get('unlisted_labels', 'keep')
        entries = None if label_map is None else tuple(label_map.items())
        key = (entries, reduce_zero_label, num_classes, ignore_index, unlisted, size)
        if key not in self._tables:
            table = label_table(
                label_map,
                size=size,
                reduce_zero_label=reduce_zero_label,
                unlisted=unlisted,
                ignore_index=ignore_index,
            )
            allowed = allowed_outputs(table, num_classes=num_classes, ignore_index=ignore_index)
            if len(self._tables) >= 16:
                self._tables.clear()
            self._tables[key] = table, allowed
        return self._tables[key]

    def __repr__(self) -> str:
        return f'{type(self).__name__}(backend_args={self.backend_args})'


def _check_size(raw: npt.NDArray[Any], path: str, results: dict[str, Any]) -> None:
    # The label belongs to the image as loaded; in a test pipeline the image has been resized since.
    expected = results.get('ori_shape')
    if expected is None or tuple(expected) == raw.shape:
        return
    (height, width), (label_height, label_width) = expected, raw.shape
    if (height, width) == (label_width, label_height):
        fix = (
            'the sides are swapped, so turn the label as the EXIF orientation turns the image, '
            'or remove that orientation from the image'
        )
    else:
        fix = 'export the label at the size of its image, or correct which files are paired'
    raise DataError(
        f'label {os.fspath(path)} is {label_width} x {label_height} (width x height) but its image '
        f'{results.get("img_path")} is {width} x {height}; {fix}'
    )


def _value_error(
    raw: npt.NDArray[Any],
    wrong: npt.NDArray[np.bool_],
    table: npt.NDArray[np.int32],
    path: str,
    results: dict[str, Any],
) -> DataError:
    num_classes = results.get('num_classes')
    ignore_index = results.get('ignore_index', IGNORE_INDEX)
    values = np.unique(raw[wrong])
    value = int(values[0])
    index = int(table[value])
    others = f' (and {len(values) - 1} more such values)' if len(values) > 1 else ''
    if num_classes is None:
        return DataError(
            f'label {os.fspath(path)} contains the value {value}{others}, expected 0 to 255; '
            'give the dataset a label_map from raw values to class indices, as FolderDataset takes it'
        )
    expected = f'0 to {num_classes - 1} ({num_classes} classes) or {ignore_index} (ignored)'
    if index == REJECTED:
        return DataError(
            f'label {os.fspath(path)} contains the value {value}{others}, which neither label_map nor '
            f'ignore_values names; add it to label_map={{{value}: CLASS_INDEX}} or to ignore_values=[{value}]'
        )
    became = f', which becomes class index {index},' if index != value else ''
    if results.get('reduce_zero_label') or results.get('label_map') is not None:
        fix = (
            f'if {value} is a class add it to the class list, else map it away with '
            f'label_map={{{value}: {ignore_index}}} or ignore_values=[{value}]'
        )
    elif value == num_classes and values.size == 1:
        fix = (
            'if 0 means unlabelled and classes count from 1 set reduce_zero_label=True, '
            f'if {value} means unlabelled set ignore_values=[{value}]'
        )
    elif value == 255 and num_classes == 2:
        fix = 'for masks of 0 and 255 set label_map={0: 0, 255: 1}'
    else:
        fix = (
            'give the dataset a label_map={raw value: class index}, '
            f'or ignore_values=[{value}] if it means unlabelled'
        )
    return DataError(
        f'label {os.fspath(path)} contains the value {value}{others}{became} but expected {expected}; {fix}'
    )
