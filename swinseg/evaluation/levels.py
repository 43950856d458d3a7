"""Probabilities as levels, one of 256: bytes, of which masks at any threshold that is a multiple of 1/256 follow.

What is below such a threshold, and what is not, is the same in levels, which take a quarter of the memory of
float32; and a histogram of them has what is needed to find the best threshold.
"""

from __future__ import annotations

import math

LEVELS = 256
"""Level n is a probability from n / 256 to below (n + 1) / 256; the last holds 1 too."""


def lowest_level(threshold: float) -> int:
    """Return the first level, 1 to 255, whose probabilities all reach a threshold."""
    return min(max(math.ceil(threshold * LEVELS), 1), LEVELS - 1)
