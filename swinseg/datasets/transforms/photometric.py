# ruff: noqa: NPY002
"""Photometric distortion by table: mmseg's draws and pixels for a third of the time."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from mmseg.datasets.transforms import PhotoMetricDistortion
from mmseg.registry import TRANSFORMS
from numpy import random  # its global generator, which mmengine seeds in each worker

from swinseg.datasets.transforms.flipped_views import copy_if_flipped

Table = npt.NDArray[np.uint8]
_VALUES: Table = np.arange(256, dtype=np.uint8)
_MIDDLE = 128
_HUES = 180  # OpenCV halves the degrees of 8-bit hues.


@TRANSFORMS.register_module()
class TablePhotoMetricDistortion(PhotoMetricDistortion):
    """mmseg's ``PhotoMetricDistortion``: from the same draws the same pixels, bit for bit.

    Each step of it maps an 8-bit value to an 8-bit value, so it is applied to the 256 values, by mmseg's own
    arithmetic, and the image is looked up: brightness and a contrast that follows at once share one table;
    saturation and hue have one each. What is drawn, and in which order, is mmseg's.

    Changes ``img``, (H, W, 3) uint8 BGR; anything else is left to mmseg's arithmetic.

    Args:
        brightness_delta: brightness is moved by up to this much either way.
        contrast_range: smallest and largest factor.
        saturation_range: smallest and largest factor.
        hue_delta: hue is turned by up to this many units of two degrees either way.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Distort the image in ``results``, and return them."""
        if results['img'].dtype != np.uint8 or results['img'].ndim != 3:
            distorted: dict[str, Any] = super().transform(results)
            return distorted
        image = results['img']
        # mmseg's methods draw and then compute on whatever array they are given; here on the 256 values.
        table = self.brightness(_VALUES)
        contrast_first = random.randint(2) == 1
        if contrast_first:
            table = self.contrast(table)
        image = _look_up(image, table)
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
    shift = int(table[_MIDDLE]) - _MIDDLE
    result: npt.NDArray[np.uint8]
    if np.array_equal(table, np.clip(_VALUES.astype(int) + shift, 0, 255)):
        # A change of brightness alone: saturating arithmetic takes a fifth of the time of looking up.
        change = cv2.add if shift >= 0 else cv2.subtract
        result = change(image, (abs(shift),) * 4)
    else:
        result = cv2.LUT(image, table)
    return result


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
