"""One image is one array: to the training's loader, the predictor, a scene by windows, and the server."""

import io
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from swinseg.datasets.transforms import LoadImage
from swinseg.datasets.value_range import ValueRange
from swinseg.inference import open_image
from swinseg.predictor.pipeline import Pipeline
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


def upside_down():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


PHOTO = Image.fromarray(RGB)
GREY = RGB[..., :1].repeat(3, 2)
TWELVE = RGB.astype(np.uint16) * 16
SIXTEEN = RGB.astype(np.uint16) * 257
JPEG = saved(PHOTO, 'JPEG', exif=upside_down(), quality=95)
KINDS = {
    'png': (saved(PHOTO, 'PNG'), RGB),
    'grey': (saved(Image.fromarray(RGB[..., 0]), 'PNG'), GREY),
    'alpha': (saved(Image.fromarray(np.dstack([RGB, RGB[..., 0]])), 'PNG'), RGB),
    'palette': (saved(PHOTO.quantize(16), 'PNG'), np.asarray(PHOTO.quantize(16).convert('RGB'))),
    'jpeg turned by its EXIF': (JPEG, np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(JPEG))))),
    '12 bits': (deep(TWELVE), ValueRange.of(SETTING).to_8_bits(TWELVE)),
    '16 bits': (deep(SIXTEEN), ValueRange.of(SETTING).to_8_bits(SIXTEEN)),
    'grey of 12 bits': (deep(TWELVE[..., 0]), ValueRange.of(SETTING).to_8_bits(TWELVE[..., [0, 0, 0]])),
}  # fmt: skip


@pytest.mark.parametrize('kind', KINDS)
def test_one_array(kind, tmp_path):
    data, expected = KINDS[kind]
    path = tmp_path / 'image'
    path.write_bytes(data)
    # libjpeg of Pillow and of OpenCV round colours apart.
    most = 3 if 'jpeg' in kind else 0
    loader = dict(type='LoadImage', value_range=SETTING)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        trained = LoadImage(value_range=SETTING).transform({'img_path': str(path)})['img']
        predicted = Pipeline([loader], None).load(path)['img']
        scene = open_image(path, value_range=ValueRange.of(SETTING))
        by_windows = scene.read(0, *expected.shape[:1], 0, expected.shape[1])
        sent = decode(data, pixels=H * W, value_range=ValueRange.of(SETTING))
    assert np.abs(trained[..., ::-1].astype(int) - expected).max() <= most
    np.testing.assert_array_equal(predicted, trained)
    np.testing.assert_array_equal(by_windows, trained[..., ::-1])
    np.testing.assert_array_equal(sent, trained[..., ::-1])
    if '12' in kind or '16' in kind:
        given = TWELVE if '12' in kind else SIXTEEN
        if 'grey' not in kind:
            array = Pipeline([loader], None).load(given)['img']
            np.testing.assert_array_equal(array, trained)
