"""Small files that cost much to decode, or to look at."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def jpeg_of_scans(scans: int, *, side: int = 16, progressive: bool = True) -> bytes:
    """Return a JPEG whose last scan is repeated until there are so many."""
    buffer = io.BytesIO()
    Image.new('RGB', (side, side)).save(buffer, 'JPEG', quality=10, progressive=progressive)
    plain = buffer.getvalue()
    last = plain[plain.rfind(b'\xff\xda') : -2]
    return plain[:-2] + last * (scans - plain.count(b'\xff\xda')) + plain[-2:]


def jpeg_of_segments(segments: int) -> bytes:
    """Return a JPEG with so many empty comments."""
    plain = jpeg_of_scans(1)
    return plain[:2] + b'\xff\xfe\x00\x02' * segments + plain[2:]


def tiff_of_tags(kind: int, count: int, *tags: int, size: int, big: bool = False) -> bytes:
    """Return a TIFF, or BigTIFF, where tags claim the same ``count`` values of a type.

    Args:
        kind: the type, as the specification numbers it.
        count: number of values of each tag.
        *tags: that claim them.
        size: bytes of the file, about.
        big: whether it is a BigTIFF.
    """
    small = {
        256: (4, 10),
        257: (4, 10),
        258: (3, 8),
        259: (3, 1),
        262: (3, 1),
        277: (3, 1),
        278: (4, 10),
    }
    number, entry = ('<Q', '<HHQQ') if big else ('<H', '<HHII')
    entries = sorted(dict.fromkeys(tags, (kind, count, -1)).items()) + [
        (tag, (own, 1, value)) for tag, (own, value) in small.items() if tag not in tags
    ]
    head = b'II+\0\x08\0\0\0' + struct.pack('<Q', 16) if big else b'II*\0' + struct.pack('<I', 8)
    data = len(head) + struct.calcsize(number) + len(entries) * struct.calcsize(entry) + 8
    body = b''.join(
        struct.pack(entry, tag, own, values, data if place < 0 else place)
        for tag, (own, values, place) in sorted(entries)
    )
    return (
        head
        + struct.pack(number, len(entries))
        + body
        + bytes(8)
        + bytes(range(1, 250)) * (size // 249)
    )


def tiff_of_directories(count: int) -> bytes:
    """Return a TIFF of so many pages, all of them the same page again."""
    frame = np.zeros((8, 8), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(frame).save(
        buffer, 'TIFF', save_all=True, append_images=[Image.fromarray(frame)] * count
    )
    return buffer.getvalue()


def png_of_chunks(chunks: int) -> bytes:
    """Return a PNG with so many empty chunks of a kind that readers skip."""
    buffer = io.BytesIO()
    Image.new('L', (8, 8)).save(buffer, 'PNG')
    plain = buffer.getvalue()
    empty = struct.pack('>I', 0) + b'skIp' + struct.pack('>I', zlib.crc32(b'skIp'))
    return plain[:33] + empty * chunks + plain[33:]


def gif_of_frames(frames: int) -> bytes:
    """Return a GIF whose frame is repeated."""
    buffer = io.BytesIO()
    Image.new('P', (8, 8)).save(buffer, 'GIF')
    plain = buffer.getvalue()
    frame = plain[plain.index(b',', 13 + 3 * 2) : -1]
    return plain[:-1] + frame * frames + b';'


def webp_of_frames(frames: int) -> bytes:
    """Return an animated WebP whose frame is repeated."""
    buffer = io.BytesIO()
    pictures = [Image.new('RGB', (8, 8), color) for color in ('red', 'blue')]
    pictures[0].save(buffer, 'WEBP', save_all=True, append_images=pictures[1:])
    plain = buffer.getvalue()
    body = plain[12:] + plain[plain.rindex(b'ANMF') :] * frames
    return b'RIFF' + struct.pack('<I', len(body) + 4) + b'WEBP' + body


def empty_png(side: int) -> bytes:
    """Return a PNG of black pixels, a thousandth of their size."""
    buffer = io.BytesIO()
    Image.new('RGB', (side, side)).save(buffer, 'PNG')
    return buffer.getvalue()
