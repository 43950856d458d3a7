"""Costs of decoding a small image file, counted from its bytes before a decoder sees it.

The number of pixels bounds what decoding costs only where the file has as many parts as a sane writer makes. A
progressive JPEG has about ten scans, but may repeat one a thousand times, each as much work as the first; the
tags of a TIFF may all claim the same megabytes. The bounds here are several times what real files have.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from swinseg.datasets.files.headers import START_OF_SCAN, gif_blocks, jpeg_markers, webp_chunks

JPEG_SCANS = 100
JPEG_SEGMENTS = 10_000
PNG_CHUNKS = 100_000
FRAMES = 2_000
TIFF_ENTRIES = 1_000
TIFF_VALUES = 1_000_000
TIFF_FRACTIONS = 20_000

# Bytes of a value of each TIFF type, as the specification numbers them; 13 to 18 are those of BigTIFF.
_TIFF_SIZES = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8,
}  # fmt: skip
_TIFF_FRACTIONS = (5, 10)


class CostError(ValueError):
    """An image file has more parts of a kind than are decoded; the message is a clause about ``the file``."""


def check_cost(data: bytes, kind: str) -> None:
    """Make sure that an image file has no more parts than are worth decoding.

    Args:
        data: the file.
        kind: its format, as ``format_of`` names it.

    Raises:
        CostError: it has more.
    """
    if kind == 'JPEG':
        _check_jpeg(data)
    elif kind == 'PNG':
        _check_count(_png_chunks(data), 'chunks', PNG_CHUNKS)
    elif kind == 'GIF':
        _check_count(gif_blocks(data), 'frames', FRAMES)
    elif kind == 'WebP':
        _check_count(webp_chunks(data), 'frames', FRAMES)
    elif kind == 'TIFF':
        _check_tiff(data)


def _check_jpeg(data: bytes) -> None:
    scans = 0
    for number, marker in enumerate(jpeg_markers(data)):
        scans += marker == START_OF_SCAN
        if scans > JPEG_SCANS:
            raise _too_many('scans', JPEG_SCANS)
        if number > JPEG_SEGMENTS:
            raise _too_many('segments', JPEG_SEGMENTS)


def _check_count(parts: Iterator[object], what: str, most: int) -> None:
    for number, _ in enumerate(parts, 1):
        if number > most:
            raise _too_many(what, most)


def _png_chunks(data: bytes) -> Iterator[int]:
    position = 8
    while position + 8 <= len(data):
        yield position
        position += 12 + int.from_bytes(data[position : position + 4], 'big')


def _check_tiff(data: bytes) -> None:
    """Check the first directory of a TIFF, the only one that is decoded."""
    order = '<' if data[:2] == b'II' else '>'
    big = b'+' in data[2:4]
    try:
        entries = list(_tiff_entries(data, order, big))
    except struct.error:  # It is cut short; the decoder says so.
        return
    if len(entries) > TIFF_ENTRIES:
        raise _too_many('tags', TIFF_ENTRIES)
    values = fractions = size = 0
    for kind, count in entries:
        value_size = _TIFF_SIZES.get(kind, 8)
        size += count * value_size
        values += count * (value_size > 1)
        fractions += count * (kind in _TIFF_FRACTIONS)
    if values > TIFF_VALUES or fractions > TIFF_FRACTIONS:
        raise _too_many(
            'values in its tags', TIFF_VALUES if values > TIFF_VALUES else TIFF_FRACTIONS
        )
    if size > len(data) + 8 * len(entries):
        raise CostError('claims more bytes in its tags than it has')


def _tiff_entries(data: bytes, order: str, big: bool) -> Iterator[tuple[int, int]]:
    """Yield type and number of values of each entry, one more than are allowed at most."""
    first, count, entry = ('Q', 'Q', 'HHQQ') if big else ('I', 'H', 'HHII')
    (place,) = struct.unpack_from(order + first, data, 8 if big else 4)
    (number,) = struct.unpack_from(order + count, data, place)
    place += struct.calcsize(order + count)
    for _ in range(min(number, TIFF_ENTRIES + 1)):
        _, kind, values, _ = struct.unpack_from(order + entry, data, place)
        yield kind, values
        place += struct.calcsize(order + entry)


def _too_many(what: str, most: int) -> CostError:
    return CostError(f'has more than {most:,} {what}')
