"""One image is one array: to training's loader, the predictor, a photograph, a scene, and the server."""

import io
import warnings

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image, ImageOps, features

from support.heif import heic, heic_pixels
from swinseg.datasets.files.value_range import ValueRange
from swinseg.datasets.transforms.loading import LoadImage
from swinseg.inference import open_image
from swinseg.predictor import Predictor
from swinseg.segment.batch import segment_image
from swinseg.web.decoding.images import decode

H, W = 30, 44
RGB = cv2.resize(np.random.default_rng(2).integers(0, 256, (5, 6, 3), np.uint8), (W, H))
SETTING = [[0, 4080], [160, 4095], [0, 3000]]


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def deep(pixels):
    return cv2.imencode('.png', pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1].tobytes()


def quarter_turn():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def tiff(pixels, **options):
    bands = pixels.shape[2]
    with warnings.catch_warnings(), rasterio.MemoryFile() as memory:
        warnings.simplefilter('ignore')
        with memory.open(
            driver='GTiff', height=H, width=W, count=bands, dtype=pixels.dtype, **options
        ) as file:
            file.write(pixels.transpose(2, 0, 1))
        return memory.read()


def palette_tiff():
    with warnings.catch_warnings(), rasterio.MemoryFile() as memory:
        warnings.simplefilter('ignore')
        with memory.open(
            driver='GTiff', height=H, width=W, count=1, dtype='uint8', photometric='palette'
        ) as file:
            file.write(np.asarray(QUANTIZED), 1)
            colors = np.reshape(QUANTIZED.getpalette(), (-1, 3)).tolist()
            file.write_colormap(1, {i: (*color, 255) for i, color in enumerate(colors)})
        return memory.read()


def webp_with_prefix():
    """EXIF that begins as in a JPEG, as many programs write it."""
    exif = b'Exif\0\0' + quarter_turn().tobytes().removeprefix(b'Exif\0\0')
    return saved(PHOTO, 'WEBP', lossless=True, exif=exif)


PHOTO = Image.fromarray(RGB)
QUANTIZED = PHOTO.quantize(16)
GRAY = RGB[..., :1].repeat(3, 2)
TURNED = np.asarray(
    ImageOps.exif_transpose(Image.open(io.BytesIO(saved(PHOTO, 'PNG', exif=quarter_turn()))))
)
TWELVE = RGB.astype(np.uint16) * 16
SIXTEEN = RGB.astype(np.uint16) * 257
FLOAT = RGB.astype(np.float32) * 16
HOLED = np.where(np.arange(W)[:, None] < 4, np.float32(np.nan), FLOAT)
ENDLESS = np.where(np.arange(W)[:, None] < 4, np.float32(np.inf), FLOAT)
COLORS = dict(photometric='rgb')
JPEG = saved(PHOTO, 'JPEG', exif=quarter_turn(), quality=95)
TO_8_BITS = ValueRange.of(SETTING).to_8_bits
KINDS = {
    'png': (saved(PHOTO, 'PNG'), RGB),
    'gray': (saved(Image.fromarray(RGB[..., 0]), 'PNG'), GRAY),
    'alpha': (saved(Image.fromarray(np.dstack([RGB, RGB[..., 0]])), 'PNG'), RGB),
    'palette': (saved(QUANTIZED, 'PNG'), np.asarray(QUANTIZED.convert('RGB'))),
    'jpeg turned by its EXIF': (JPEG, np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(JPEG))))),
    '12 bits': (deep(TWELVE), TO_8_BITS(TWELVE)),
    '16 bits': (deep(SIXTEEN), TO_8_BITS(SIXTEEN)),
    'gray of 12 bits': (deep(TWELVE[..., 0]), TO_8_BITS(TWELVE[..., [0, 0, 0]])),
    'TIFF of 12 bits': (tiff(TWELVE, nbits=12, **COLORS), TO_8_BITS(TWELVE)),
    'TIFF of 16 bits': (tiff(SIXTEEN, **COLORS), TO_8_BITS(SIXTEEN)),
    'TIFF of floats': (tiff(FLOAT, **COLORS), TO_8_BITS(FLOAT)),
    'TIFF with NaN': (tiff(HOLED, **COLORS), TO_8_BITS(np.nan_to_num(HOLED, nan=-1))),
    'TIFF with infinity': (tiff(ENDLESS, **COLORS), TO_8_BITS(np.where(np.isinf(ENDLESS), -1, ENDLESS))),
    'gray TIFF of floats': (tiff(FLOAT[..., :1]), TO_8_BITS(FLOAT[..., [0, 0, 0]])),
    'TIFF with a palette': (palette_tiff(), np.asarray(QUANTIZED.convert('RGB'))),
    'gray TIFF': (tiff(RGB[..., :1]), GRAY),
    'TIFF with alpha': (tiff(np.dstack([RGB, RGB[..., 0]]), alpha='yes', **COLORS), RGB),
    'TIFF turned': (saved(PHOTO, 'TIFF', tiffinfo={274: 6}), TURNED),
    'PNG turned': (saved(PHOTO, 'PNG', exif=quarter_turn()), TURNED),
    'WebP turned': (webp_with_prefix(), TURNED),
}  # fmt: skip


@pytest.fixture(scope='module')
def told(predictor):
    """A predictor that was told what values of more than 8 bits mean, and resizes nothing."""
    steps = [dict(type='LoadImage', value_range=SETTING), dict(type='PackSegInputs')]
    return Predictor(predictor.model, steps, classes=predictor.classes)


def check(told, path, data, expected, most=0):
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        trained = LoadImage(value_range=SETTING).transform({'img_path': str(path)})['img']
        predicted = told._pipeline.load(path)['img']
        photograph = segment_image(told, path).image
        scene = open_image(path, value_range=told.value_range)
        by_windows = scene.read(0, *expected.shape[:1], 0, expected.shape[1])
        sent = decode(data, pixels=H * W, value_range=told.value_range)
    assert np.abs(trained[..., ::-1].astype(int) - expected).max() <= most
    np.testing.assert_array_equal(predicted, trained)
    np.testing.assert_array_equal(photograph, trained[..., ::-1])
    np.testing.assert_array_equal(by_windows, trained[..., ::-1])
    np.testing.assert_array_equal(sent, trained[..., ::-1])


@pytest.mark.parametrize('kind', KINDS)
def test_one_array(told, kind, tmp_path):
    # libjpeg of Pillow and of OpenCV round colors apart.
    check(told, tmp_path / 'image', *KINDS[kind], most=3 if 'jpeg' in kind else 0)


@pytest.mark.skipif(not features.check('avif'), reason='Pillow was built without AVIF')
def test_one_array__of_avif(told, tmp_path):
    data = saved(PHOTO, 'AVIF', exif=quarter_turn())
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert('RGB'))
    assert expected.shape == TURNED.shape
    check(told, tmp_path / 'image', data, expected)


def test_one_array__of_heic(told, tmp_path):
    data = heic(RGB)
    check(told, tmp_path / 'image', data, heic_pixels(data))


@pytest.mark.parametrize('given', [TWELVE, SIXTEEN, FLOAT, HOLED], ids=['12', '16', 'float', 'NaN'])
def test_array__is_what_a_file_of_it_is(told, given, tmp_path):
    path = tmp_path / 'a.tif'
    path.write_bytes(tiff(given, **COLORS))
    array = told._pipeline.load(given)['img']
    np.testing.assert_array_equal(array, told._pipeline.load(path)['img'])
