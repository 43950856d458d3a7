"""TIFF files of all kinds as pixels: those that were written, whoever reads them, and else a true sentence."""

import io
import sys
import warnings

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image, ImageOps

from swinseg.datasets.files.images import decode_image, decode_label, decode_values
from swinseg.datasets.files.tiff import decode_tiff
from swinseg.datasets.files.value_range import ValueRange
from swinseg.errors import DataError, DecodingError, RequestError
from swinseg.inference import open_image
from swinseg.web.decoding.images import decode

PER_IMAGE = ValueRange(rule='per_image')
H, W = 20, 24
RGB = np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)
FIVE = np.dstack([RGB, RGB[..., 1::-1]])
UNIT = np.random.default_rng(1).random((H, W, 3), np.float32)


def tiff(pixels, **options):
    """Return the bytes of a TIFF of (H, W, C) numbers."""
    profile = dict(driver='GTiff', height=H, width=W, count=pixels.shape[2], dtype=pixels.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with rasterio.MemoryFile() as memory:
            with memory.open(**profile, **options) as file:
                file.write(pixels.transpose(2, 0, 1))
            return memory.read()


def stretched(pixels):
    low, high = np.nanpercentile(pixels.reshape(-1, pixels.shape[2]), (2, 98), axis=0)
    values = np.rint(np.clip((pixels - low) / (high - low) * 255, 0, 255))
    return np.nan_to_num(values).astype(np.uint8)


def with_alpha(pixels, alpha):
    return np.dstack([pixels, np.full((H, W), alpha, pixels.dtype)])


HOLED = np.where(np.arange(W)[:, None] < 4, np.float32(np.nan), UNIT)
COLORS = dict(photometric='rgb')
KINDS = {
    'lzw': (tiff(RGB, compress='lzw', **COLORS), RGB),
    'zstd': (tiff(RGB, compress='zstd', **COLORS), RGB),
    'lerc': (tiff(RGB, compress='lerc', **COLORS), RGB),
    'lzma': (tiff(RGB, compress='lzma', **COLORS), RGB),
    'three bands without roles': (tiff(RGB, photometric='minisblack'), RGB),
    'colors and two more bands': (tiff(FIVE, **COLORS), RGB),
    'transparency': (tiff(with_alpha(RGB, 128), alpha='yes', **COLORS), RGB),
    'gray and transparency': (tiff(with_alpha(RGB[..., :1], 9), alpha='yes'), RGB[..., [0, 0, 0]]),
    'white is zero': (tiff(RGB[..., :1], photometric='miniswhite'), 255 - RGB[..., [0, 0, 0]]),
    '4 bits': (tiff(RGB[..., :1] >> 4, nbits=4), (RGB >> 4)[..., [0, 0, 0]] * 17),
    '1 bit': (tiff(RGB[..., :1] >> 7, nbits=1), (RGB >> 7)[..., [0, 0, 0]] * 255),
    'float32': (tiff(UNIT, compress='deflate', predictor=3, **COLORS), stretched(UNIT)),
    'float64 of one band': (tiff(UNIT[..., :1].astype(float)), stretched(UNIT[..., :1])[..., [0, 0, 0]]),
    'int32': (tiff((UNIT * 1e6).astype(np.int32), **COLORS), stretched((UNIT * 1e6).astype(np.int32))),
    'floats that are none': (tiff(HOLED, **COLORS), stretched(HOLED)),
}  # fmt: skip


@pytest.mark.parametrize('kind', KINDS)
def test_color__is_one_array_in_training_in_a_scene_and_in_the_server(kind, tmp_path):
    data, expected = KINDS[kind]
    path = tmp_path / 'a.tif'
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        image = decode_image(data, path, value_range=PER_IMAGE)
        scene = open_image(path, value_range=PER_IMAGE).read(0, H, 0, W)
    np.testing.assert_array_equal(image[..., ::-1], expected)
    np.testing.assert_array_equal(scene, expected)
    sent = decode(data, pixels=H * W, value_range=PER_IMAGE)
    np.testing.assert_array_equal(sent, expected)
    gray = decode_image(data, path, color_type='grayscale', value_range=PER_IMAGE)
    if decode_values(data, path).dtype == np.uint8:
        expected_gray = cv2.cvtColor(expected, cv2.COLOR_RGB2GRAY)
        assert np.abs(gray.astype(int) - expected_gray).max() <= 1
    assert gray.shape == (H, W)


@pytest.mark.parametrize(
    ('pixels', 'options', 'expected'),
    [
        (FIVE, {}, FIVE),
        (FIVE.astype(np.uint16) * 200, {}, FIVE.astype(np.uint16) * 200),
        (FIVE[..., :4], dict(photometric='minisblack'), FIVE[..., :4]),
        (FIVE[..., :2], {}, FIVE[..., :2]),
        (UNIT, COLORS, UNIT[..., ::-1]),
        (RGB, dict(compress='zstd', **COLORS), RGB[..., ::-1]),
        (with_alpha(RGB, 128), dict(alpha='yes', **COLORS), with_alpha(RGB[..., ::-1], 128)),
        (RGB[..., :1].astype(np.uint16) << 4, dict(nbits=12), RGB[..., 0].astype(np.uint16) << 4),
    ],
    ids=['five', 'five deep', 'four without roles', 'two', 'floats', 'zstd', 'alpha', '12 bits'],
)  # fmt: skip
def test_unchanged__are_the_numbers_in_the_file(pixels, options, expected):
    found = decode_tiff(tiff(pixels, **options), color_type='unchanged')
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('compression', ['raw', 'zstd'])
def test_orientation__turns_photographs_and_windows(tmp_path, orientation, compression):
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, 'TIFF', tiffinfo={274: orientation}, compression=compression)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(buffer)))
    data = buffer.getvalue()
    np.testing.assert_array_equal(decode_tiff(data)[..., ::-1], expected)
    if compression == 'zstd':  # OpenCV turns a TIFF whatever it is told.
        stored = decode_tiff(data, color_type='color_ignore_orientation')
        np.testing.assert_array_equal(stored[..., ::-1], RGB)
    (tmp_path / 'a.tif').write_bytes(data)
    scene = open_image(tmp_path / 'a.tif')
    assert scene.shape == expected.shape[:2]
    np.testing.assert_array_equal(scene.read(3, 11, 5, 20), expected[3:11, 5:20])
    np.testing.assert_array_equal(scene.overview(99)[0], expected)
    assert scene.valid(3, 11, 5, 20).shape == (8, 15)


