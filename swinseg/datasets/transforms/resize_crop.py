# ruff: noqa: NPY002
"""Random scale and random crop in one transform: mmseg's draws and pixels, without resampling the whole image.

mmseg resamples the image, throws most of it away, and sorts the label of up to eleven crops. Here the label
is resampled in each crop alone and its classes are counted, and the image is resampled once, no further
than the crop that is taken reaches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

import cv2
import numpy as np
import numpy.typing as npt
from mmcv.image import rescale_size
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmseg.registry import TRANSFORMS

from swinseg.datasets.labels.map import IGNORE_INDEX
from swinseg.datasets.labels.multi_label import combinations_of
from swinseg.errors import DataError

Scale = tuple[int, int]
Window = tuple[int, int, int, int]
"""Top, bottom, left, right; bottom and right do not belong to it."""

MAX_DRAWS = 10
"""How often a crop that shows too much of one class is drawn anew; mmseg's number."""
DRAWN_SCALE = 'drawn_scale'
"""Key under which the loader leaves the scale that it drew, where it loads at a reduced size."""
_EXACT_IN_FLOAT32 = 2**24


def resize_window(image: npt.NDArray[Any], *, size_wh: Scale, window: Window) -> npt.NDArray[Any]:
    """Return the bilinear ``cv2.resize(image, size_wh)[top:bottom, left:right]``, bit for bit, for less work.

    OpenCV computes where output pixel x samples its input from x and the scale alone, so an image that is
    cut on the right and below gives the same pixels up to the cut. (A cut on the left or above would move
    the sampling grid by a fraction of a pixel, and with it every value.)

    Args:
        image: (H, W) or (H, W, C), uint8 or float32.
        size_wh: width and height of the whole resized image.
        window: the part of the resized image that is wanted, within it.

    Returns:
        (bottom - top, right - left) or (bottom - top, right - left, C); a view of a larger array.
    """
    top, bottom, left, right = window
    rows, scale_y = _reach(bottom, length=image.shape[0], resized=size_wh[1])
    columns, scale_x = _reach(right, length=image.shape[1], resized=size_wh[0])
    if (round(rows * scale_y), round(columns * scale_x)) == (rows, columns):
        # OpenCV would copy a piece whose size the scale does not change, where it would resample the whole.
        rows, columns = image.shape[:2]
    resized: npt.NDArray[Any] = cv2.resize(
        image[:rows, :columns], None, fx=scale_x, fy=scale_y, interpolation=cv2.INTER_LINEAR
    )
    return resized[top:bottom, left:right]


def _reach(end: int, *, length: int, resized: int) -> tuple[int, float]:
    """How much of a side of ``length`` the first ``end`` of its ``resized`` pixels need, and the scale.

    The scale is the quotient that OpenCV forms itself when it is given the size, down to the last bit.
    """
    scale = resized / length
    last_sample = math.floor((end - 0.5) / scale - 0.5) + 1
    return min(length, max(last_sample + 2, math.ceil(end / scale) + 1)), scale


class NearestResize:
    """Windows of the nearest-pixel ``cv2.resize`` of labels of one size; only the windows are computed.

    Args:
        shape: height and width of the labels.
        size_wh: width and height that they are resized to.
    """

    def __init__(self, shape: Sequence[int], size_wh: Scale) -> None:
        self._rows = _nearest(shape[0], size_wh[1])
        self._columns = _nearest(shape[1], size_wh[0])

    def window(self, label: npt.NDArray[Any], window: Window) -> npt.NDArray[Any]:
        """Return ``cv2.resize(label, size_wh, interpolation=cv2.INTER_NEAREST)[top:bottom, left:right]``.

        Args:
            label: (H, W) uint8, or (H, W, C).
            window: the part of the resized label that is wanted, within it.

        Returns:
            (bottom - top, right - left) or (bottom - top, right - left, C), a new array.
        """
        top, bottom, left, right = window
        rows, columns = self._rows[top:bottom], self._columns[left:right]
        if label.ndim == 3:
            return label.take(rows, axis=0).take(columns, axis=1)
        # Whole rows are quick to pick and OpenCV is quick to transpose; picking columns is slow.
        stripe = label[:, columns[0] : columns[-1] + 1].take(rows, axis=0)
        picked: npt.NDArray[Any] = cv2.transpose(
            cv2.transpose(stripe).take(columns - columns[0], axis=0)
        )
        return picked


