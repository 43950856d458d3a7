"""Run-length encoding of the brush masks of Label Studio: runs of bytes, packed bit by bit.

::

    32 bits    number of values: 4 for each pixel, of which the last is its opacity
    5 bits     bits of a value, less 1
    4 x 4 bits bits of a length, less 1, in each of four kinds of runs
    then runs: 1 bit   1 where one value is repeated, 0 where each is given
               2 bits  kind of the length
               length, less 1
               value or values
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.prepare.source import PrepareError

_CHANNELS = 4
_VALUE_BITS = 8
_LENGTH_BITS = (3, 4, 8, 16)
_OPAQUE = 255


class _Bits:
    """Reads numbers, most significant bit first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def read(self, count: int) -> int:
        first, self._position = self._position, self._position + count
        if self._position > 8 * len(self._data):
            raise PrepareError('a brush mask ends in the middle of a run')
        end = (self._position + 7) // 8
        number = int.from_bytes(self._data[first // 8 : end], 'big')
        return number >> (8 * end - self._position) & ((1 << count) - 1)

    def read_bytes(self, count: int) -> NDArray[np.uint8]:
        number = self.read(8 * count)
        return np.frombuffer(number.to_bytes(count, 'big'), np.uint8)


def decode_brush(rle: Sequence[Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of pixels that are not transparent.

    Args:
        rle: bytes as numbers from 0 to 255.
        size: (height, width) of the image.

    Returns:
        (height, width) bool.

    Raises:
        PrepareError: it is no such encoding, or of another size.
    """
    height, width = size
    try:
        bits = _Bits(bytes(rle))
    except (TypeError, ValueError) as error:
        raise PrepareError('a brush mask must be a list of bytes, 0 to 255') from error
    count, value_bits = bits.read(32), bits.read(5) + 1
    if count != _CHANNELS * height * width or value_bits != _VALUE_BITS:
        raise PrepareError(
            f'a brush mask of {height} x {width} pixels must have {_CHANNELS * height * width} values of '
            f'{_VALUE_BITS} bits, but has {count} of {value_bits}'
        )
    length_bits = [bits.read(4) + 1 for _ in range(len(_LENGTH_BITS))]
    values = np.empty(count, np.uint8)
    start = 0
    while start < count:
        is_repeated, kind = divmod(bits.read(3), len(_LENGTH_BITS))
        length = bits.read(length_bits[kind]) + 1
        if start + length > count:
            raise PrepareError(f'a brush mask has a run that is longer than its {count} values')
        end = start + length
        values[start:end] = bits.read(_VALUE_BITS) if is_repeated else bits.read_bytes(length)
        start = end
    return values.reshape(height, width, _CHANNELS)[..., -1] > 0


def encode_brush(mask: NDArray[np.bool_]) -> list[int]:
    """Return the encoding of a (height, width) bool mask, opaque where it is true."""
    flat = mask.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([[0], changes]) if flat.size else changes
    lengths = _CHANNELS * np.diff(starts, append=flat.size)
    fields = [f'{_CHANNELS * flat.size:032b}', f'{_VALUE_BITS - 1:05b}']
    fields += [f'{bits - 1:04b}' for bits in _LENGTH_BITS]
    longest = 1 << _LENGTH_BITS[-1]
    for start, whole in zip(starts.tolist(), lengths.tolist(), strict=True):
        value = f'{_OPAQUE * int(flat[start]):08b}'
        for done in range(0, whole, longest):
            length = min(whole - done, longest)
            kind = next(kind for kind, bits in enumerate(_LENGTH_BITS) if length <= 1 << bits)
            fields.append(f'1{kind:02b}{length - 1:0{_LENGTH_BITS[kind]}b}{value}')
    text = ''.join(fields)
    text += '0' * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, 'big'))
