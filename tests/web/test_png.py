"""The page's own reader of PNG files, in a browser, against files of Pillow and of the encoder below."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import swinseg
from support.browser import launched_browser
from support.static_server import served_folder

STATIC = Path(swinseg.__file__).parent / 'web' / 'static'

READ = """async (bytes) => {
  const { readPng } = await import('/png.js');
  const { width, height, values } = await readPng(Uint8Array.from(bytes));
  return { width, height, values: [...values], bits: 8 * values.BYTES_PER_ELEMENT };
}"""


@pytest.fixture(scope='module')
def read() -> Iterator[Callable[[bytes], NDArray[np.uint16]]]:
    """What the page's reader makes of the bytes of a PNG."""
    with served_folder(STATIC) as address, launched_browser() as browser:
        page = browser.new_page()
        page.goto(f'{address}icon.svg')

        def read(png: bytes) -> NDArray[np.uint16]:
            answer = page.evaluate(READ, list(png))
            dtype = np.uint16 if answer['bits'] == 16 else np.uint8
            return np.array(answer['values'], dtype).reshape(answer['height'], answer['width'])

        yield read


def encode(pixels: NDArray[np.integer], *, filters: tuple[int, ...]) -> bytes:
    """Write a gray PNG of 8 or 16 bits whose rows take these filters in turn."""
    height, width = pixels.shape
    step = pixels.dtype.itemsize
    rows = pixels.astype(pixels.dtype.newbyteorder('>')).view(np.uint8).reshape(height, -1)
    rows = rows.astype(int)
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    left = np.pad(rows, ((0, 0), (step, 0)))[:, :-step]
    corner = np.pad(above, ((0, 0), (step, 0)))[:, :-step]
    guess = left + above - corner
    nearest = np.argmin([abs(guess - left), abs(guess - above), abs(guess - corner)], axis=0)
    paeth = np.choose(nearest, [left, above, corner])
    predicted = [np.zeros_like(rows), left, above, (left + above) // 2, paeth]
    content = b''
    for y in range(height):
        kind = filters[y % len(filters)]
        content += bytes([kind, *((rows[y] - predicted[kind][y]) % 256).tolist()])
    header = struct.pack('>IIBBBBB', width, height, 8 * step, 0, 0, 0, 0)
    # Two IDAT chunks, as larger files have.
    packed = zlib.compress(content)
    parts = [(b'IHDR', header), (b'IDAT', packed[:20]), (b'IDAT', packed[20:]), (b'IEND', b'')]
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(part)) + kind + part + struct.pack('>I', zlib.crc32(kind + part))
        for kind, part in parts
    )


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_read_png__filters(read, dtype):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (23, 17), dtype)
    png = encode(pixels, filters=(4, 0, 1, 2, 3, 4))

    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), pixels)
    np.testing.assert_array_equal(read(png), pixels)


@pytest.mark.parametrize(('bits', 'width'), [(1, 13), (2, 7), (4, 5), (8, 6)])
def test_read_png__indexed(read, bits, width):
    pixels = np.random.default_rng(1).integers(0, 2**bits, (9, width), np.uint8)
    image = Image.fromarray(pixels)
    # The same color for all: what counts are the indices.
    image.putpalette([120] * 3 * 2**bits)
    file = io.BytesIO()
    image.save(file, 'PNG', bits=bits)

    np.testing.assert_array_equal(read(file.getvalue()), pixels)


def test_read_png__what_is_none(read):
    gray = encode(np.zeros((40, 30), np.uint8), filters=(0,))
    color = io.BytesIO()
    Image.new('RGB', (4, 4)).save(color, 'PNG')

    with pytest.raises(Exception, match='this is no PNG'):
        read(b'GIF89a' + gray)
    with pytest.raises(Exception, match='more than one channel'):
        read(color.getvalue())
    with pytest.raises(Exception, match='unknown filter 7'):
        read(encode_with_filter_byte(gray, 7))


def encode_with_filter_byte(png: bytes, kind: int) -> bytes:
    """Return a PNG of 30 x 40 zeros with another filter in all of its rows."""
    head = png[: png.index(b'IDAT') - 4]
    packed = zlib.compress(bytes([kind, *[0] * 30]) * 40)
    return head + struct.pack('>I', len(packed)) + b'IDAT' + packed + b'\0' * 4
