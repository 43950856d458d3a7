"""A 3x3 convolution in matrix products, for graphs: Winograd's F(4 x 4, 3 x 3) in a quarter of the products.

Runtimes multiply matrices well and have this algorithm mostly not: what :mod:`swinseg.models.ops.winograd_conv`
computes block by block, with the same points, is here one product for the tiles, one for the channels and one for
the outputs, in operations that every exporter has, at sizes known only when the graph runs.

Shapes: B images, C input and D output channels, H x W pixels, m = 4 outputs and n = 6 inputs of a tile along an
axis, R x Q tiles in an image.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import Tensor

from swinseg.exporting.sizes import ceil_div, cropped, size_of
from swinseg.models.ops.winograd_conv import EXACT, KERNEL, transforms

_TILE = EXACT + KERNEL - 1
# Fewer channels are no work for a matrix product.
_FEWEST_CHANNELS = 64

_are_direct: ContextVar[bool] = ContextVar('_are_direct', default=False)


@contextlib.contextmanager
def direct_convolutions() -> Iterator[None]:
    """Within the block, nothing is convolved in matrix products: int8 has too few digits for the transforms."""
    token = _are_direct.set(True)
    try:
        yield
    finally:
        _are_direct.reset(token)


def pays(weight: Tensor) -> bool:
    """Tell whether a kernel, (D, C, 3, 3), is convolved by :func:`conv3x3` in less time than directly.

    Half precision has too few digits for the transforms, and PyTorch's own convolutions, which a program of
    ``torch.export`` has, need no other form.
    """
    if _are_direct.get() or torch.compiler.is_exporting():
        return False
    return weight.dtype == torch.float32 and min(weight.shape[:2]) >= _FEWEST_CHANNELS


def conv3x3(x_BHWC: Tensor, weight: Tensor) -> Tensor:
    """Convolve with padding 1, without a bias.

    Args:
        x_BHWC: (B, H, W, C) float32.
        weight: (D, C, 3, 3) float32; its transform is part of the graph, in which runtimes compute what depends on
            constants alone once, when they load it, so that the file has the 9 numbers and not 36.

    Returns:
        (B, H, W, D).
    """
    (height, width), (outputs, channels) = size_of(x_BHWC, 1, 2), weight.shape[:2]
    rows, columns = ceil_div(height, EXACT), ceil_div(width, EXACT)
    # One pixel before the image and, for the last tiles, so many behind it that there is one more tile each way.
    behind = (0, 0, 1, (columns + 1) * EXACT - width - 1, 1, (rows + 1) * EXACT - height - 1)
    x = F.pad(x_BHWC, behind).reshape(-1, rows + 1, EXACT, columns + 1, EXACT, channels)
    x = x.permute(2, 4, 0, 1, 3, 5)  # m, m, B, R + 1, Q + 1, C
    over = KERNEL - 1
    # A tile is m x m pixels of its own, and the first two columns, rows, or both, of its neighbors.
    pieces = [
        x[:, :, :, :rows, :columns].flatten(0, 1),
        x[:, :over, :, :rows, 1:].flatten(0, 1),
        x[:over, :, :, 1:, :columns].flatten(0, 1),
        x[:over, :over, :, 1:, 1:].flatten(0, 1),
    ]
    into, kernel_into, out_of = _matrices(x.device)
    tiles = into @ torch.cat(pieces).reshape(_TILE**2, -1)
    kernel = kernel_into @ weight.permute(2, 3, 1, 0).reshape(KERNEL**2, -1)
    products = tiles.reshape(_TILE**2, -1, channels) @ kernel.reshape(_TILE**2, channels, outputs)
    y = out_of @ products.reshape(_TILE**2, -1)
    y = y.reshape(EXACT, EXACT, -1, rows, columns, outputs).permute(2, 3, 0, 4, 1, 5)
    y = y.reshape(-1, rows * EXACT, columns * EXACT, outputs)
    return cropped(y, height, width)


def _matrices(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return what transforms tiles, (n * n, n * n), kernels, (n * n, 9), and products, (m * m, n * n).

    Each is for both axes at once. The inputs of a tile are in the order of the four pieces that it is cut of.
    """
    a_t, g, b_t = transforms(EXACT, torch.float64)
    own, over = range(EXACT), range(EXACT, _TILE)
    order = [
        i * _TILE + j
        for rows, columns in ((own, own), (own, over), (over, own), (over, over))
        for i in rows
        for j in columns
    ]
    both = torch.kron(b_t, b_t)[:, order], torch.kron(g, g), torch.kron(a_t, a_t)
    into, kernel, out_of = (matrix.float().to(device) for matrix in both)
    return into, kernel, out_of
