"""What the bytes of an image file tell before they are decoded: its format, and whether it is complete.

OpenCV fills the missing part of a truncated JPEG with grey and returns it as if nothing had happened, and
so do most decoders unless asked. The functions here walk a file's segments, which is a few microseconds
beside the decoding. The module imports nothing else, so that a process that only decodes stays small.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_SIGNATURES = (
    (b'\xff\xd8\xff', 'JPEG'),
    (b'\x89PNG\r\n\x1a\n', 'PNG'),
    (b'BM', 'BMP'),
    (b'GIF8', 'GIF'),
    (b'II*\x00', 'TIFF'),
    (b'MM\x00*', 'TIFF'),
    (b'II+\x00', 'TIFF'),
    (b'MM\x00+', 'TIFF'),
    (b'\x00\x00\x00\x0cjP  ', 'JPEG 2000'),
    (b'P2', 'PNM'),
    (b'P3', 'PNM'),
    (b'P4', 'PNM'),
    (b'P5', 'PNM'),
    (b'P6', 'PNM'),
)

# Inside a scan, 0xFF is followed by 0x00 (a stuffed byte), by a restart marker, or by more 0xFF.
_MARKER_AFTER_SCAN = re.compile(rb'\xff[^\x00\xd0-\xd7\xff]')
_END_OF_IMAGE = 0xD9
START_OF_SCAN = 0xDA
"""Marker before each scan of a JPEG."""
_MARKERS_WITHOUT_LENGTH = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})


def format_of(data: bytes) -> str | None:
    """Name the image format that ``data`` begins as, or None where it is none that we know."""
    if data.startswith(b'RIFF') and data[8:12] == b'WEBP':
        return 'WebP'
    return next((name for signature, name in _SIGNATURES if data.startswith(signature)), None)


def jpeg_is_complete(data: bytes) -> bool:
    """Whether the first picture of a JPEG file has its end-of-image marker.

    Segments are skipped by their length, so neither a thumbnail inside EXIF nor further pictures or other
    bytes after the end count.

    Args:
        data: the file, beginning with a start-of-image marker.
    """
    return _END_OF_IMAGE in jpeg_markers(data)


def jpeg_markers(data: bytes) -> Iterator[int]:
    """Walk the markers of the first picture of a JPEG file, the end-of-image marker included where there is one.

    Args:
        data: the file, beginning with a start-of-image marker.
    """
    position, size = 2, len(data)
    while True:
        position = data.find(b'\xff', position)
        if position < 0 or position + 1 >= size:
            return
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        position += 2
        yield marker
        if marker == _END_OF_IMAGE:
            return
        if marker in _MARKERS_WITHOUT_LENGTH:
            continue
        position += max(2, int.from_bytes(data[position : position + 2], 'big'))
        if marker == START_OF_SCAN:
            found = _MARKER_AFTER_SCAN.search(data, position)
            if found is None:
                return
            position = found.start()


def png_chunks(data: bytes) -> tuple[frozenset[bytes], bool]:
    """Walk the chunks of a PNG file.

    Returns:
        The names of its chunks, and whether the closing IEND chunk is there in full.
    """
    names: set[bytes] = set()
    position, size = 8, len(data)
    while position + 8 <= size:
        length = int.from_bytes(data[position : position + 4], 'big')
        name = data[position + 4 : position + 8]
        position += 12 + length
        if position > size:
            break
        names.add(name)
        if name == b'IEND':
            return frozenset(names), True
    return frozenset(names), False


def is_complete(data: bytes) -> bool:
    """Whether a JPEG or PNG file has the mark at its end; other formats have none, and count as complete."""
    found = format_of(data)
    if found == 'JPEG':
        return jpeg_is_complete(data)
    return found != 'PNG' or png_chunks(data)[1]
