"""3x3 convolution by Winograd's minimal filtering F(m x m, 3 x 3), m = 4 or 8: 2.25 or 1.56 multiply-adds for each
output and pair of channels in place of 9 (Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks",
section 4).

A tile of (m + 2) x (m + 2) inputs gives m x m outputs::

    Y = A' [ (G g G') * (B' d B) ] A

where d is the tile, g the kernel, * the elementwise product and ' the transpose. Summed over input channels, the
product is one matrix product for each of the (m + 2)^2 positions. The matrices follow from m + 1 points and
infinity (Cook and Toom's construction). Rounding grows with the size of their entries: at 512 channels and outputs
up to 5.8 the largest error of the direct sum is 7e-6; of m = 4 with the usual points 0, 1, -1, 2, -2 it is 29e-6,
with 0, 1, -1, 1/2, -2 it is 11e-6 (on other draws two to eight times that of the direct sum). With m = 8 the best
of 300 sets of points has 4e-4 at outputs up to 4.5: little beside bfloat16's own rounding, 1.6e-2 there, and too
much for float32.

Computed in float32 or float64, whatever the dtype of the map: in half precision the transforms lose too many
digits.

Shapes: B images, C input and D output channels, H x W pixels, n = m + 2 positions of a tile along an axis, T tile
rows at a time, Q tiles in a row (one more than needed, so that all tiles of a block lie at equal distances in
memory), N = T * Q.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from swinseg.models.tracing import is_traced

EXACT, FAST = 4, 8
"""Outputs m of a tile along an axis: for float32 and wider, and for results that half precision rounds anyhow."""

_POINTS = {
    EXACT: (0.0, 1.0, -1.0, 0.5, -2.0),
    FAST: (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 0.75, -4 / 3),
}
KERNEL = 3
# Among the n x n positions, the pair of points (1, 1) is where a constant of the outputs stands: A has ones there.
_CONSTANT = 1
# Tiles of one block: enough rows for an efficient matrix product, few enough for the block to stay in the cache.
_TILES = 264


@lru_cache(maxsize=8)
def transforms(
    outputs: int = EXACT, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    """Return A' (m, n), G (n, 3) and B' (n, n) for the points above and infinity, rounded from float64."""
    points = _POINTS[outputs]
    tile = outputs + KERNEL - 1
    a_t, g, b_t = np.zeros((outputs, tile)), np.zeros((tile, KERNEL)), np.zeros((tile, tile))
    for i, point in enumerate(points):
        others = [other for other in points if other != point]
        a_t[:, i] = point ** np.arange(outputs)
        g[i] = point ** np.arange(KERNEL) / np.prod([point - other for other in others])
        b_t[i, : len(points)] = np.poly(others)[::-1]
    a_t[-1, -1] = g[-1, -1] = 1
    b_t[-1] = np.poly(points)[::-1]
    with torch.inference_mode(False):
        rounded = [torch.from_numpy(matrix).to(dtype) for matrix in (a_t, g, b_t)]
    return rounded[0], rounded[1], rounded[2]


def transform_kernel(weight: Tensor, outputs: int = EXACT) -> Tensor:
    """Turn a kernel (D, C, 3, 3) into the matrices of the positions, G g G' as (n, n, C, D).

    Args:
        weight: float32 or float64.
        outputs: m, :data:`EXACT` or :data:`FAST`.
    """
    _, g, _ = transforms(outputs, torch.float64)
    tile = len(g)
    # In one step from the exact products: two steps would round twice.
    both = torch.einsum('ay,bx->abyx', g, g).reshape(tile**2, KERNEL**2).to(weight.dtype)
    out_channels, in_channels = weight.shape[:2]
    flat = weight.permute(2, 3, 1, 0).reshape(KERNEL**2, -1)
    return (both @ flat).view(tile, tile, in_channels, out_channels)


def _tiles(length: int, outputs: int) -> int:
    return -(-length // outputs)


def _tile_rows(height: int, width: int, outputs: int) -> tuple[int, int]:
    """Return how many tile rows form a block, and Q."""
    tile_rows, per_row = _tiles(height, outputs), _tiles(width, outputs) + 1
    blocks = -(-tile_rows * per_row // _TILES)
    # Blocks of equal height, so that the last one is not mostly empty.
    return -(-tile_rows // blocks), per_row


class _Blocks:
    """The tiles of one image, transformed block by block, in ``dtype``, into buffers that are used again."""

    def __init__(self, image_HWC: Tensor, outputs: int, dtype: torch.dtype) -> None:
        self.image = image_HWC
        self.height, self.width, channels = image_HWC.shape
        self.rows, self.per_row = _tile_rows(self.height, self.width, outputs)
        self.tiles = self.rows * self.per_row
        self.outputs = outputs
        _, _, self.b_t = transforms(outputs, dtype)
        side, step = len(self.b_t), outputs * channels
        line = self.per_row * step
        like = image_HWC.new_empty(0, dtype=dtype)
        self._padded = like.new_zeros(outputs * self.rows + 2, self.per_row * outputs, channels)
        # The last tile, which nobody reads, ends two pixels behind the last line.
        lines = like.new_zeros(side * self.rows * line + 2 * channels)
        self._lines = lines[: -2 * channels].view(side, self.rows, line)
        self._overlapping = lines.as_strided(
            (side * self.tiles, side, channels), (step, channels, 1)
        )
        self._transformed = like.new_empty(side * self.tiles, side, channels)

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        """Yield the first output row of each block and its tiles B' d B, (n, N, n, C)."""
        b_t, padded, outputs = self.b_t, self._padded, self.outputs
        side = len(b_t)
        spread = b_t.expand(side * self.tiles, -1, -1)
        for top in range(0, self.height, outputs * self.rows):
            first, last = max(0, top - 1), min(self.height, top - 1 + len(padded))
            padded[: first - top + 1] = 0
            padded[last - top + 1 :] = 0
            padded[first - top + 1 : last - top + 1, 1 : self.width + 1] = self.image[first:last]
            for row in range(self.rows):
                tile_row = padded[outputs * row : outputs * row + side].view(side, -1)
                torch.mm(b_t, tile_row, out=self._lines[:, row])
            torch.bmm(spread, self._overlapping, out=self._transformed)
            yield top, self._transformed.view(side, self.tiles, side, -1)