@pytest.mark.parametrize('kind', ['float32', 'int32', '16 bits', '12 bits'])
def test_more_than_8_bits__mean_something_only_where_it_is_said(kind):
    deep = RGB.astype(np.uint16) * 16
    data = KINDS[kind][0] if kind in KINDS else tiff(deep, nbits=int(kind[:2]), **COLORS)
    with pytest.raises(DataError, match=r'^image a\.tif holds .*-bit .*values, and nothing says'):
        decode_image(data, 'a.tif')
    with pytest.raises(RequestError, match='this server was not told'):
        decode(data, pixels=H * W)
    if kind not in KINDS:
        found = decode_image(data, 'a.tif', value_range=ValueRange.of([0, 4080]))
        np.testing.assert_array_equal(found[..., ::-1], RGB)


def dicom():
    return b'II*\0'.ljust(128, b'\0') + b'DICM' + bytes(99)


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (tiff(FIVE), r'has 5 bands and does not say .* bands=\(1, 2, 3\); to a model with in_channels=5 L'),
        (tiff(FIVE[..., :2]), r'has 2 bands and does not say .* --bands 1,1,1 or bands=\(1, 1, 1\)'),
        (tiff(UNIT.astype(np.complex64)), 'holds complex numbers'),
        (dicom(), 'is a DICOM file that begins like a TIFF'),
        (KINDS['zstd'][0][:-700], 'cannot be decoded as TIFF: .*; copy it again'),
        (b'II*\0\x08\0\0\0', 'cannot be decoded as TIFF: .*; copy it again'),
    ],
    ids=['five bands', 'two bands', 'complex', 'DICOM', 'cut short', 'a header'],
)  # fmt: skip
def test_what_is_not_read__is_called_what_it_is(data, message):
    with pytest.raises(DataError, match=rf'^image street\.tif {message}'):
        decode_image(data, 'street.tif')
    with pytest.raises(RequestError, match=r'the (TIFF )?file .*; send'):
        decode(data, pixels=10**6)


@pytest.mark.parametrize('color_type', ['color', 'unchanged'])
def test_without_rasterio__pillow_or_the_name_of_the_extra(monkeypatch, color_type):
    five = tiff(FIVE)
    monkeypatch.setitem(sys.modules, 'rasterio', None)
    with pytest.raises(
        DecodingError, match=r'5 bands of 8 bits .* OpenCV does not read'
    ) as refused:
        decode_tiff(five, color_type=color_type)
    assert "pip install 'swinseg[raster]'" in refused.value.fix
    plain = decode_tiff(KINDS['transparency'][0], color_type=color_type)
    np.testing.assert_array_equal(plain[..., 2::-1], RGB)
    np.testing.assert_array_equal(
        decode_tiff(KINDS['lzw'][0], color_type=color_type)[..., ::-1], RGB
    )


def test_label__in_a_compression_that_pillow_does_not_know():
    label = RGB[..., :1] % 3
    np.testing.assert_array_equal(
        decode_label(tiff(label, compress='lerc'), 'a.tif'), label[..., 0]
    )
    with pytest.raises(DataError, match=r'a\.tif has several channels \(3 bands\), expected one'):
        decode_label(tiff(RGB, compress='lerc', **COLORS), 'a.tif')
    with pytest.raises(DataError, match=r'label a\.tif cannot be decoded as TIFF'):
        decode_label(KINDS['zstd'][0][:-700], 'a.tif')


def test_another_format__is_not_opened_by_rasterio():
    """A file that names others, given in the place of a TIFF."""
    vrt = b'<VRTDataset rasterXSize="2" rasterYSize="2"><VRTRasterBand/></VRTDataset>'
    with pytest.raises(DecodingError):
        decode_tiff(vrt)
    with pytest.raises(RequestError, match='no image that this server reads'):
        decode(vrt, pixels=100)
