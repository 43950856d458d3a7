"""Parts of image files that are counted before a decoder sees them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from support import costly_images as costly
from support.encoded_images import encoded, saved
from swinseg.datasets.files.headers import format_of
from swinseg.web.decoding import costs
from swinseg.web.decoding.costs import CostError, check_cost

RATIONAL, LONG, BYTE, LONG8 = 5, 4, 1, 16
STRIPS, SAMPLES = 273, 258


def check(data: bytes) -> None:
    kind = format_of(data)
    assert kind is not None
    check_cost(data, kind)


@pytest.mark.parametrize(
    ('data', 'words'),
    [
        (costly.jpeg_of_scans(101), '100 scans'),
        (costly.jpeg_of_scans(101, progressive=False), '100 scans'),
        (costly.jpeg_of_segments(10_001), '10,000 segments'),
        (costly.png_of_chunks(100_001), '100,000 chunks'),
        (costly.gif_of_frames(2_001), '2,000 frames'),
        (costly.webp_of_frames(2_001), '2,000 frames'),
        (costly.tiff_of_tags(RATIONAL, 30_000, STRIPS, size=300_000), '20,000 values in its tags'),
        (costly.tiff_of_tags(LONG, 600_000, STRIPS, 279, size=9), '1,000,000 values in its tags'),
        (costly.tiff_of_tags(LONG8, 2**40, STRIPS, size=9, big=True), 'values in its tags'),
        (costly.tiff_of_tags(BYTE, 90_000, 700, 34377, 34675, size=100_000), 'more bytes in its tags'),
        (costly.tiff_of_tags(BYTE, 1, *range(1000, 2001), size=9), '1,000 tags'),
    ],
)  # fmt: skip
def test_refused(data, words):
    with pytest.raises(CostError, match=words):
        check(data)


def test_taken__as_many_parts_as_are_allowed():
    check(costly.jpeg_of_scans(costs.JPEG_SCANS))
    check(costly.gif_of_frames(500))
    check(costly.webp_of_frames(500))
    check(costly.tiff_of_directories(300))
    check(costly.tiff_of_tags(LONG, 20_000, STRIPS, 279, size=80_000 * 2))


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.webp', '.tif', '.bmp', '.ppm', '.gif'])
def test_taken__what_libraries_write(suffix):
    photo = np.random.default_rng(0).integers(0, 256, (97, 61, 3), np.uint8)
    check(encoded(suffix, photo))


@pytest.mark.parametrize(
    'options', [{}, {'tiled': True}, {'compression': 'tiff_lzw'}, {'big_tiff': True}]
)
def test_taken__tiff_of_each_layout(options):
    options.pop('tiled', None)
    check(saved(Image.new('RGB', (900, 700)), 'TIFF', **options))


def test_cut_short__is_left_to_the_decoder():
    for data in (costly.gif_of_frames(3), costly.webp_of_frames(3), costly.tiff_of_directories(2)):
        for length in range(4, min(len(data), 300)):
            check_cost(data[:length], str(format_of(data)))


def test_endless__ends():
    """Chunks and blocks of no length do not hold the walk up."""
    check(b'\x89PNG\r\n\x1a\n' + bytes(50_000))
    check(b'GIF89a' + bytes(7) + b'!' * 5_000)
    check(b'RIFF' + bytes(4) + b'WEBP' + bytes(5_000))
