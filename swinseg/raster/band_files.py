"""Files of one band each, such as those of a Sentinel-2 product, as one image that is read by windows.

Shapes: h, w = size of a window; C = bands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.files.banded import check_same_size
from swinseg.raster.image import RasterImage


class BandFiles:
    """Images of one band as one image, which lies where the first of them does.

    Args:
        images: of one band each, in the order of the bands.
        files: their names, for messages.

    Raises:
        DataError: they are not of one size.
    """

    def __init__(self, images: Sequence[RasterImage], files: tuple[str, ...]) -> None:
        check_same_size(files, [image.shape for image in images])
        self._images = tuple(images)
        self.shape = images[0].shape
        self.georeference = images[0].georeference

    def read(self, top: int, bottom: int, left: int, right: int) -> NDArray[Any]:
        """Return (h, w, C) pixels of a type that holds those of all files."""
        return np.concatenate(
            [image.read(top, bottom, left, right) for image in self._images], axis=2
        )

    def valid(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
        """Return (h, w): where a band has data."""
        marks = [image.valid(top, bottom, left, right) for image in self._images]
        return np.asarray(np.any(marks, axis=0))

    def overview(self, max_side: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return a coarse view and its validity."""
        views = [image.overview(max_side) for image in self._images]
        pixels = np.concatenate([pixels for pixels, _ in views], axis=2)
        return pixels, np.asarray(np.any([valid for _, valid in views], axis=0))
