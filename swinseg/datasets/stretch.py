"""Stretching bands of any type to 8 bits.

Shapes: h, w = size of a part of an image; C = bands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (2.0, 98.0)
"""Of the values of a band that become 0 and 255."""

VIEW_SIDE = 1024
"""Pixels a side of the coarse view of a file that its percentiles are taken from."""


class Stretch:
    """Maps each band's values between two percentiles to 0 to 255; what is no finite number becomes 0.

    Args:
        pixels: (h, w, C) of any real type, to take the percentiles from.
        valid: (h, w): which of them count; those that are not finite do not.
        percentiles: two increasing numbers from 0 to 100.
    """

    def __init__(
        self,
        pixels: NDArray[np.generic],
        valid: NDArray[np.bool_],
        percentiles: tuple[float, float] = PERCENTILES,
    ) -> None:
        chosen = pixels[valid].astype(np.float64)
        limits = np.zeros((2, pixels.shape[2]))
        for band in range(pixels.shape[2]):
            values = chosen[:, band]
            values = values[np.isfinite(values)]
            if len(values):
                limits[:, band] = np.percentile(values, percentiles)
        self._low = limits[0]
        # A band of one value becomes 0 instead of a division by zero.
        self._range = np.where(limits[1] > limits[0], limits[1] - limits[0], np.inf)

    def __call__(self, pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Return (h, w, C) uint8 of (h, w, C) pixels."""
        stretched = np.empty(pixels.shape, np.uint8)
        # Row by row: float64 numbers of a whole strip would take more memory than the scores of its windows.
        for row, result in zip(pixels, stretched, strict=True):
            values = row.astype(np.float64)
            scaled = (values - self._low) / self._range * 255
            result[:] = np.rint(np.clip(np.where(np.isfinite(values), scaled, 0), 0, 255))
        return stretched
