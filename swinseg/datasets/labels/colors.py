"""Labels whose colors and not values say the class: RGB masks, palette files whose numbers mean nothing."""

from __future__ import annotations

import functools
import os

import cv2
import numpy as np
import numpy.typing as npt

from swinseg.datasets.files import headers as image_bytes
from swinseg.datasets.files import images as image_files
from swinseg.datasets.files.value_range import HIGH_BYTE, ValueRange
from swinseg.datasets.labels.dtype import most_classes
from swinseg.datasets.labels.map import Color, LabelRule
from swinseg.errors import LabelColorsError

MAX_COLORED_CLASSES = most_classes(np.uint8, reserved=2)
"""Beside the ignored label the index that follows the last class stands for a color of no class."""
_COLORS = 1 << 24


def decode_colors(data: bytes, path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """Decode a label file to its colors, (H, W, 3) uint8 BGR; transparency is left out.

    Raises:
        DataError: it is a JPEG or the like, or cannot be decoded.
    """
    kind = image_bytes.format_of(data)
    if kind in image_files.LOSSY_FORMATS:
        raise image_files.lossy_label(path, kind)
    # Colors of 16 bits are those of 8 bits, written twice.
    return image_files.decode_image(
        data, path, color_type='color_ignore_orientation', value_range=ValueRange(rule=HIGH_BYTE)
    )


def decode_by_rule(
    data: bytes, path: str | os.PathLike[str], rule: LabelRule
) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """Decode a label file to its raw values, or to the indices of its colors where ``rule`` names colors.

    Args:
        data: from :func:`swinseg.datasets.files.images.read_bytes`.
        path: for the message.
        rule: what the dataset says; its ``colors``, at most 254, are those of the classes.

    Returns:
        (H, W) as of :func:`swinseg.datasets.files.images.decode_label`; or uint8, each the position in
        ``rule.colors``, or ``rule.ignore_index``.

    Raises:
        LabelChannelsError: the file is a picture, and the rule names no colors.
        LabelColorsError: a color belongs to no class and is not ignored.
        DataError: the file is a JPEG or cannot be decoded.
    """
    if rule.colors is None:
        return image_files.decode_label(data, path)
    picture = decode_colors(data, path)
    # OpenCV adds a fourth byte, so that a pixel is one number of 32 bits: 255, red, green, blue.
    packed = cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA).view('<u4')[..., 0] & (_COLORS - 1)
    indices = _color_table(rule.colors, rule.ignore_colors, rule.ignore_index)[packed]
    unknown = indices == len(rule.colors)
    if unknown.any():
        numbers = np.unique(packed[unknown]).tolist()
        number = numbers[0]
        color = [number >> 16, number >> 8 & 255, number & 255]
        others = f' (and {len(numbers) - 1} more such colors)' if len(numbers) > 1 else ''
        raise LabelColorsError(
            f'label {os.fspath(path)} contains the color {color}{others}, which is not that of one of the '
            f'{len(rule.colors)} classes; add its class with palette and classes, or set ignore_colors=[{color}]'
        )
    return indices


@functools.lru_cache(maxsize=2)
def _color_table(
    colors: tuple[Color, ...], ignored: tuple[Color, ...], ignore_index: int
) -> npt.NDArray[np.uint8]:
    """Return (2**24,) uint8: the index of each color 0xRRGGBB; ``len(colors)`` for those that are unknown."""
    table = np.full(_COLORS, len(colors), np.uint8)
    for index, (red, green, blue) in enumerate(colors):
        table[red << 16 | green << 8 | blue] = index
    for red, green, blue in ignored:
        table[red << 16 | green << 8 | blue] = ignore_index
    return table
