"""Files of several pictures, of which the first is read: animations, pages, and views of a scene."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import re
import struct
from collections.abc import Iterator

from swinseg.datasets.files.headers import (
    GIF_IMAGE,
    SIGNATURE_BYTES,
    FileBytes,
    format_of,
    gif_blocks,
    webp_chunks,
)
from swinseg.datasets.files.heif import AVIF, HEIC, open_heif
from swinseg.datasets.files.orientation import tiff_tags

WHAT = {'GIF': 'frames', 'PNG': 'frames', 'WebP': 'frames', 'TIFF': 'pages'}
"""What the pictures of a format are called; those of the others ``pictures``."""

_MOST_PAGES = 10_000
_SUBFILE_TYPE, _OLD_SUBFILE_TYPE = 254, 255
_REDUCED, _MASK = 1, 4
_OLD_REDUCED = 2
# Multi-Picture Format (CIPA DC-007), in a segment near the beginning of a JPEG.
_MP_SEGMENT = re.compile(rb'\xff\xe2(..)MPF\0', re.DOTALL)
_MP_ENTRIES = 0xB002
_MP_ENTRY_BYTES = 16
_MP_HEAD_BYTES = 2**19
_LARGE_THUMBNAIL = 0x01
# By which phones say that the second picture tells how bright the first is.
_GAIN_MAPS = (b'hdrgm:', b'HDRGainMap', b'urn:iso:std:iso:ts:21496')


def several_pictures(data: FileBytes, name: str) -> str | None:
    """Return a sentence about a file that holds more pictures than the one that is read, else None.

    Args:
        data: the file.
        name: of it.
    """
    count = count_pictures(data)
    if count < 2:
        return None
    what = WHAT.get(format_of(data[:SIGNATURE_BYTES]) or '', 'pictures')
    return (
        f'image {name} holds {count} {what}, of which the first is taken; save each that is meant into a file of '
        'its own'
    )


def several_pictures_of_file(path: str | os.PathLike[str]) -> str | None:
    """Return what ``several_pictures`` does; None too where the file cannot be read, as its reader says."""
    name = os.fspath(path)
    with contextlib.suppress(OSError, ValueError), open(path, 'rb') as file:
        if format_of(file.read(SIGNATURE_BYTES)) is None:
            return None
        # Of a large TIFF a few places are looked at.
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return several_pictures(data, name)
    return None


def count_pictures(data: FileBytes) -> int:
    """Return how many pictures a file holds: 1 for what cannot be told.

    Thumbnails, overviews, masks and gain maps are none.

    Args:
        data: the file.
    """
    kind = format_of(data[:SIGNATURE_BYTES])
    count = 1
    # What is wrong with a damaged file, its reader says.
    with contextlib.suppress(Exception):
        if kind == 'GIF':
            count = sum(data[place] == GIF_IMAGE for place in gif_blocks(data))
        elif kind == 'PNG':
            count = _png_frames(data)
        elif kind == 'WebP':
            count = sum(name == b'ANMF' for name, _, _ in webp_chunks(data))
        elif kind == 'TIFF':
            count = sum(_tiff_pages(data))
        elif kind == 'JPEG':
            count = _jpeg_pictures(data)
        elif kind in (HEIC, AVIF):
            with open_heif(io.BytesIO(data[:]), kind) as opened:
                count = getattr(opened, 'n_frames', 1)
    return max(1, count)


def _png_frames(data: FileBytes) -> int:
    pixels = data.find(b'IDAT')
    control = data.find(b'acTL', 8, pixels)
    return 1 if control < 0 else int.from_bytes(data[control + 4 : control + 8], 'big')


def _tiff_pages(data: FileBytes) -> Iterator[bool]:
    """Yield for each directory whether it is a page."""
    order = '<' if data[:2] == b'II' else '>'
    is_big = data[2:4] in (b'+\0', b'\0+')
    number, entry, offset = ('Q', 20, 'Q') if is_big else ('H', 12, 'I')
    (place,) = struct.unpack_from(order + offset, data, 8 if is_big else 4)
    seen: set[int] = set()
    while place and place not in seen and len(seen) < _MOST_PAGES:
        seen.add(place)
        (entries,) = struct.unpack_from(order + number, data, place)
        place += struct.calcsize(order + number)
        yield not any(
            _is_reduced(data, order, place + index * entry, 12 if is_big else 8)
            for index in range(entries)
        )
        (place,) = struct.unpack_from(order + offset, data, place + entries * entry)


def _is_reduced(data: FileBytes, order: str, place: int, value: int) -> bool:
    """Return whether an entry of a directory says that it is an overview or a mask."""
    tag, kind = struct.unpack_from(order + 'HH', data, place)
    if tag not in (_SUBFILE_TYPE, _OLD_SUBFILE_TYPE):
        return False
    (content,) = struct.unpack_from(order + ('H' if kind == 3 else 'I'), data, place + value)
    return bool(content & (_REDUCED | _MASK)) if tag == _SUBFILE_TYPE else content == _OLD_REDUCED


def _jpeg_pictures(data: FileBytes) -> int:
    head = data[:_MP_HEAD_BYTES]
    found = _MP_SEGMENT.search(head)
    if found is None or any(data.find(mark) >= 0 for mark in _GAIN_MAPS):
        return 1
    content = head[found.end() : found.start() + 2 + int.from_bytes(found[1], 'big')]
    entries = tiff_tags(io.BytesIO(content))[_MP_ENTRIES]
    order = '<' if content[:2] == b'II' else '>'
    kinds = struct.iter_unpack(order + f'I{_MP_ENTRY_BYTES - 4}x', entries)
    return sum(attributes >> 16 & 0xFF != _LARGE_THUMBNAIL for (attributes,) in kinds)