def _nearest(length: int, resized: int) -> npt.NDArray[np.intp]:
    """Which of ``length`` pixels OpenCV takes for each of ``resized``, as OpenCV itself says: (resized,)."""
    positions = np.arange(length, dtype=np.float32)[None]
    return cv2.resize(positions, (resized, 1), interpolation=cv2.INTER_NEAREST)[0].astype(np.intp)


def resized_size(shape: Sequence[int], scale: Scale, *, keep_ratio: bool) -> Scale:
    """Return the width and height that mmcv gives an image of ``shape`` (H, W) for a drawn ``scale``.

    With ``keep_ratio`` the image becomes as large as its long side fits the larger number and its short side
    the smaller one; without, ``scale`` is its new width and height. A side keeps one pixel at least.
    """
    if not keep_ratio:
        return max(scale[0], 1), max(scale[1], 1)
    height, width = shape[:2]
    size: Scale = rescale_size((width, height), scale)
    return size


def draw_scale(scale: Scale | Sequence[Scale], ratio_range: tuple[float, float] | None) -> Scale:
    """Draw a scale from NumPy's global generator, with the draws of mmcv's ``RandomResize``.

    Args:
        scale: one pair, which is multiplied by a ratio drawn from ``ratio_range``, or two pairs, between
            which each number is drawn on its own.
        ratio_range: smallest and largest ratio; not used with two pairs.
    """
    # mmengine seeds NumPy's global generator in each worker, and stock transforms draw from it.
    if ratio_range is not None and _is_pair(scale):
        first, second = scale
        lowest, highest = ratio_range
        ratio = np.random.random_sample() * (highest - lowest) + lowest
        return int(first * ratio), int(second * ratio)
    assert _are_two_pairs(scale)  # checked_scale lets nothing else through
    (first_0, second_0), (first_1, second_1) = scale
    return (
        int(np.random.randint(min(first_0, first_1), max(first_0, first_1) + 1)),
        int(np.random.randint(min(second_0, second_1), max(second_0, second_1) + 1)),
    )


def class_counts(label: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32 | np.intp]:
    """Count how often each value occurs in a label.

    Args:
        label: (H, W) uint8.

    Returns:
        (256,), whole numbers.
    """
    if label.size > _EXACT_IN_FLOAT32:
        return np.bincount(label.ravel(), minlength=256)
    # OpenCV counts a view without copying it, three times as fast as NumPy, but says the counts in float32.
    counts: npt.NDArray[np.float32] = cv2.calcHist([label], [0], None, [256], [0, 256])
    return counts.ravel()


def is_varied(
    label: npt.NDArray[np.uint8], *, cat_max_ratio: float, ignore_index: int = IGNORE_INDEX
) -> bool:
    """Say whether a label has two classes or more, the largest with less than ``cat_max_ratio`` of the pixels.

    Args:
        label: (H, W) uint8.
        cat_max_ratio: 0 to 1.
        ignore_index: pixels of this value do not count.
    """
    counts = class_counts(label)
    if 0 <= ignore_index < counts.size:
        counts[ignore_index] = 0
    if np.count_nonzero(counts) < 2:
        return False
    return float(counts.max()) / float(counts.sum()) < cat_max_ratio


def draw_pixel_of_any_class(
    label: npt.NDArray[np.uint8], *, ignore_index: int = IGNORE_INDEX
) -> tuple[int, int] | None:
    """Draw one of the classes of a label, then one of its pixels: its row and column.

    Args:
        label: (H, W) uint8.
        ignore_index: value that is no class.

    Returns:
        None where there is no class.
    """
    counts = class_counts(label)
    if 0 <= ignore_index < counts.size:
        counts[ignore_index] = 0
    classes = np.flatnonzero(counts)
    if not classes.size:
        return None
    pixels = np.flatnonzero(label == classes[np.random.randint(classes.size)])
    row, column = divmod(int(pixels[np.random.randint(pixels.size)]), label.shape[1])
    return row, column


