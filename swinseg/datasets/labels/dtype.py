"""The type that holds labels: 8 bits for up to 256 values, else 16.

A label map is (H, W) class indices. Most sets have few classes, and maps are as large as the images and more: the
smallest type that holds all values is used for arrays, files and tensors alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from swinseg.errors import DataError

LABEL_DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16))
"""What labels are stored as, the smallest first."""


def values_of(dtype: np.dtype[Any] | type[np.unsignedinteger]) -> int:
    """Return how many values a type has."""
    return int(np.iinfo(dtype).max) + 1


MAX_LABEL_VALUES = values_of(LABEL_DTYPES[-1])
"""How many values labels may have; PNG and the color tables of TIFF end here, too."""


def label_dtype(num_classes: int, *, reserved: int = 0) -> np.dtype[Any]:
    """Return the type of labels: uint8 for up to 256 values, else uint16.

    Args:
        num_classes: labels are 0 to ``num_classes - 1``.
        reserved: how many values there are beside those of the classes, such as 1 for a value of pixels without
            data or of ignored pixels (the largest of the type, 255 or 65535), or 1 where labels count from 1.

    Raises:
        DataError: they do not fit 16 bits.
    """
    needed = num_classes + reserved
    for dtype in LABEL_DTYPES:
        if needed <= values_of(dtype):
            return dtype
    beside = f' and {reserved} reserved for pixels of no class' if reserved else ''
    raise DataError(
        f'labels have 16 bits and so at most {MAX_LABEL_VALUES} values, but {num_classes} are needed for the '
        f'classes{beside}; join classes, or leave some out'
    )


def label_tensor_dtype(
    num_classes: int, *, reserved: int = 0, ignore_index: int | None = None
) -> torch.dtype:
    """Return the type of labels in a tensor: uint8 where :func:`label_dtype` is, else int64.

    PyTorch lacks most operations on uint16, and int64 is what its ``argmax`` and mmseg have.

    Args:
        num_classes: as in :func:`label_dtype`.
        reserved: as in :func:`label_dtype`.
        ignore_index: a value that must fit as well, as where a label is cast to the type of a prediction; it may
            be one of the classes' own, or negative. None for none.
    """
    is_small = label_dtype(num_classes, reserved=reserved) == np.uint8
    if ignore_index is not None:
        is_small = is_small and 0 <= ignore_index < values_of(np.uint8)
    return torch.uint8 if is_small else torch.int64


def most_classes(dtype: np.dtype[Any] | type[np.unsignedinteger], *, reserved: int) -> int:
    """Return how many classes fit labels of a type beside the reserved values."""
    return values_of(dtype) - reserved
