import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.encoded_images import JPEG_KINDS, encoded, jpegs
from swinseg.datasets.files.headers import format_of, jpeg_is_complete, png_chunks

SMALL_JPEG = encoded('.jpg', np.full((9, 9, 3), 90, np.uint8))


@pytest.mark.parametrize('kind', JPEG_KINDS)
def test_jpeg_is_complete__every_kind(photo, kind):
    data = jpegs(photo)[kind]
    assert jpeg_is_complete(data)
    assert jpeg_is_complete(data + b'\x00' * 100)
    assert jpeg_is_complete(data + data[: len(data) // 2])


@pytest.mark.parametrize('kind', JPEG_KINDS)
def test_jpeg_is_complete__no_proper_beginning_is(photo, kind):
    data = jpegs(photo)[kind]
    # The last two bytes are the marker itself.
    assert not any(jpeg_is_complete(data[:length]) for length in range(3, len(data)))


def test_jpeg_is_complete__beginning_padded_with_zeros_is_not(photo):
    data = jpegs(photo)['plain']
    assert not jpeg_is_complete(data[: len(data) // 2] + bytes(len(data) // 2))


@given(tail=st.binary(max_size=64))
@settings(max_examples=30)
def test_jpeg_is_complete__what_follows_the_end_does_not_matter(tail):
    assert jpeg_is_complete(SMALL_JPEG + tail)


def test_jpeg_is_complete__several_pictures_in_one_file(real_data):
    data = (real_data / 'formats' / 'mpo_drone' / 'DJI_0025.JPG').read_bytes()
    assert data.count(b'\xff\xd8\xff') > 1
    assert jpeg_is_complete(data)
    assert not jpeg_is_complete(data[: len(data) // 4])


def test_png_chunks__names_and_completeness(photo):
    data = encoded('.png', photo)
    names, complete = png_chunks(data)
    assert complete
    assert {b'IHDR', b'IDAT', b'IEND'} <= names
    assert png_chunks(data + b'more')[1]
    assert not any(png_chunks(data[:length])[1] for length in range(8, len(data)))


@pytest.mark.parametrize(
    ('suffix', 'expected'),
    [
        ('.jpg', 'JPEG'), ('.png', 'PNG'), ('.bmp', 'BMP'), ('.gif', 'GIF'), ('.tif', 'TIFF'),
        ('.webp', 'WebP'), ('.jp2', 'JPEG 2000'), ('.ppm', 'PNM'),
    ],
)  # fmt: skip
def test_format_of__by_content(photo, suffix, expected):
    assert format_of(encoded(suffix, photo)) == expected


def test_format_of__something_else():
    assert format_of(b'name: road') is None
