"""An image that is read by windows and turned, as a photograph's file asks for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.files.orientation import turned
from swinseg.raster.image import RasterImage, check_window


class OrientedImage:
    """Another image as one shall see it.

    Args:
        image: as stored, without a georeference, which would be about other rows and columns.
        orientation: EXIF's number, 1 to 8.
    """

    georeference = None

    def __init__(self, image: RasterImage, orientation: int) -> None:
        self._image = image
        self._orientation = orientation
        height, width = image.shape
        self.shape: tuple[int, int] = (width, height) if orientation > 4 else (height, width)

    def read(self, top: int, bottom: int, left: int, right: int) -> NDArray[Any]:
        """Return (h, w, C) pixels of the other image's type."""
        return self._turned(self._image.read(*self._stored(top, bottom, left, right)))

    def valid(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
        """Return (h, w): where the other image has data."""
        return self._turned(self._image.valid(*self._stored(top, bottom, left, right)))

    def overview(self, max_side: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return a coarse view and its validity."""
        pixels, valid = self._image.overview(max_side)
        return self._turned(pixels), self._turned(valid)

    def _turned(self, pixels: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(turned(pixels, self._orientation))

    def _stored(self, top: int, bottom: int, left: int, right: int) -> tuple[int, int, int, int]:
        """Return the window as stored: what ``turned`` does, backwards."""
        check_window(self.shape, top, bottom, left, right)
        height, width = self.shape
        if self._orientation in (3, 4, 7, 8):
            top, bottom = height - bottom, height - top
        if self._orientation in (2, 3, 6, 7):
            left, right = width - right, width - left
        return (left, right, top, bottom) if self._orientation > 4 else (top, bottom, left, right)
