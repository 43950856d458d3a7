# ruff: noqa: NPY002
"""Photometric distortion by table: mmseg's draws and pixels for a third of the time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from mmseg.datasets.transforms import PhotoMetricDistortion
from mmseg.registry import TRANSFORMS
from numpy import random  # its global generator, which mmengine seeds in each worker

from swinseg.datasets.transforms.flipped_views import copy_if_flipped
from swinseg.errors import ConfigError, DataError

Table = npt.NDArray[np.uint8]
# OpenCV adds a number to each of as many channels.
_MOST_CHANNELS = 4
_VALUES: Table = np.arange(256, dtype=np.uint8)
_MIDDLE = 128
_HUES = 180  # OpenCV halves the degrees of 8-bit hues.


@TRANSFORMS.register_module()
class TablePhotoMetricDistortion(PhotoMetricDistortion):
    """mmseg's ``PhotoMetricDistortion``: from the same draws the same pixels, bit for bit.

    Each step of it maps an 8-bit value to an 8-bit value, so it is applied to the 256 values, by mmseg's own
    arithmetic, and the image is looked up: brightness and a contrast that follows at once share one table;
    saturation and hue have one each. What is drawn, and in which order, is mmseg's.

    Changes ``img``, (H, W, 3) uint8 BGR; anything else is left to mmseg's arithmetic. Without saturation and hue,
    which are of colors, it is (H, W, C) uint8 of any number of bands, all of which become brighter, or richer in
    contrast, by the same.

    Args:
        brightness_delta: brightness is moved by up to this much either way.
        contrast_range: smallest and largest factor.
        saturation_range: smallest and largest factor; None leaves saturation as it is, and draws nothing for it.
        hue_delta: hue is turned by up to this many units of two degrees either way; None leaves it likewise.

    Raises:
        ConfigError: one of the last two is None and the other is not.
    """

    def __init__(
        self,
        brightness_delta: float = 32,
        contrast_range: Sequence[float] = (0.5, 1.5),
        saturation_range: Sequence[float] | None = (0.5, 1.5),
        hue_delta: int | None = 18,
    ) -> None:
        if (saturation_range is None) != (hue_delta is None):
            raise ConfigError(
                'saturation_range and hue_delta of TablePhotoMetricDistortion are None together, for images of '
                'other bands than colors; set both to None, or neither'
            )
        super().__init__(
            brightness_delta, contrast_range, saturation_range or (1, 1), hue_delta or 0
        )
        self.changes_colors = hue_delta is not None

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Distort the image in ``results``, and return them."""
        if results['img'].dtype != np.uint8 or (self.changes_colors and results['img'].ndim != 3):
            if not self.changes_colors:
                raise DataError(
                    f'TablePhotoMetricDistortion without colors is for images of 8 bits, but '
                    f'{results.get("img_path")} is {results["img"].dtype}; leave to_float32 of LoadImage out'
                )
            distorted: dict[str, Any] = super().transform(results)
            return distorted
        image = results['img']
        # mmseg's methods draw and then compute on whatever array they are given; here on the 256 values.
        table = self.brightness(_VALUES)
        contrast_first = random.randint(2) == 1
        if contrast_first:
            table = self.contrast(table)
        image = _look_up(image, table)
        if self.changes_colors:
            image = _look_up_in_hsv(image, self._saturation_table(), channel=1)
            image = _look_up_in_hsv(image, self._hue_table(), channel=0)
        if not contrast_first:
            image = _look_up(image, self.contrast(_VALUES))
        results['img'] = image
        return results

    def _saturation_table(self) -> Table | None:
        if not random.randint(2):
            return None
        factor = random.uniform(self.saturation_lower, self.saturation_upper)
        table: Table = self.convert(_VALUES, alpha=factor)
        return table

    def _hue_table(self) -> Table | None:
        if not random.randint(2):
            return None
        shift = random.randint(-self.hue_delta, self.hue_delta)
        return ((_VALUES.astype(int) + shift) % _HUES).astype(np.uint8)


def _look_up(image: npt.NDArray[np.uint8], table: Table) -> npt.NDArray[np.uint8]:
    if table is _VALUES:
        return image
    image = copy_if_flipped(image)
    shape = image.shape
    if image.ndim == 3 and shape[2] > _MOST_CHANNELS:
        image = image.reshape(len(image), -1)
    shift = int(table[_MIDDLE]) - _MIDDLE
    result: npt.NDArray[np.uint8]
    if np.array_equal(table, np.clip(_VALUES.astype(int) + shift, 0, 255)):
        # A change of brightness alone: saturating arithmetic takes a fifth of the time of looking up.
        change = cv2.add if shift >= 0 else cv2.subtract
        result = change(image, (abs(shift),) * 4)
    else:
        result = cv2.LUT(image, table)
    return result.reshape(shape)


def _look_up_in_hsv(
    image: npt.NDArray[np.uint8], table: Table | None, *, channel: int
) -> npt.NDArray[np.uint8]:
    if table is None:
        return image
    hsv = cv2.cvtColor(copy_if_flipped(image), cv2.COLOR_BGR2HSV)
    # One channel out and back in is half the time of a table for three channels.
    cv2.insertChannel(cv2.LUT(cv2.extractChannel(hsv, channel), table), hsv, channel)
    distorted: npt.NDArray[np.uint8] = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR, dst=hsv)
    return distorted
