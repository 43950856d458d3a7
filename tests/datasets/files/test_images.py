import io
import re
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from support.encoded_images import JPEG_KINDS, encoded, jpegs, saved
from swinseg.datasets.files.images import (
    decode_image,
    decode_label,
    jpeg_shape,
    read_bytes,
)
from swinseg.errors import DataError
from swinseg.web.decoding.images import decode


def truncated_jpeg(photo):
    data = jpegs(photo)['plain']
    return data[: len(data) * 2 // 3]


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        (b'', 'is empty (0 bytes)'),
        (
            b'just a few words\n',
            "is not an image: it is a text file (it begins with b'just a few w')",
        ),
        (bytes(range(7, 40)), 'is not an image: it is no image format that can be read'),
        ('truncated jpeg', 'is truncated: the JPEG file ends after'),
        ('truncated png', 'is truncated: the PNG file ends after'),
    ],
)
def test_read_bytes__bad_file(tmp_path, photo, content, expected):
    if content == 'truncated jpeg':
        content = truncated_jpeg(photo)
    elif content == 'truncated png':
        content = encoded('.png', photo)[:-20]
    path = tmp_path / 'street 1.jpg'
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_bytes(path)
    message = str(caught.value)
    assert message.startswith(f'image {path} {expected}')
    assert '\n' not in message


def test_read_bytes__missing_file(tmp_path):
    with pytest.raises(DataError, match=r'^label .*gone\.png does not exist; '):
        read_bytes(tmp_path / 'gone.png', what='label')


@pytest.mark.parametrize(
    'address', ['s3://bucket/a.png', 'gs://bucket/a.png', 'lmdb://a', 'http+petrel://a']
)
def test_read_bytes__an_address_that_mmengine_does_not_read(address):
    message = rf'image {re.escape(address)} cannot be read: mmengine has no file backend .* mount the storage'
    with pytest.raises(DataError, match=message):
        read_bytes(address)


def test_read_bytes__a_backend_that_is_none():
    for backend in (dict(backend='nope'), dict(backend='local', server='x')):
        with pytest.raises(DataError, match='has no file backend for it'):
            read_bytes(__file__, backend_args=backend)


def test_read_bytes__a_file_by_its_address(tmp_path, photo):
    path = tmp_path / 'street 1.png'
    path.write_bytes(encoded('.png', photo))
    assert read_bytes(path.as_uri()) == path.read_bytes()


def test_read_bytes__folder_in_its_place(tmp_path):
    with pytest.raises(DataError, match=r'cannot be read: Is a directory; '):
        read_bytes(tmp_path)


