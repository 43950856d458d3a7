"""The 3x3 convolution of a bilinearly upsampled map, without the upsampled map.

Upsampling acts on rows and columns, the convolution mixes channels and shifts rows and columns, and both are
linear, so they commute::

    conv3x3(up(x)) = sum over taps k of shift_k(W_k . up(x)) = sum over taps k of shift_k(up(W_k . x))

Channels are mixed at the coarse resolution, a matrix product of 9 D x C on h * w pixels in place of H * W;
shift and upsampling together are one small matrix for each axis and tap, ``U_k = S_k B``: B (H x h) interpolates,
S_k shifts by the tap and fills with zeros, which is the convolution's own padding. U_k is banded, so it is
applied in blocks of rows and of columns, and the cost stays linear in the number of pixels.

Shapes: B images, C input and D output channels, h x w pixels of the coarse map, H x W of the output; taps ky, kx
= 0, 1, 2. In memory all maps are channels-last.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from swinseg.models.ops.winograd_conv import conv3x3
from swinseg.models.tracing import is_traced
from swinseg.precision import without_autocast
from swinseg.transfers import to_device

TAPS = 3
# Output rows or columns of one block. A block of n rows reads about n / ratio + 3 input rows of each tap: short
# blocks waste the least arithmetic, long ones make the fewest calls.
_BLOCK_CPU, _BLOCK_CPU_HALF, _BLOCK_CUDA = 24, 48, 128
# Elements of the mixed map (9 D channels) that exist at a time.
_LARGEST_MIXED = 20 * 2**20
# What interpolating one output value takes, in multiply-adds of a convolution that would take as long. Measured
# at D = 512 on a CPU (30 ms for 128 x 128 pixels at 45 G multiply-adds/s), and the same for the other levels.
_INTERPOLATION_COST = 160


class Block(NamedTuple):
    """A dense block of the three banded matrices of one axis.

    Attributes:
        outputs: the rows of the matrices, a range of output positions.
        inputs: the columns in which any of them is not zero, a range of input positions.
        weights: (outputs, inputs * 3), the matrices of the three taps side by side, the tap running fastest.
    """

    outputs: slice
    inputs: slice
    weights: Tensor


def shifted_interpolation(
    length: int, target: int, *, align_corners: bool, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return the matrices ``U_k = S_k B`` that upsample a line and shift it by a tap of the convolution.

    Args:
        length: positions of the coarse line.
        target: positions of the fine line.
        align_corners: as ``torch.nn.functional.interpolate`` takes it.
        dtype: float32 or float64; the weights are those that ``interpolate`` uses in this precision.

    Returns:
        (3, target, length); entry (k, Y, i) is the weight of input i in the upsampled value at Y + k - 1,
        zero where that lies outside.
    """
    # Interpolating the unit vectors gives PyTorch's own weights to the last bit.
    identity = torch.eye(length, dtype=dtype)[None]
    weights = F.interpolate(identity, size=target, mode='linear', align_corners=align_corners)[0].T
    padded = F.pad(weights, (0, 0, 1, 1))
    return torch.stack([padded[tap : tap + target] for tap in range(TAPS)])


@lru_cache(maxsize=64)
def _blocks(
    length: int,
    target: int,
    align_corners: bool,
    block: int,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Block, ...]:
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    matrices = shifted_interpolation(length, target, align_corners=align_corners, dtype=exact)
    blocks = []
    for start in range(0, target, block):
        rows = matrices[:, start : start + block]
        used = rows.abs().sum((0, 1)).nonzero().flatten().tolist()
        first, last = used[0], used[-1] + 1
        weights = rows[:, :, first:last].permute(1, 2, 0).reshape(rows.shape[1], -1)
        blocks.append(
            Block(
                slice(start, start + rows.shape[1]),
                slice(first, last),
                to_device(weights, device, dtype).contiguous(),
            )
        )
    return tuple(blocks)


