"""Geometry of windows on an image: starts, weights, and the pixels that no later window touches.

Windows go row by row, left to right. All functions are pure; positions are in pixels, ends are exclusive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from swinseg.errors import SlideError

BLENDS = ('uniform', 'gaussian', 'hann')

# The least weight along an axis, where the largest is 1: a pixel that only the rim of one window covers is
# divided by it, in a corner by its square, and keeps its digits.
LEAST_WEIGHT = 0.01


class Band(NamedTuple):
    """Windows that are computed together, column by column, and the rows that are final after them.

    Attributes:
        tops: first rows of the windows, one or two.
        bottom: end of the last window.
        final: end of the rows that no window of a later band touches.
    """

    tops: tuple[int, ...]
    bottom: int
    final: int

    @property
    def top(self) -> int:
        """The first row."""
        return self.tops[0]


def checked_windows(
    window: int | tuple[int, int], stride: int | tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return height and width of the windows, and the distance of neighboring ones along both axes.

    Args:
        window: side of a window, or height and width.
        stride: for rows and columns alike, or one for each.

    Raises:
        SlideError: a stride leaves gaps, or does not go on.
    """
    sizes, steps = _pair(window), _pair(stride)
    for name, size, step in zip(('height', 'width'), sizes, steps, strict=True):
        if not 0 < step <= size:
            raise SlideError(
                f"the stride must be from 1 to the window's {name}, {size}, but is {step}; "
                'larger ones leave gaps'
            )
    return sizes, steps


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Return where windows start along an axis, as mmseg's ``slide_inference`` places them.

    The last window is moved inside the image; an image that is no longer than a window has one, as long as
    itself.

    Args:
        length: of the image.
        window: length of a window.
        stride: from 1 to ``window``.
    """
    count = max(0, -(-(length - window) // stride)) + 1
    return [max(0, min(i * stride, length - window)) for i in range(count)]


def final_ends(starts: Sequence[int], length: int) -> list[int]:
    """Return, for each window along an axis, the end of what no later window touches."""
    return [*starts[1:], length]


def bands(height: int, window: int, stride: int) -> list[Band]:
    """Return the rows of windows, from top to bottom.

    Neighboring bands overlap by ``window - stride`` rows. The last window, moved inside the image, may overlap
    the one above it by more, up to all rows but one. Then those two make one band, so that what is kept from band
    to band has the same height in any image.
    """
    starts = window_starts(height, window, stride)
    tops: list[tuple[int, ...]] = [(start,) for start in starts]
    if len(starts) > 1 and starts[-1] - starts[-2] < stride:
        tops[-2:] = [(starts[-2], starts[-1])]
    ends = final_ends([group[0] for group in tops], height)
    return [
        Band(group, min(group[-1] + window, height), end)
        for group, end in zip(tops, ends, strict=True)
    ]


def axis_weights(blend: str, size: int) -> Tensor:
    """Return the weights of a window's pixels along one axis; those of two axes are multiplied.

    Args:
        blend: ``'uniform'``; ``'gaussian'``, with a standard deviation of an eighth of the window; or ``'hann'``,
            a raised cosine.
        size: of the window.

    Returns:
        (size,) float64 in [LEAST_WEIGHT, 1], symmetrical.
    """
    position = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    if blend == 'uniform':
        return torch.ones(size, dtype=torch.float64)
    if blend == 'gaussian':
        weights = torch.exp(-0.5 * ((position - 0.5) / 0.125) ** 2)
    elif blend == 'hann':
        weights = torch.sin(math.pi * position) ** 2
    else:
        raise ValueError(f'blend must be one of {", ".join(BLENDS)}, not {blend!r}')
    return weights.clamp_(min=LEAST_WEIGHT)


def weight_sums(starts: Sequence[int], weights: Tensor, length: int) -> Tensor:
    """Return the sum of all windows' weights at each pixel of an axis, (length,) of the weights' dtype."""
    total = weights.new_zeros(length)
    for start in starts:
        total[start : start + len(weights)] += weights
    return total