@TRANSFORMS.register_module()
class RandomResizeCrop(BaseTransform):
    """mmseg's ``RandomResize`` and ``RandomCrop`` in one: the same draws, images and labels, bit for bit.

    Changes ``img`` (bilinear), each of ``seg_fields`` (nearest) and ``img_shape``; adds ``scale``,
    ``scale_factor`` and ``keep_ratio``. Where the resized image is smaller than the crop, all of that side is
    taken; the data preprocessor pads it.

    Of a label with several classes at a pixel, (H, W, C), each combination of classes counts as one of its own for
    ``cat_max_ratio`` and ``balanced``.

    Args:
        scale: (long side, short side), or two such pairs, between which sides are drawn.
        crop_size: height and width of the crop, or one number for both.
        ratio_range: smallest and largest number that ``scale`` is multiplied by.
        keep_ratio: keep the shape of the image; otherwise ``scale`` is its new width and height.
        cat_max_ratio: a crop whose largest class has this share of its pixels or more is drawn again, up to
            ten times; at 1 the first crop is taken.
        ignore_index: label of pixels that do not count for that share.
        balanced: share of the crops that are taken around a pixel of one of the image's classes, each class as
            often as the others (Isensee et al. 2021, "nnU-Net", oversample a third of the patches in this way).
            They show rare classes, and ``cat_max_ratio`` is not asked of them.

    Raises:
        DataError: a parameter is not as described, or on transforming, when there is no label to look at.
    """

    def __init__(
        self,
        scale: Scale | Sequence[Scale],
        crop_size: int | tuple[int, int],
        *,
        ratio_range: tuple[float, float] | None = None,
        keep_ratio: bool = False,
        cat_max_ratio: float = 1.0,
        ignore_index: int = IGNORE_INDEX,
        balanced: float = 0.0,
    ) -> None:
        if not 0 <= balanced <= 1:
            raise DataError(
                f'balanced of RandomResizeCrop is a share of the crops, 0 to 1, not {balanced!r}'
            )
        self.balanced = balanced
        self.scale = checked_scale(scale, ratio_range)
        self.crop_size = _checked_crop(crop_size)
        self.ratio_range = ratio_range
        self.keep_ratio = keep_ratio
        self.cat_max_ratio = cat_max_ratio
        self.ignore_index = ignore_index

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Scale and crop what ``results`` holds, and return it."""
        image = results['img']
        # An image that was loaded at a reduced size counts as large as it is in the file.
        drawn = results.pop(DRAWN_SCALE, None)
        height, width = image.shape[:2] if drawn is None else results['ori_shape']
        scale = self._draw_scale() if drawn is None else drawn
        size_wh = resized_size((height, width), scale, keep_ratio=self.keep_ratio)
        needs = f'cat_max_ratio={self.cat_max_ratio}' if self.cat_max_ratio < 1 else None
        needs = f'balanced={self.balanced}' if self.balanced else needs
        if needs is not None and 'gt_seg_map' not in results.get('seg_fields', []):
            raise DataError(
                f'RandomResizeCrop with {needs} looks at the label, but {results.get("img_path")} has none yet; '
                'put LoadLabel before it, or set cat_max_ratio=1.0 and balanced=0.0'
            )
        resizes = {
            name: NearestResize(results[name].shape, size_wh)
            for name in results.get('seg_fields', [])
        }
        # The label of the window that is taken has been computed already, unless it is the last of all.
        looked_at: dict[Window, npt.NDArray[np.uint8]] = {}

        def label_in(window: Window) -> npt.NDArray[np.uint8]:
            if window not in looked_at:
                looked_at[window] = resizes['gt_seg_map'].window(results['gt_seg_map'], window)
            return looked_at[window]

        window = self._draw_balanced_window(size_wh, results) or self._draw_window(
            size_wh, label_in
        )
        results['img'] = resize_window(image, size_wh=size_wh, window=window)
        for name, resize in resizes.items():
            is_label = name == 'gt_seg_map'
            results[name] = label_in(window) if is_label else resize.window(results[name], window)
        results['img_shape'] = results['img'].shape[:2]
        results['scale'] = scale
        results['scale_factor'] = (size_wh[0] / width, size_wh[1] / height)
        results['keep_ratio'] = self.keep_ratio
        return results

    @cache_randomness
    def _draw_scale(self) -> Scale:
        return draw_scale(self.scale, self.ratio_range)

    @cache_randomness
    def _draw_balanced_window(self, size_wh: Scale, results: dict[str, Any]) -> Window | None:
        if not self.balanced or np.random.random_sample() >= self.balanced:
            return None
        label = self._exclusive(results['gt_seg_map'])
        pixel = draw_pixel_of_any_class(label, ignore_index=self.ignore_index)
        if pixel is None:
            return None
        starts = []
        for position, length, resized, crop in zip(
            pixel, label.shape, size_wh[::-1], self.crop_size, strict=True
        ):
            inside = int((position + 0.5) * resized / length)
            first, last = max(inside - crop + 1, 0), min(inside, max(resized - crop, 0))
            starts.append(int(np.random.randint(first, last + 1)))
        top, left = starts
        bottom, right = top + self.crop_size[0], left + self.crop_size[1]
        return top, min(bottom, size_wh[1]), left, min(right, size_wh[0])

    @cache_randomness
    def _draw_window(
        self, size_wh: Scale, label_in: Callable[[Window], npt.NDArray[np.uint8]]
    ) -> Window:
        window = self._any_window(size_wh)
        if self.cat_max_ratio >= 1:
            return window
        for _ in range(MAX_DRAWS):
            if is_varied(
                self._exclusive(label_in(window)),
                cat_max_ratio=self.cat_max_ratio,
                ignore_index=self.ignore_index,
            ):
                break
            window = self._any_window(size_wh)
        return window

    def _exclusive(self, label: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return labels of one class at each pixel, (H, W): themselves, or numbers of combinations."""
        if label.ndim == 2:
            return label
        return combinations_of(label, ignore_index=self.ignore_index)

    def _any_window(self, size_wh: Scale) -> Window:
        (width, height), (crop_height, crop_width) = size_wh, self.crop_size
        top = int(np.random.randint(0, max(height - crop_height, 0) + 1))
        left = int(np.random.randint(0, max(width - crop_width, 0) + 1))
        return top, min(top + crop_height, height), left, min(left + crop_width, width)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(scale={self.scale}, crop_size={self.crop_size}, '
            f'ratio_range={self.ratio_range}, keep_ratio={self.keep_ratio}, '
            f'cat_max_ratio={self.cat_max_ratio}, ignore_index={self.ignore_index}, '
            f'balanced={self.balanced})'
        )