def convolve(x: Tensor, kernel: Tensor, bias: Tensor | None, *, relu: bool = False) -> Tensor:
    """Convolve with padding 1; no gradient is recorded.

    Args:
        x: (B, C, H, W), fastest in channels-last memory.
        kernel: (n, n, C, D) of :func:`transform_kernel`, float32 or float64, in which all is computed.
        bias: (D,) in the kernel's dtype, or None.
        relu: whether negative outputs become zero.

    Returns:
        (B, D, H, W) in the dtype of x and channels-last memory.
    """
    images, _, height, width = x.shape
    channels = kernel.shape[3]
    # Made in the shape that it is returned in: autograd lets nobody add onto a view that a Function returns.
    out = torch.empty(
        (images, channels, height, width),
        dtype=x.dtype,
        device=x.device,
        memory_format=torch.channels_last,
    )
    side = len(kernel)
    outputs = side - KERNEL + 1
    a_t, _, _ = transforms(outputs, kernel.dtype)
    for image, target in zip(x.permute(0, 2, 3, 1), out.permute(0, 2, 3, 1), strict=True):
        blocks = _Blocks(image, outputs, kernel.dtype)
        tiles, rows = blocks.tiles, outputs * blocks.rows
        products = kernel.new_empty(side, side, tiles, channels)
        wide = kernel.new_empty(side, tiles, outputs, channels)
        spread = a_t.expand(tiles, -1, -1)
        lines = target.view(height, -1)
        rounded = None
        if x.dtype != kernel.dtype:
            rounded = kernel.new_empty(rows, width * channels)
        for top, transformed in blocks:
            for a in range(side):
                # All products of a row in one call: on few cores the calls cost more than the sums.
                torch.bmm(transformed[a].transpose(0, 1), kernel[a], out=products[a])
                if bias is not None and a == _CONSTANT:
                    products[a, a] += bias
                torch.bmm(spread, products[a].transpose(0, 1), out=wide[a])
            columns = wide.view(side, blocks.rows, -1)[:, :, : width * channels]
            bottom = min(height, top + rows)
            finished = lines[top:bottom]
            # Straight to its place where no rounding comes between.
            exact = finished if rounded is None else rounded[: bottom - top]
            for row, start in enumerate(range(0, bottom - top, outputs)):
                stop = min(start + outputs, bottom - top)
                torch.mm(a_t[: stop - start], columns[:, row], out=exact[start:stop])
            if relu:
                exact.relu_()
            if rounded is not None:
                finished.copy_(exact)
    return out