def _axis_blocks(
    length: int, target: int, *, align_corners: bool, like: Tensor
) -> tuple[Block, ...]:
    on_cpu = _BLOCK_CPU_HALF if like.element_size() == 2 else _BLOCK_CPU
    block = _BLOCK_CUDA if like.is_cuda else on_cpu
    # A tensor born under inference_mode could not take part in a later training step. On the meta device the
    # positions of the zeros must be known all the same, so the matrices are made on the CPU.
    with torch.inference_mode(False), torch.no_grad(), torch.device('cpu'):
        return _blocks(length, target, align_corners, block, like.device, like.dtype)


def _within(block: Block, first: int, last: int) -> tuple[Tensor, slice] | None:
    """Return the block's weights of the inputs in [first, last), and those inputs counted from ``first``.

    Both count (input, tap) pairs.
    """
    start, stop = max(block.inputs.start, first), min(block.inputs.stop, last)
    if start >= stop:
        return None
    offset = block.inputs.start
    return (
        block.weights[:, TAPS * (start - offset) : TAPS * (stop - offset)],
        slice(TAPS * (start - first), TAPS * (stop - first)),
    )


def _bands(x_BhwC: Tensor, mixed_channels: int) -> list[tuple[slice, int, int]]:
    """Cut (images, first row, last row) so that the mixed map of each piece stays small."""
    images, height, width = x_BhwC.shape[:3]
    row = width * mixed_channels
    together = max(1, _LARGEST_MIXED // (row * height))
    rows = height if together > 1 else max(8, _LARGEST_MIXED // row)
    return [
        (slice(image, min(image + together, images)), first, min(first + rows, height))
        for image in range(0, images, together)
        for first in range(0, height, rows)
    ]


def mixing_matrix(weight: Tensor) -> Tensor:
    """Turn the kernel (D, C, ky, kx) into (kx * ky * D, C), the order in which columns are applied first."""
    return weight.permute(3, 2, 0, 1).reshape(-1, weight.shape[1])


def _add_forward(
    out: Tensor, x: Tensor, mixing: Tensor, rows: tuple[Block, ...], columns: tuple[Block, ...]
) -> None:
    """Add the convolution of the upsampled x, (B, h, w, C), onto out, (B, H, W, D) contiguous."""
    channels = out.shape[3]
    kernel = mixing[:, :, None, None]
    for images, first, last in _bands(x, len(mixing)):
        piece = x[images, first:last]
        # A 1x1 convolution, which on a CPU is faster than the same product as a linear layer.
        mixed = F.conv2d(piece.permute(0, 3, 1, 2), kernel).permute(0, 2, 3, 1)
        lines = mixed.reshape(
            -1, TAPS * mixed.shape[2], TAPS, channels
        )  # image row, (x, kx), ky, D
        targets = out[images]
        for column in columns:
            used = lines[:, TAPS * column.inputs.start : TAPS * column.inputs.stop]
            spread = column.weights.expand(len(lines), -1, -1)
            # Image row, ky, x, D: the order in which the rows' weights count (input, tap).
            wide = out.new_empty(len(lines), TAPS, len(column.weights), channels)
            for tap in range(TAPS):
                # Through a copy: into strided memory PyTorch multiplies one matrix after the other.
                wide[:, tap] = torch.bmm(spread, used[:, :, tap])
            wide = wide.view(len(targets), (last - first) * TAPS, -1)
            for image, target in enumerate(targets):
                strip = _strip(target, column)
                for row in rows:
                    within = _within(row, first, last)
                    if within is not None:
                        strip[row.outputs].addmm_(within[0], wide[image, within[1]])


def _strip(image_HWD: Tensor, column: Block) -> Tensor:
    """View the columns that the block covers as a matrix, (H, columns * D)."""
    channels = image_HWD.shape[2]
    return image_HWD.view(len(image_HWD), -1)[
        :, column.outputs.start * channels : column.outputs.stop * channels
    ]


def _backward(
    grad: Tensor, x: Tensor, mixing: Tensor, rows: tuple[Block, ...], columns: tuple[Block, ...],
    *, needs_x: bool, needs_mixing: bool,
) -> tuple[Tensor | None, Tensor | None]:  # fmt: skip
    """Return the gradients of x, (B, h, w, C), and of the mixing matrix, (9 D, C)."""
    channels = grad.shape[3]
    grad_x = torch.empty_like(x) if needs_x else None
    # Summed over many bands and images: in half precision small shares would be lost.
    wide_dtype = torch.promote_types(mixing.dtype, torch.float32)
    grad_mixing = torch.zeros_like(mixing, dtype=wide_dtype) if needs_mixing else None
    for images, first, last in _bands(x, len(mixing)):
        piece = x[images, first:last]
        count, height, width = piece.shape[:3]
        sources = grad[images]
        mixed = grad.new_zeros(count * height, TAPS * width, TAPS, channels)
        for column in columns:
            narrow = grad.new_zeros(count, height * TAPS, len(column.weights) * channels)
            for image, source in enumerate(sources):
                strip = _strip(source, column)
                for row in rows:
                    within = _within(row, first, last)
                    if within is not None:
                        narrow[image, within[1]].addmm_(within[0].T, strip[row.outputs])
            narrow = narrow.view(count * height, TAPS, -1, channels)
            gather = column.weights.T.expand(count * height, -1, -1)
            for tap in range(TAPS):
                mixed[:, TAPS * column.inputs.start : TAPS * column.inputs.stop, tap] += torch.bmm(
                    gather, narrow[:, tap]
                )
        flat = mixed.view(count * height * width, -1)
        if grad_x is not None:
            grad_x[images, first:last] = (flat @ mixing).view(piece.shape)
        if grad_mixing is not None:
            grad_mixing += flat.T @ piece.reshape(len(flat), -1)
    return grad_x, None if grad_mixing is None else grad_mixing.to(mixing.dtype)


class _UpsampledConv(torch.autograd.Function):
    """``base + conv3x3(up(x))`` in place on base, (B, D, H, W) channels-last; x is (B, h, w, C).

    Base is not handed over as a (B, H, W, D) view: for a view that is written to, autograd copies the gradient.
    """

    @staticmethod
    def forward(ctx: Any, base: Tensor, x: Tensor, mixing: Tensor, align_corners: bool) -> Tensor:
        out = base.permute(0, 2, 3, 1)
        rows = _axis_blocks(x.shape[1], out.shape[1], align_corners=align_corners, like=x)
        columns = _axis_blocks(x.shape[2], out.shape[2], align_corners=align_corners, like=x)
        _add_forward(out, x, mixing, rows, columns)
        ctx.mark_dirty(base)
        ctx.save_for_backward(x, mixing)
        ctx.blocks = rows, columns
        return base

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, mixing = ctx.saved_tensors
        grad_x = grad_mixing = None
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            grad_x, grad_mixing = _backward(
                grad.permute(0, 2, 3, 1).contiguous(), x, mixing, *ctx.blocks,
                needs_x=ctx.needs_input_grad[1], needs_mixing=ctx.needs_input_grad[2],
            )  # fmt: skip
        return grad, grad_x, grad_mixing, None


def add_upsampled_conv3x3(
    base: Tensor, x: Tensor, weight: Tensor, *, align_corners: bool
) -> Tensor:
    """Add ``conv2d(interpolate(x), weight, padding=1)`` onto ``base``, in place.

    The gradient is that of the composition; second derivatives are not implemented. Under autocast the
    operands are cast as a convolution's are.

    Args:
        base: (B, D, H, W) in channels-last memory, in the dtype in which the sum is to be computed; not a leaf
            that requires a gradient.
        x: (B, C, h, w), any sizes; fastest in channels-last memory.
        weight: (D, C, 3, 3), as ``torch.nn.Conv2d`` stores it.
        align_corners: how x is resized (bilinearly) to H x W.

    Returns:
        ``base``.
    """
    return add_mixed(base, x, mixing_matrix(weight.to(base.dtype)), align_corners=align_corners)


def add_mixed(base: Tensor, x: Tensor, mixing: Tensor, *, align_corners: bool) -> Tensor:
    """Do as :func:`add_upsampled_conv3x3`, given the kernel as its :func:`mixing_matrix` in base's dtype."""
    if not base.is_contiguous(memory_format=torch.channels_last):
        raise ValueError(
            'the sum is formed in place and expects base in channels-last memory; '
            'call base.contiguous(memory_format=torch.channels_last) first'
        )
    if is_traced():
        return base + _dense(x.to(base.dtype), mixing, base.shape, align_corners=align_corners)
    x_BhwC = x.permute(0, 2, 3, 1).to(base.dtype).contiguous()
    with without_autocast(base.device):
        out: Tensor = _UpsampledConv.apply(base, x_BhwC, mixing, align_corners)
    return out


def _dense(x: Tensor, mixing: Tensor, shape: torch.Size, *, align_corners: bool) -> Tensor:
    """Return the convolution of the upsampled x in few large steps, for compilers and exporters to trace."""
    images, _, height, width = x.shape
    channels, target_height, target_width = shape[1:]
    rows, columns = (
        shifted_interpolation(length, target, align_corners=align_corners)
        .permute(1, 2, 0)
        .reshape(target, -1)
        .to(x.device, x.dtype)
        for length, target in ((height, target_height), (width, target_width))
    )
    mixed = F.conv2d(x, mixing[:, :, None, None]).permute(0, 2, 3, 1)
    wide = columns @ mixed.reshape(images * height, TAPS * width, TAPS * channels)
    wide = wide.view(images, height, target_width, TAPS, channels).transpose(2, 3)
    out = rows @ wide.reshape(images, height * TAPS, target_width * channels)
    return out.view(images, target_height, target_width, channels).permute(0, 3, 1, 2)


def is_cheaper_upsampled(channels: int, size: tuple[int, int], target: tuple[int, int]) -> bool:
    """Tell whether mixing before upsampling takes less time than the plain form.

    Args:
        channels: C, input channels.
        size: (h, w) of the map.
        target: (H, W) of the output.
    """
    coarse, fine = size[0] * size[1], target[0] * target[1]
    # Multiply-adds for each of the D output channels.
    return TAPS**2 * channels * coarse + _INTERPOLATION_COST * fine < TAPS**2 * channels * fine


def mixed_when_coarse(maps: Sequence[Tensor]) -> list[int]:
    """Return which of several maps, to be resized to the first, are better mixed at their own resolution."""
    target = (maps[0].shape[2], maps[0].shape[3])
    sizes = [(x.shape[2], x.shape[3]) for x in maps]
    return [
        i
        for i, (x, size) in enumerate(zip(maps, sizes, strict=True))
        if size != target and is_cheaper_upsampled(x.shape[1], size, target)
    ]


def pyramid_conv3x3(
    maps: Sequence[Tensor], weight: Tensor, bias: Tensor | None, *, align_corners: bool
) -> Tensor:
    """Convolve the concatenation of several maps, all resized to the size of the first.

    Equals ``conv2d(cat([maps[0], interpolate(maps[1]), ...], 1), weight, bias, padding=1)``. Maps so much
    smaller than the first that it pays are mixed at their own resolution; the others are resized and concatenated.

    Args:
        maps: (B, C_i, h_i, w_i) each, the first of the output's size.
        weight: (D, sum of C_i, 3, 3).
        bias: (D,) or None.
        align_corners: how maps are resized (bilinearly).

    Returns:
        (B, D, H, W) in channels-last memory, in the dtype of ``maps[0]`` or autocast's.
    """
    target = maps[0].shape[2:]
    mixed = mixed_when_coarse(maps)
    kernels = weight.split([x.shape[1] for x in maps], dim=1)
    plain, plain_kernels, coarse = [], [], []
    for i, (x, kernel) in enumerate(zip(maps, kernels, strict=True)):
        if i in mixed:
            coarse.append((x, kernel))
            continue
        if x.shape[2:] != target:
            x = F.interpolate(x, size=target, mode='bilinear', align_corners=align_corners)
        plain.append(x)
        plain_kernels.append(kernel)
    single = len(plain) == 1
    inputs = plain[0] if single else torch.cat(plain, dim=1)
    kernel = plain_kernels[0] if single else torch.cat(plain_kernels, dim=1)
    out = conv3x3(inputs.contiguous(memory_format=torch.channels_last), kernel, bias)
    out = out.contiguous(memory_format=torch.channels_last)
    for x, kernel in coarse:
        out = add_upsampled_conv3x3(out, x, kernel, align_corners=align_corners)
    return out
