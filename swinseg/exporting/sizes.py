"""Sizes that are numbers while a module runs, and steps of the graph while it is traced; care for tracers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, TypeAlias

import torch
from torch import Tensor

Size: TypeAlias = Any
"""A length: an int, or the tensor that a tracer records as one, which PyTorch's annotations do not know."""

_are_numbers: ContextVar[bool] = ContextVar('_are_numbers', default=False)


@contextlib.contextmanager
def fixed_sizes() -> Iterator[None]:
    """Within the block, sizes are plain numbers, so that a trace has them as constants."""
    token = _are_numbers.set(True)
    try:
        yield
    finally:
        _are_numbers.reset(token)


def size_of(x: Tensor, *axes: int) -> tuple[Size, ...]:
    """Return the lengths of some axes of a tensor."""
    if _are_numbers.get():
        return tuple(int(x.shape[axis]) for axis in axes)
    return tuple(x.shape[axis] for axis in axes)


def ceil_div(length: Size, part: int) -> Size:
    """Return how many parts hold a length."""
    return (length + part - 1) // part


def cropped(x_BHWC: Tensor, height: Size, width: Size) -> Tensor:
    """Return the H x W at the top left; no step of a graph where sizes are numbers and nothing is cut off."""
    if _are_numbers.get() and tuple(x_BHWC.shape[1:3]) == (height, width):
        return x_BHWC
    if not torch.compiler.is_exporting():
        return x_BHWC[:, :height, :width]
    # torch.export would keep of a slice that it is not longer than what it is cut of.
    rows, columns = (torch.arange(length, device=x_BHWC.device) for length in (height, width))
    return x_BHWC.index_select(1, rows).index_select(2, columns)


def contiguous(x: Tensor) -> Tensor:
    """Copy a permuted tensor into the order of its axes, as reshaping it would.

    Whether a copy can be spared depends on which sizes are 1: ``reshape`` and ``contiguous`` ask that, and
    ``torch.export`` would keep the answer as a condition on the image's size.
    """
    return x.clone(memory_format=torch.contiguous_format)


def permuted(x: Tensor, *axes: int) -> Tensor:
    """Permute axes, for an operation that asks for the order in memory: see :func:`contiguous`."""
    x = x.permute(axes)
    return contiguous(x) if torch.compiler.is_exporting() else x


def as_dtype(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a tensor in a type, without a step of the graph where it has it already."""
    return x if x.dtype == dtype else x.to(dtype)
