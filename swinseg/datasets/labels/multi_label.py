"""Labels of which a pixel may have several at once: bit masks, and one mask file for each class.

Shapes: H, W = size of the label; C = classes; B = bands of a file. Planes are (H, W, C) uint8: 1 where a pixel has
the class, 0 where it has not, and the ignored label where it does not count for it. The classes are the last axis,
as the channels of an image are, so that whatever crops, flips or resizes labels by nearest pixels takes them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from swinseg.datasets.files import images as image_files
from swinseg.datasets.files.banded import count_bands, decode_bands
from swinseg.datasets.files.headers import format_of
from swinseg.datasets.labels.faults import size_sentence
from swinseg.datasets.labels.map import IGNORE_INDEX
from swinseg.errors import DataError, LabelChannelsError

Planes = npt.NDArray[np.uint8]

Layout = Literal['bits', 'folders']
"""One file with a bit for each class, or a folder for each class with one mask for each image."""

Missing = Literal['error', 'empty', 'ignore']
"""What an image without a mask of a class means: a mistake, no pixel of it, or that nobody has looked for it."""

_BITS_OF_A_BYTE = 8
_BIT_DTYPES = (np.uint8, np.uint16, np.uint32, np.uint64)


@dataclass(frozen=True)
class MultiLabelRule:
    """What a dataset says of labels with several classes at a pixel.

    Attributes:
        layout: of the files.
        names: of all classes that the files tell apart: bit k is class k.
        chosen: indices of those that are wanted, in their order; C of them.
        ignore_values: raw values of pixels that do not count, in a bit mask for all classes, in the mask of a
            class for that class.
        ignore_index: what planes hold there.
        missing: what becomes of a class without a file.
    """

    layout: Layout
    names: tuple[str, ...]
    chosen: tuple[int, ...]
    ignore_values: tuple[int, ...] = ()
    ignore_index: int = IGNORE_INDEX
    missing: Missing = 'error'


def load_planes(info: Mapping[str, Any], *, backend_args: dict[str, Any] | None = None) -> Planes:
    """Read the label of an item.

    Args:
        info: a dataset's data of it: ``multi_label``, the rule, with ``seg_map_path`` (bit masks) or
            ``mask_paths`` (one for each of the chosen classes, None where there is none), and ``ori_shape`` where
            the image has been loaded.
        backend_args: mmengine's file backend, or None for the one that the path asks for.

    Returns:
        (H, W, C), a new array.

    Raises:
        DataError: a file is missing, damaged or of another size, or holds values that are none of the rule's.
    """
    rule: MultiLabelRule = info['multi_label']
    expected = info.get('ori_shape')
    if rule.layout == 'bits':
        path = info['seg_map_path']
        data = image_files.read_bytes(path, what='label', backend_args=backend_args)
        planes = planes_of_bits(decode_bits(data, path), path, rule)
        _check_size(path, planes.shape, info, expected)
        return planes
    masks: dict[int, Planes] = {}
    for index, path in enumerate(info['mask_paths']):
        if path is None:
            continue
        data = image_files.read_bytes(path, what='label', backend_args=backend_args)
        mask = plane_of_mask(image_files.decode_label(data, path), path, rule)
        if expected is None:
            expected = mask.shape
        _check_size(path, mask.shape, info, expected)
        masks[index] = mask
    if expected is None:
        raise DataError(
            f'image {info.get("img_path")} has no mask of any class, so the size of its label is not known; put '
            'LoadImage before LoadLabel'
        )
    missing = rule.ignore_index if rule.missing == 'ignore' else 0
    planes = np.full((*expected[:2], len(rule.chosen)), missing, np.uint8)
    for index, mask in masks.items():
        planes[..., index] = mask
    return planes


def decode_bits(data: bytes, path: str | os.PathLike[str]) -> npt.NDArray[np.unsignedinteger]:
    """Decode a file of bit masks: one channel, or the bands of a TIFF.

    Args:
        data: from :func:`swinseg.datasets.files.images.read_bytes`.
        path: for the message.

    Returns:
        (H, W, B) uint8 or uint16; band b has the bits from b times their number of bits on.

    Raises:
        DataError: it has several channels and is no TIFF, holds no whole numbers, or cannot be decoded.
    """
    try:
        return image_files.decode_label(data, path)[..., None]
    except LabelChannelsError as error:
        if format_of(data) != 'TIFF':
            raise DataError(
                f'label {os.fspath(path)} has several channels, but a bit mask has one, of up to 16 bits; save '
                'the masks of more classes as a TIFF of several 8-bit or 16-bit bands'
            ) from error
    with image_files.said_of('label', path):
        every = tuple(range(1, count_bands(data) + 1))
        bands = decode_bands(data, every, ignore_orientation=True).pixels
    if bands.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f'label {os.fspath(path)} holds values of type {bands.dtype}, expected bit masks in bands of 8 or 16 '
            'bits without a sign; save them as uint8 or uint16'
        )
    return bands


def planes_of_bits(
    raw: npt.NDArray[np.unsignedinteger], path: str | os.PathLike[str], rule: MultiLabelRule
) -> Planes:
    """Take bit masks apart.

    Args:
        raw: (H, W, B) uint8 or uint16, from :func:`decode_bits`.
        path: for the message.
        rule: what the dataset says.

    Raises:
        DataError: a bit is set that is no class's, in a pixel that counts.
    """
    height, width, bands = raw.shape
    bits = _BITS_OF_A_BYTE * raw.dtype.itemsize
    ignored = (
        np.isin(raw, rule.ignore_values).all(axis=2)
        if rule.ignore_values
        else np.zeros((height, width), bool)
    )
    count = len(rule.names)
    for band in range(bands):
        known = min(max(count - band * bits, 0), bits)
        if known == bits:
            continue
        wrong = (raw[..., band] >= 1 << known) & ~ignored
        if wrong.any():
            value = int(raw[..., band][wrong].min())
            beyond = value >> known
            first = band * bits + known + (beyond & -beyond).bit_length() - 1
            raise DataError(
                f'bit mask {os.fspath(path)} holds the value {value}, in which bit {first} is set, but the '
                f'{count} classes have the bits 0 to {count - 1}; name the class of the bit, or set '
                f'ignore_values=[{value}] where such pixels do not count'
            )
    planes = np.zeros((height, width, len(rule.chosen)), np.uint8)
    for plane, index in enumerate(rule.chosen):
        band, bit = divmod(index, bits)
        if band < bands:
            planes[..., plane] = raw[..., band] >> np.asarray(bit, raw.dtype) & np.asarray(
                1, raw.dtype
            )
    planes[ignored] = rule.ignore_index
    return planes


def plane_of_mask(
    raw: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    path: str | os.PathLike[str],
    rule: MultiLabelRule,
) -> Planes:
    """Return the (H, W) plane of the mask of one class: 0 where it is not, one other value where it is.

    Args:
        raw: (H, W), from :func:`swinseg.datasets.files.images.decode_label`.
        path: for the message.
        rule: what the dataset says.

    Raises:
        DataError: the mask has more than one value beside 0 and those that are ignored.
    """
    values = [value for value in np.unique(raw).tolist() if value not in rule.ignore_values]
    marks = [value for value in values if value]
    if len(marks) > 1:
        listed = ', '.join(map(str, values[:8])) + (', ...' if len(values) > 8 else '')
        raise DataError(
            f'mask {os.fspath(path)} holds the values {listed}, but the mask of one class has 0 and one other; '
            "index labels are read without multi_label, bit masks with multi_label='bits', and values that do not "
            f'count are named by ignore_values=[{marks[-1]}]'
        )
    plane = (raw == marks[0]).astype(np.uint8) if marks else np.zeros(raw.shape, np.uint8)
    if rule.ignore_values:
        plane[np.isin(raw, rule.ignore_values)] = rule.ignore_index
    return plane


def combinations_of(planes: Planes, *, ignore_index: int = IGNORE_INDEX) -> npt.NDArray[np.uint8]:
    """Number the combinations of classes that occur, as if each were a class of its own.

    Args:
        planes: (H, W, C), or (H, W) where the one class has lost its axis.
        ignore_index: what planes hold where a pixel does not count.

    Returns:
        (H, W) uint8 from 0 on; ``ignore_index`` where a pixel counts for no class. The 250th combination and all
        that follow share a number.
    """
    planes = planes.reshape(*planes.shape[:2], -1)
    bits = np.packbits(planes == 1, axis=2)
    # One number for each pixel, which sorts much faster than rows of bytes.
    numbers: npt.NDArray[Any] = bits[..., 0].astype(np.uint64)
    for index in range(1, bits.shape[2]):
        if index % 8 == 0:
            numbers = np.unique(numbers, return_inverse=True)[1].reshape(numbers.shape)
            numbers = numbers.astype(np.uint64)
        numbers = numbers << np.uint64(8) | bits[..., index]
    _, found = np.unique(numbers, return_inverse=True)
    labels = found.reshape(numbers.shape)
    labels = np.where(labels < ignore_index, labels, labels + 1)
    result = np.minimum(labels, 254 if ignore_index == 255 else 255).astype(np.uint8)
    result[(planes == ignore_index).all(axis=2)] = ignore_index
    return result


def bits_of_masks(
    masks: Iterable[npt.NDArray[np.bool_]], *, classes: int, shape: Sequence[int]
) -> npt.NDArray[np.unsignedinteger]:
    """Put masks together to one bit mask.

    Args:
        masks: of up to 64 classes, each (H, W); taken one after the other.
        classes: how many there are.
        shape: H, W.

    Returns:
        (H, W) uint8 up to 8 classes, then uint16, uint32 or uint64: bit k is class k.
    """
    dtype = next(each for each in _BIT_DTYPES if classes <= 8 * np.dtype(each).itemsize)
    bits = np.zeros(tuple(shape), dtype)
    for index, mask in enumerate(masks):
        bits |= mask.astype(dtype) << dtype(index)
    return bits


def bands_of_bits(bits: npt.NDArray[np.unsignedinteger], classes: int) -> Planes:
    """Return (B, H, W) uint8: bit masks as the bands of a TIFF, of which :func:`decode_bits` reads them."""
    shifts = range(0, classes, 8)
    return np.stack([(bits >> bits.dtype.type(shift)).astype(np.uint8) for shift in shifts])


def _check_size(
    path: str, shape: Sequence[int], info: Mapping[str, Any], expected: Sequence[int] | None
) -> None:
    if expected is not None and tuple(shape[:2]) != tuple(expected[:2]):
        raise DataError(size_sentence(path, shape[:2], info.get('img_path'), expected))