def _kernel_gradient(x: Tensor, grad: Tensor) -> Tensor:
    """Return the gradient of the kernel, (D, C, 3, 3): the transposed algorithm, tile by tile."""
    channels = grad.shape[1]
    a_t, _, _ = transforms(EXACT, x.dtype)
    _, g, _ = transforms(EXACT, torch.float64)
    side = len(g)
    total = x.new_zeros(side, side, x.shape[1], channels)
    for image, source in zip(x.permute(0, 2, 3, 1), grad.permute(0, 2, 3, 1), strict=True):
        blocks = _Blocks(image, EXACT, x.dtype)
        tiles, line = blocks.tiles, blocks.per_row * EXACT
        spread = a_t.T.expand(side * tiles, -1, -1)
        padded = x.new_zeros(EXACT * blocks.rows, line, channels)
        lines = x.new_empty(side, blocks.rows, line * channels)
        products = x.new_empty(side * tiles, side, channels)
        for top, transformed in blocks:
            piece = source[top : top + EXACT * blocks.rows]
            padded[: len(piece), : blocks.width] = piece
            padded[len(piece) :] = 0
            for row in range(blocks.rows):
                tile_row = padded[EXACT * row : EXACT * row + EXACT].view(EXACT, -1)
                torch.mm(a_t.T, tile_row, out=lines[:, row])
            torch.bmm(spread, lines.view(-1, EXACT, channels), out=products)
            by_position = products.view(side, tiles, side, channels)
            for a in range(side):
                for b in range(side):
                    total[a, b].addmm_(transformed[a, :, b].T, by_position[a, :, b])
    both = torch.einsum('ay,bx->yxab', g, g).reshape(KERNEL**2, side**2).to(x.dtype)
    flat = both @ total.view(side**2, -1)
    return flat.view(KERNEL, KERNEL, -1, channels).permute(3, 2, 0, 1)


class _WinogradConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return convolve(x, transform_kernel(weight), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            # The adjoint of a convolution with padding 1 is the one with the kernel turned round.
            turned = transform_kernel(weight.flip(2, 3).transpose(0, 1))
            grad_x = convolve(grad, turned, None)
        if ctx.needs_input_grad[1]:
            grad_weight = _kernel_gradient(x, grad)
        if ctx.needs_input_grad[2]:
            grad_bias = grad.sum((0, 2, 3))
        return grad_x, grad_weight, grad_bias


def is_large_enough(x: Tensor, out_channels: int, outputs: int = EXACT) -> bool:
    """Tell whether a map, (B, C, H, W), has channels and tiles enough for the matrix products to be efficient."""
    channels, height, width = x.shape[1:]
    tiles = _tiles(height, outputs) * _tiles(width, outputs)
    return min(channels, out_channels) >= 64 and tiles >= 64


def pays(x: Tensor, out_channels: int) -> bool:
    """Tell whether :func:`conv3x3` uses this form: on a CPU, in float32, with many channels and tiles."""
    return (
        x.device.type == 'cpu'
        and x.dtype == torch.float32
        and is_large_enough(x, out_channels)
        and not torch.is_autocast_enabled('cpu')
    )


def conv3x3(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return ``conv2d(x, weight, bias, padding=1)``, by Winograd's algorithm where it pays.

    Gradients are as a convolution's; second derivatives only where the algorithm is not used.

    Args:
        x: (B, C, H, W).
        weight: (D, C, 3, 3).
        bias: (D,) or None.

    Returns:
        (B, D, H, W), in channels-last memory if x is.
    """
    if pays(x, len(weight)) and weight.dtype == x.dtype and not is_traced():
        out: Tensor = _WinogradConv.apply(x, weight, bias)
        return out
    return F.conv2d(x, weight, bias, padding=1)
