"""The ``Resize`` of a test pipeline in operations that every exporter and runtime has, with OpenCV's bytes.

OpenCV resizes bytes in integers: weights of 2048 parts, first along the rows, then along the columns. A float
interpolation, rounded, has another level in one of eight values. All numbers here stay below 2 ** 24, for runtimes
that divide integers as float32.

Shapes: B images of H x W pixels, resized to h x w.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from swinseg.exporting.scale import Scale
from swinseg.exporting.sizes import Size, size_of

_PARTS = 2048


def resized_size(height: Size, width: Size, scale: Scale) -> tuple[Size, Size]:
    """Return the height and width of a resized image, of one pixel at least.

    With ``keep_ratio`` it is the rule of mmcv's ``rescale_size``, in its order of float64 arithmetic.
    """
    if not scale.keep_ratio:
        return scale.height, scale.width
    longest, shortest = (
        torch.tensor(float(choose(scale.width, scale.height)), dtype=torch.float64)
        for choose in (max, min)
    )
    sides = [torch.as_tensor(side).to(torch.float64) for side in (height, width)]
    factor = torch.minimum(longest / torch.maximum(*sides), shortest / torch.minimum(*sides))
    new = [(side * factor + 0.5).long().clamp(min=1) for side in sides]
    if isinstance(height, Tensor):
        return new[0], new[1]
    return int(new[0]), int(new[1])


def resize_pixels(pixels_BHWC: Tensor, size: tuple[Size, Size]) -> Tensor:
    """Resize (B, H, W, C) uint8 to (B, h, w, C) int32, with the levels that ``cv2.resize`` has bilinearly.

    Args:
        pixels_BHWC: images.
        size: h, w.
    """
    left, right = _taps(pixels_BHWC, 2, size[1])
    x = (left.weighted(pixels_BHWC) + right.weighted(pixels_BHWC)) // 16
    above, below = _taps(pixels_BHWC, 1, size[0])
    return (_high_part(x, above) + _high_part(x, below) + 2) // 4


def _high_part(x_BHWC: Tensor, tap: _Tap) -> Tensor:
    """Return ``tap.weighted(x) // 2 ** 16``, by halves that are below 2 ** 24 with their weights."""
    upper = x_BHWC // 256
    lower = x_BHWC - 256 * upper
    return (tap.weighted(upper) + tap.weighted(lower) // 256) // 256


class _Tap(NamedTuple):
    """One of the two sources of each pixel of a resized axis.

    Attributes:
        axis: of (B, H, W, C).
        places: of the sources.
        weights: in parts, shaped to be multiplied.
    """

    axis: int
    places: Tensor
    weights: Tensor

    def weighted(self, x_BHWC: Tensor) -> Tensor:
        return x_BHWC.index_select(self.axis, self.places).int() * self.weights


def _taps(x_BHWC: Tensor, axis: int, target: Size) -> tuple[_Tap, _Tap]:
    """Return the sources below and above."""
    (length,) = size_of(x_BHWC, axis)
    # Pixel p lies at ((2p + 1) length - target) / (2 target); one more, so that no quotient is negative.
    place = (2 * torch.arange(target, device=x_BHWC.device) + 1) * length + target
    whole = place // (2 * target)
    low = whole - 1
    rest = (place - whole * (2 * target)).float() / (2 * target)
    # OpenCV rounds the place to float32 before it takes the whole part away.
    share = (low.float() + rest) - low.float()
    shape = [-1 if each == axis else 1 for each in range(4)]

    def tap(source: Tensor, part: Tensor) -> _Tap:
        weights = (_PARTS * part).round().int().reshape(shape)
        return _Tap(axis, source.clamp(min=0, max=length - 1), weights)

    return tap(low, 1 - share), tap(low + 1, share)
