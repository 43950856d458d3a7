"""Loading transforms for mmseg pipelines: the same pixels as mmcv's and mmseg's, and an error for bad files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from mmcv.image.io import supported_backends
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from swinseg.datasets.files import images as image_files
from swinseg.datasets.files.band_choice import checked_choice
from swinseg.datasets.files.banded import BandedImage, read_bands
from swinseg.datasets.files.opencv import COLOR_TYPES
from swinseg.datasets.files.value_range import Setting, ValueRange, too_deep
from swinseg.datasets.labels.colors import decode_by_rule
from swinseg.datasets.labels.faults import size_sentence, value_sentence, zero_label_sentence
from swinseg.datasets.labels.map import LabelRule, apply_table, contains_any, rule_tables
from swinseg.datasets.labels.multi_label import load_planes
from swinseg.datasets.transforms.resize_crop import (
    DRAWN_SCALE,
    checked_scale,
    draw_scale,
    resized_size,
)
from swinseg.errors import DataError, quoted

_COLORS = ('red', 'green', 'blue')

VALID_PIXELS = 'valid_pixels'
"""Of a pipeline's results: (H, W) of the file, where the image has data; left out where it has everywhere."""


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Load ``results['img_path']``, of 8 bits pixel for pixel as mmcv's ``LoadImageFromFile`` with OpenCV.

    Adds ``img`` ((H, W, 3) uint8 BGR for ``'color'``; gray files are widened), ``img_shape`` and
    ``ori_shape`` ((H, W)).

    With ``bands`` it is (H, W, C) of any file that :func:`swinseg.datasets.files.banded.read_bands` reads, in this
    order; three are colors to mmseg's pipelines, so that the first of them is the last in ``img``. Where the file
    says that no band has data, the ``LoadLabel`` behind it makes the label ignored.

    Args:
        to_float32: convert the image to float32.
        color_type: mmcv's flag, see :func:`swinseg.datasets.files.images.decode_image`.
        backend_args: mmengine's file backend, or None for the one that the path asks for.
        reduced_for: the ``scale``, ``ratio_range`` and ``keep_ratio`` of the ``RandomResizeCrop`` that
            follows. Then the scale is drawn here, with the same draws, and a JPEG of at least twice the drawn
            size is decoded at half, a quarter or an eighth of its size. That saves time with large
            photographs, but averages pixels that mmseg would skip. ``ori_shape`` stays that of the file.
        value_range: which values of a file of more than 8 bits become 0 and 255: ``[low, high]`` for all bands,
            one pair for each (red, green, blue), or ``'high_byte'`` for mmcv's 16-bit values divided by 256. The
            checkpoint keeps it with the config, so that files mean the same wherever the model is used. Files of
            8 bits are taken as they are; None refuses others. With ``bands``, a pair is for each of these.
        bands: names of the bands that the model is shown, or their numbers from 1, in its order, such as
            ``['red', 'green', 'blue', 'nir']``. Where a file names its bands they are found by their names, and
            where it does not it must have just these in this order. The checkpoint keeps them with the config.

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
        value_range: Setting | None = None,
        bands: Sequence[int] | Sequence[str] | None = None,
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
        self.value_range = None if value_range is None else ValueRange.of(value_range)
        if self.value_range is not None and color_type == 'unchanged':
            raise DataError(
                "LoadImage with color_type='unchanged' gives the model the values of the file, so value_range "
                'has nothing to do; leave one of them out'
            )
        self.bands = None if bands is None else checked_choice(bands)
        if self.bands is not None:
            self._check_with_bands()

    def _check_with_bands(self) -> None:
        for name, value, usual in (
            ('color_type', self.color_type, 'color'),
            ('reduced_for', self.reduced_for, None),
        ):
            if value != usual:
                raise DataError(
                    f'{name}={quoted(value)} of LoadImage is for photographs, and bands for images whose bands '
                    f'are chosen; leave one of them out'
                )
        ranges = None if self.value_range is None else self.value_range.bands
        if ranges is not None and len(ranges) not in (1, len(self.bands or ())):
            raise DataError(
                f'value_range of LoadImage has {len(ranges)} pairs of lowest and highest value for '
                f'{len(self.bands or ())} bands; give one pair for each band, or one for all'
            )

    def read_bands(self, path: str) -> BandedImage:
        """Return the chosen ``bands`` of a file, with its values.

        Raises:
            DataError: the file is missing, damaged, or has no such bands.
        """
        assert self.bands is not None
        return read_bands(path, self.bands, backend_args=self.backend_args)

    def as_shown(
        self, image: BandedImage, name: str = 'the image'
    ) -> npt.NDArray[np.uint8] | npt.NDArray[np.float32]:
        """Return the (H, W, C) pixels that the model is shown of the bands of an image.

        Raises:
            DataError: they have more than 8 bits, of which nothing says what they mean.
        """
        pixels = image.pixels
        if pixels.dtype != np.uint8:
            if self.value_range is None:
                raise too_deep(name, pixels.dtype)
            pixels = self.value_range.to_8_bits(pixels, valid=image.valid, name=name)
        if pixels.shape[2] == len(_COLORS):
            pixels = np.ascontiguousarray(pixels[..., ::-1])
        return pixels.astype(np.float32) if self.to_float32 else pixels

    def _transform_bands(self, results: dict[str, Any]) -> dict[str, Any]:
        path = results['img_path']
        image = self.read_bands(path)
        results['img'] = self.as_shown(image, path)
        results['img_shape'] = results['ori_shape'] = image.valid.shape
        if not image.valid.all():
            results[VALID_PIXELS] = image.valid
        return results

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the image to ``results`` and return it."""
        if self.bands is not None:
            return self._transform_bands(results)
        path = results['img_path']
        data = image_files.read_bytes(path, backend_args=self.backend_args)
        reduction, full_shape = 1, None
        if self.reduced_for is not None:
            results[DRAWN_SCALE], full_shape, reduction = _draw_reduction(data, **self.reduced_for)
        image = image_files.decode_image(
            data,
            path,
            color_type=self.color_type,
            reduction=reduction,
            value_range=self.value_range,
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
            f'backend_args={self.backend_args}, reduced_for={self.reduced_for}, value_range={self.value_range}, '
            f'bands={self.bands})'
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
    applies ``results['label_map']``, in mmseg's order. Pixels without data, as ``LoadImage`` has found them by its
    ``bands``, are ignored.

    The datasets of this package also give ``num_classes``, ``ignore_index`` and ``unlisted_labels`` (see
    :func:`swinseg.datasets.labels.map.label_table`), and ``label_colors`` where colors say the class. With
    ``num_classes`` each value is checked. Stock mmseg datasets do not give it, so their labels are only
    checked to fit 8 bits.

    Where the dataset has ``multi_label``, ``gt_seg_map`` is (H, W, C) uint8 instead, see
    :mod:`swinseg.datasets.labels.multi_label`.

    Args:
        reduce_zero_label: what the dataset must say of it, too (mmseg's ADE20K pipelines give it); None for all.
        backend_args: mmengine's file backend, or None for the one that the path asks for.
        imdecode_backend: one of mmcv's, taken because mmseg's loader has it; what a file is chooses the decoder.

    Raises:
        DataError: the decoder is none of mmcv's; on loading, when the dataset says otherwise, or the file is
            missing, empty, no image, truncated or damaged, has several channels, has another size than its
            image, or holds a value that is no class.
    """

    def __init__(
        self,
        *,
        reduce_zero_label: bool | None = None,
        backend_args: dict[str, Any] | None = None,
        imdecode_backend: str = 'pillow',
    ) -> None:
        if imdecode_backend not in supported_backends:
            raise DataError(
                f'imdecode_backend of LoadLabel must be one of {", ".join(supported_backends)}, found '
                f'{quoted(imdecode_backend)}; leave it out'
            )
        self.reduce_zero_label = reduce_zero_label
        self.backend_args = dict(backend_args) if backend_args else None
        self.imdecode_backend = imdecode_backend

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the label to ``results`` and return it."""
        path = results.get('seg_map_path')
        if path is None:
            raise DataError(
                f'image {results.get("img_path")} has no label file; set seg_map_path in data_prefix, '
                'or leave LoadLabel out of the pipeline'
            )
        rule = LabelRule.of(results)
        if self.reduce_zero_label not in (None, rule.reduce_zero_label):
            raise DataError(
                zero_label_sentence(
                    'LoadLabel', self.reduce_zero_label, 'the dataset', rule.reduce_zero_label
                )
            )
        several = results.get('multi_label')
        if several is not None:
            label, ignored = (
                load_planes(results, backend_args=self.backend_args),
                several.ignore_index,
            )
        else:
            label, ignored = self._load_indices(path, rule, results), rule.ignore_index
        # What no band shows cannot be learnt, and is not asked for in use either.
        valid = results.pop(VALID_PIXELS, None)
        if valid is not None:
            label[~valid] = ignored
        results['gt_seg_map'] = label
        results.setdefault('seg_fields', []).append('gt_seg_map')
        return results

    def _load_indices(
        self, path: str, rule: LabelRule, results: dict[str, Any]
    ) -> npt.NDArray[np.uint8]:
        """Return the (H, W) class indices of a label file, a new array."""
        data = image_files.read_bytes(path, what='label', backend_args=self.backend_args)
        raw = decode_by_rule(data, path, rule)
        # The label belongs to the image as loaded; in a test pipeline the image has been resized since.
        expected = results.get('ori_shape')
        if expected is not None and tuple(expected) != raw.shape:
            raise DataError(size_sentence(path, raw.shape, results.get('img_path'), expected))
        table, allowed = rule_tables(rule, 256 if raw.dtype == np.uint8 else 65536)
        if contains_any(raw, ~allowed):
            raise DataError(value_sentence(path, np.unique(raw).tolist(), rule))
        return apply_table(raw, table)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(reduce_zero_label={self.reduce_zero_label}, '
            f'backend_args={self.backend_args}, imdecode_backend={self.imdecode_backend!r})'
        )
