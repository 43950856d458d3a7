"""Image files that are damaged, cut short, swapped about and made to lie about their size."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

FORMATS = ('JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP', 'GIF', 'PPM')


def hostile_uploads(count: int, *, seed: int) -> Iterator[tuple[bytes, str]]:
    """Make uploads out of real files; the same for the same seed.

    Yields:
        The body of a request and its content type; every fifth is a multipart body.
    """
    rng = np.random.default_rng(seed)
    files = _real_files(rng)
    for number in range(count):
        data = bytearray(files[rng.integers(len(files))])
        for _ in range(rng.integers(1, 4)):
            data = _change(data, files, rng)
        if number % 5:
            yield bytes(data), 'application/octet-stream'
        else:
            yield _multipart(data, rng), 'multipart/form-data; boundary=edge'


def _real_files(rng: np.random.Generator) -> list[bytes]:
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    files = []
    for size in ((80, 60), (33, 47)):
        picture = coarse.resize(size)
        variants = [(kind, picture, {}) for kind in FORMATS]
        variants += [
            ('JPEG', picture, {'progressive': True}),
            ('PNG', picture.convert('P'), {}),
            ('TIFF', picture, {'compression': 'tiff_lzw'}),
        ]
        for kind, image, options in variants:
            buffer = io.BytesIO()
            image.save(buffer, kind, **options)
            files.append(buffer.getvalue())
    return files


def _change(data: bytearray, files: list[bytes], rng: np.random.Generator) -> bytearray:
    """Return a copy with one thing wrong; the first bytes, where headers are, are hit as often as all others."""
    size = len(data)
    end = min(size, 64) if rng.random() < 0.5 else size
    where = int(rng.integers(max(1, end)))
    kind = rng.integers(6)
    if kind == 0:
        return data[:where]
    if kind == 1:  # some bytes
        changed = bytearray(data)
        for place in rng.integers(0, max(1, end), 4):
            if place < size:
                changed[place] = rng.integers(256)
        return changed
    if kind == 2:  # numbers that are too large
        return data[:where] + b'\xff' * int(rng.integers(1, 9)) + data[where + 8 :]
    if kind == 3:  # numbers that are nought
        return data[:where] + bytes(int(rng.integers(1, 9))) + data[where + 8 :]
    other = files[rng.integers(len(files))]
    if kind == 4:  # the head of one file, the body of another
        return data[:where] + other[where:]
    return data[:where] + data[where:] * int(rng.integers(2, 5))


def _multipart(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a multipart body, of which half are malformed."""
    head = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="../../x.png"\r\n\r\n'
    body = bytearray(head + data + b'\r\n--edge--\r\n')
    if rng.random() < 0.5:
        body[rng.integers(len(head))] = rng.integers(256)
    return bytes(body)