@pytest.mark.parametrize('suffix', ['.png', '.bmp', '.tif', '.webp', '.jp2', '.ppm'])
def test_decode_image__damaged(photo, suffix):
    data = bytearray(encoded(suffix, photo))
    del data[len(data) // 3 : -16]
    with pytest.raises(DataError, match=r'image a\.xyz cannot be decoded as ') as caught:
        decode_image(bytes(data), 'a.xyz')
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('orientation', [1, 3, 6, 8, 9])
def test_jpeg_shape__turns_as_decoding_does(photo, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(photo[..., ::-1]), 'JPEG', exif=exif)
    shape = jpeg_shape(data)
    assert shape == ((56, 40) if orientation in (6, 8) else (40, 56))
    assert decode_image(data, 'a.jpg').shape == (*shape, 3)
    assert decode_image(data, 'a.jpg', color_type='color_ignore_orientation').shape == (40, 56, 3)


@pytest.mark.parametrize('kind', JPEG_KINDS)
@pytest.mark.parametrize('reduction', [2, 4, 8])
def test_decode_image__reduced(photo, kind, reduction):
    data = jpegs(photo)[kind]
    assert jpeg_shape(data) == (40, 56)
    small = decode_image(data, 'a.jpg', reduction=reduction)
    assert small.shape == (40 // reduction, 56 // reduction, 3)
    means = cv2.resize(
        decode_image(data, 'a.jpg'), small.shape[1::-1], interpolation=cv2.INTER_AREA
    )
    assert np.abs(means.astype(int) - small).mean() < 3


def test_jpeg_shape__of_no_jpeg(photo):
    assert jpeg_shape(encoded('.png', photo)) is None
    assert jpeg_shape(b'\xff\xd8\xff' + bytes(40)) is None


LABEL = np.array([[0, 1, 2], [200, 254, 255]], np.uint8)


def palette_image(label=LABEL, **options):
    image = Image.fromarray(label, 'P')
    rng = np.random.default_rng(1)
    image.putpalette(rng.integers(0, 256, 768).astype(np.uint8).tobytes())
    return saved(image, 'PNG', **options)


def gray_png(depth, rows):
    """A grayscale PNG of 1, 2, 4, 8 or 16 bits, from rows of packed bytes."""

    def chunk(name, body):
        return (
            struct.pack('>I', len(body)) + name + body + struct.pack('>I', zlib.crc32(name + body))
        )

    width = len(rows[0]) * 8 // depth
    header = struct.pack('>IIBBBBB', width, len(rows), depth, 0, 0, 0, 0)
    body = zlib.compress(b''.join(b'\x00' + row for row in rows))
    return (
        b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', body) + chunk(b'IEND', b'')
    )


@pytest.mark.parametrize(
    'data',
    [
        encoded('.png', LABEL),
        encoded('.bmp', LABEL),
        encoded('.tif', LABEL),
        palette_image(),
        palette_image(transparency=0),
        saved(Image.fromarray(LABEL), 'PNG', transparency=3),
    ],
    ids=[
        'png',
        'bmp',
        'tif',
        'palette',
        'palette with transparency',
        'gray with transparency',
    ],
)
def test_decode_label__8_bit_kinds(data):
    label = decode_label(data, 'label.png')
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, LABEL)


def test_decode_label__small_palette_is_stored_in_fewer_bits():
    label = np.array([[0, 1, 3, 2], [3, 3, 0, 1]], np.uint8)
    image = Image.fromarray(label, 'P')
    image.putpalette([10, 20, 30] * 4)
    data = saved(image, 'PNG', bits=2)
    assert data[24] == 2
    np.testing.assert_array_equal(decode_label(data, 'label.png'), label)


def test_decode_label__one_bit_is_zero_and_one():
    data = gray_png(1, [b'\xa5', b'\x0f'])
    assert decode_label(data, 'mask.png').tolist() == [[1, 0, 1, 0, 0, 1, 0, 1], [0] * 4 + [1] * 4]


def test_decode_label__16_bit():
    wide = np.array([[0, 1], [1000, 65535]], np.uint16)
    for suffix in ('.png', '.tif'):
        label = decode_label(encoded(suffix, wide), 'label')
        assert label.dtype == np.uint16
        np.testing.assert_array_equal(label, wide)


def test_decode_label__whole_numbers_of_32_bits_that_fit():
    data = saved(Image.fromarray(np.array([[7, 70000 - 5000]], np.int32), 'I'), 'TIFF')
    assert decode_label(data, 'label.tif').tolist() == [[7, 65000]]


@pytest.mark.parametrize(
    ('array', 'expected'),
    [
        (np.array([[0.5, 1.0]], np.float32), 'values of type float32 from 0.5 to 1.0'),
        (np.array([[-1, 1]], np.int32), 'values of type int32 from -1 to 1'),
        (np.array([[1, 70000]], np.int32), 'values of type int32 from 1 to 70000'),
    ],
)
def test_decode_label__no_class_values(array, expected):
    data = saved(Image.fromarray(array), 'TIFF')
    with pytest.raises(DataError, match=expected):
        decode_label(data, 'label.tif')


@pytest.mark.parametrize(
    ('mode', 'channels'),
    [
        ('RGB', '3 channels (RGB)'),
        ('RGBA', '4 channels (RGBA)'),
        ('LA', '2 channels (gray and alpha)'),
    ],
)
@pytest.mark.parametrize('kind', ['PNG', 'TIFF'])
def test_decode_label__several_channels(mode, channels, kind):
    data = saved(Image.fromarray(LABEL).convert(mode), kind)
    with pytest.raises(DataError) as caught:
        decode_label(data, 'label.png')
    message = str(caught.value)
    assert message.startswith(f'label label.png has {channels}, expected one channel')
    assert 'cv2.imwrite(path, cv2.imread(path)[..., 0])' in message


def test_decode_label__jpeg_is_refused(photo):
    with pytest.raises(DataError, match=r'label a\.jpg is a JPEG, whose compression changes'):
        decode_label(jpegs(photo)['gray'], 'a.jpg')


@pytest.mark.parametrize('kind', ['palette', 'gray'])
def test_decode_label__damaged(kind):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8)
    data = bytearray(palette_image(noise) if kind == 'palette' else encoded('.png', noise))
    at = data.index(b'IDAT') + 200
    data[at : at + 40] = bytes(40)
    with pytest.raises(DataError, match=r'label a\.png cannot be decoded as PNG'):
        decode_label(bytes(data), 'a.png')


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('prefix', [b'', b'Exif\0\0'], ids=['plain', 'with prefix'])
def test_decode_image__webp_is_turned_as_its_exif_says(orientation, prefix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    data = saved(
        Image.fromarray(pixels),
        'WEBP',
        lossless=True,
        exif=exif.tobytes().removeprefix(b'Exif\0\0'),
    )
    # Pillow writes the chunk without the prefix.
    start = data.index(b'EXIF')
    content = prefix + data[start + 8 :]
    head = data[:start] + b'EXIF' + len(content).to_bytes(4, 'little')
    data = head[:4] + (len(head + content) - 8).to_bytes(4, 'little') + head[8:] + content
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(decode_image(data, 'a.webp')[..., ::-1], expected)
    np.testing.assert_array_equal(decode(data, pixels=99), expected)
    stored = decode_image(data, 'a.webp', color_type='color_ignore_orientation')
    np.testing.assert_array_equal(stored[..., ::-1], pixels)