def _is_pair(value: object) -> TypeGuard[Scale]:
    return (
        isinstance(value, Sequence)
        and len(value) == 2
        and all(isinstance(number, int) and number > 0 for number in value)
    )


def _are_two_pairs(value: object) -> TypeGuard[tuple[Scale, Scale]]:
    return isinstance(value, Sequence) and len(value) == 2 and all(map(_is_pair, value))


def checked_scale(
    scale: Scale | Sequence[Scale], ratio_range: tuple[float, float] | None
) -> Scale | Sequence[Scale]:
    """Return ``scale`` as :func:`draw_scale` takes it.

    Raises:
        DataError: it is neither one pair with a range of ratios nor two pairs.
    """
    if _is_pair(scale):
        if ratio_range is None or len(ratio_range) != 2 or not 0 < ratio_range[0] <= ratio_range[1]:
            raise DataError(
                'ratio_range of RandomResizeCrop must be the smallest and the largest ratio, as in '
                f'(0.5, 2.0), where scale is one pair, not {ratio_range!r}'
            )
        return int(scale[0]), int(scale[1])
    if _are_two_pairs(scale):
        return tuple((int(pair[0]), int(pair[1])) for pair in scale)
    raise DataError(
        'scale of RandomResizeCrop must be (long side, short side), as in (2048, 512), or two such pairs, '
        f'not {scale!r}'
    )


def _checked_crop(crop_size: int | tuple[int, int]) -> tuple[int, int]:
    pair = (crop_size, crop_size) if isinstance(crop_size, int) else crop_size
    if not _is_pair(pair):
        raise DataError(
            f'crop_size of RandomResizeCrop must be (height, width), as in (512, 512), not {crop_size!r}'
        )
    return int(pair[0]), int(pair[1])
