"""Headers of image files: format, and whether the bytes are complete, before anything is decoded.

OpenCV fills the missing part of a truncated JPEG with gray and returns it as if nothing had happened, and
so do most decoders unless asked. The functions here walk a file's segments, which is a few microseconds
beside the decoding. The module imports nothing else, so that a process that only decodes stays small.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator

FileBytes = bytes | mmap.mmap
"""A file in memory, or mapped, of which only the places that are looked at are read."""

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

SIGNATURE_BYTES = 64
"""Of a file, that tell its format."""

AVIF_BRANDS = (b'avif', b'avis')
PICTURE_BRANDS = (
    b'heic', b'heix', b'hevc', b'hevx', b'heim', b'heis', b'hevm', b'hevs', b'mif1', b'msf1', b'miaf',
    *AVIF_BRANDS,
)  # fmt: skip
"""First brands of HEIC and AVIF files, whose boxes are those of MP4 (ISO/IEC 23008-12)."""

# Inside a scan, 0xFF is followed by 0x00 (a stuffed byte), by a restart marker, or by more 0xFF.
_MARKER_AFTER_SCAN = re.compile(rb'\xff[^\x00\xd0-\xd7\xff]')
_END_OF_IMAGE = 0xD9
GIF_IMAGE = 0x2C
"""With which an image in a GIF begins."""

START_OF_SCAN = 0xDA
"""Marker before each scan of a JPEG."""
_MARKERS_WITHOUT_LENGTH = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})


def format_of(data: bytes) -> str | None:
    """Name the image format that ``data`` begins as, or None where it is none that we know.

    Args:
        data: the first :data:`SIGNATURE_BYTES` of a file, or more.
    """
    if data.startswith(b'RIFF') and data[8:12] == b'WEBP':
        return 'WebP'
    if data[4:8] == b'ftyp' and data[8:12] in PICTURE_BRANDS:
        return 'AVIF' if any(brand in AVIF_BRANDS for brand in _brands(data)) else 'HEIC'
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
    """Whether a file is all there.

    A JPEG and a PNG have a mark at their end, and HEIC and AVIF are boxes that tell their lengths; other formats
    count as complete.
    """
    found = format_of(data)
    if found == 'JPEG':
        return jpeg_is_complete(data)
    if found in ('HEIC', 'AVIF'):
        return _boxes_are_complete(data)
    return found != 'PNG' or png_chunks(data)[1]


def _brands(data: bytes) -> Iterator[bytes]:
    end = min(len(data), int.from_bytes(data[:4], 'big'))
    yield data[8:12]
    for position in range(16, end - 3, 4):
        yield data[position : position + 4]


def _boxes_are_complete(data: bytes) -> bool:
    position = 0
    while position + 8 <= len(data):
        size = int.from_bytes(data[position : position + 4], 'big')
        if size == 0:  # up to the end
            return True
        if size == 1:
            size = int.from_bytes(data[position + 8 : position + 16], 'big')
        if size < 8:
            return True  # damaged, as its reader says
        position += size
    return position <= len(data)


def gif_blocks(data: FileBytes) -> Iterator[int]:
    """Walk the images and extensions of a GIF: yield where each begins, with 0x2C or 0x21."""
    position = 13 + _gif_colors(data, 10)
    while position < len(data) and data[position] in (0x21, GIF_IMAGE):
        yield position
        if data[position] == GIF_IMAGE:
            # Its place and size, its colors, the size of its codes.
            position += 11 + _gif_colors(data, position + 9)
        else:
            position += 2
        while position < len(data) and data[position]:
            # Blocks of up to 255 bytes, up to an empty one.
            position += 1 + data[position]
        position += 1


def _gif_colors(data: FileBytes, place: int) -> int:
    """Return the bytes of the table of colors that the flags at ``place`` announce."""
    flags = data[place] if place < len(data) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def webp_chunks(data: FileBytes) -> Iterator[tuple[bytes, int, int]]:
    """Walk the chunks of a WebP: yield the name of each, and where its contents begin and end."""
    position = 12
    while position + 8 <= len(data):
        length = int.from_bytes(data[position + 4 : position + 8], 'little')
        yield data[position : position + 4], position + 8, position + 8 + length
        position += 8 + length + length % 2
