"""HEIC and AVIF through all readers; and what is said where a reader is missing."""

import io
import sys

import numpy as np
import pytest
from PIL import Image, ImageOps, features

from support.encoded_images import saved
from support.heif import heic, heic_pixels
from swinseg.datasets.files import heif as heif_files
from swinseg.datasets.files.decoding import decode
from swinseg.datasets.files.headers import format_of, is_complete
from swinseg.datasets.files.images import IMAGE_SUFFIXES, decode_label, read_bytes
from swinseg.datasets.transforms.loading import LoadImage
from swinseg.errors import DataError, LabelChannelsError, RequestError
from swinseg.inference import open_image
from swinseg.predictor.pipeline import Pipeline
from swinseg.segment.scenes.kinds import why_scene
from swinseg.web.decoding.images import decode as decode_upload

H, W = 40, 64
RGB = np.kron(np.random.default_rng(3).integers(0, 256, (5, 8, 3)), np.ones((8, 8, 1))).astype(
    np.uint8
)
PHOTO = Image.fromarray(RGB)

needs_avif = pytest.mark.skipif(not features.check('avif'), reason='Pillow was built without AVIF')


def avif(image=PHOTO, **options):
    return saved(image, 'AVIF', quality=95, subsampling='4:4:4', **options)


def turned_avif():
    exif = Image.Exif()
    exif[0x0112] = 6
    return avif(exif=exif)


def by_pillow(data):
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert('RGB'))


@pytest.mark.parametrize(
    ('make', 'by_other'),
    [
        pytest.param(avif, by_pillow, marks=needs_avif),
        pytest.param(turned_avif, by_pillow, marks=needs_avif),
        (lambda: heic(RGB), heic_pixels),
    ],
    ids=['AVIF', 'AVIF turned', 'HEIC'],
)
def test_all_readers__agree(tmp_path, make, by_other):
    data = make()
    expected = by_other(data)
    path = tmp_path / 'photo.heic'  # whatever its name says
    path.write_bytes(data)
    assert is_complete(data)
    assert why_scene(path) is None
    trained = LoadImage().transform({'img_path': str(path)})['img'][..., ::-1]
    np.testing.assert_array_equal(trained, expected)
    predicted = Pipeline([dict(type='LoadImage')], None).load(path)['img'][..., ::-1]
    np.testing.assert_array_equal(predicted, expected)
    scene = open_image(path)
    np.testing.assert_array_equal(
        scene.read(0, *expected.shape[:1], 0, expected.shape[1]), expected
    )
    np.testing.assert_array_equal(decode_upload(data, pixels=H * W), expected)
    if expected.shape == RGB.shape:
        assert np.abs(expected.astype(int) - RGB).mean() < 8


@needs_avif
def test_avif__alpha_and_gray():
    data = avif(Image.fromarray(np.dstack([RGB, RGB[..., 0]])))
    with_alpha = decode(data, color_type='unchanged')
    assert with_alpha.shape == (H, W, 4)
    np.testing.assert_array_equal(with_alpha[..., :3], decode(data))
    assert decode(data, color_type='grayscale').shape == (H, W)


@pytest.mark.parametrize('suffix', ['.heic', '.heif', '.hif', '.avif'])
def test_suffixes(suffix):
    assert suffix in IMAGE_SUFFIXES


@pytest.mark.parametrize(
    ('head', 'expected'),
    [
        (b'\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'HEIC'),
        (b'\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf', 'HEIC'),
        (b'\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf', 'AVIF'),
        (b'\0\0\0\x10ftypmif1\0\0\0\0avif', 'HEIC'),  # the brand lies behind the box
        (b'\0\0\0\x1cftypavis\0\0\0\0msf1', 'AVIF'),
        (b'\0\0\0\x1cftypisom\0\0\0\0avif', None),
    ],
)
def test_format_of(head, expected):
    assert format_of(head) == expected


@needs_avif
def test_cut_short__is_said(tmp_path):
    (tmp_path / 'a.avif').write_bytes(avif()[:-20])
    with pytest.raises(DataError, match=r'a\.avif is truncated: the AVIF file ends after'):
        read_bytes(tmp_path / 'a.avif')


@needs_avif
def test_damaged__is_said(tmp_path):
    data = bytearray(avif())
    start = data.index(b'mdat') + 4
    data[start:] = bytes(len(data) - start)
    (tmp_path / 'a.avif').write_bytes(data)
    with pytest.raises(DataError, match=r'a\.avif cannot be decoded as AVIF'):
        LoadImage().transform({'img_path': str(tmp_path / 'a.avif')})


@needs_avif
def test_label__is_refused_as_a_jpeg_is():
    with pytest.raises(
        DataError, match='label a is an AVIF, whose compression changes label values'
    ) as caught:
        decode_label(avif(PHOTO.convert('L')), 'a')
    assert not isinstance(caught.value, LabelChannelsError)


@pytest.mark.parametrize(
    ('data', 'module', 'sentence'),
    [
        (
            b'\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'pillow_heif',
            r"is a HEIC file, which is read by pillow-heif, which is not installed; pip install 'swinseg\[heif\]'",
        ),
        (
            b'\0\0\0\x18ftypavif\0\0\0\0mif1avif', None,
            r"is an AVIF file, which this build of Pillow does not read; pip install 'pillow>=11\.3'",
        ),
    ],
)  # fmt: skip
def test_missing_reader__is_named(tmp_path, monkeypatch, data, module, sentence):
    if module is None:
        monkeypatch.setattr(heif_files.features, 'check', lambda name: None)
    else:
        monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / 'a.heic'
    path.write_bytes(data)
    for read in (
        lambda: LoadImage().transform({'img_path': str(path)}),
        lambda: Pipeline([dict(type='LoadImage')], None).load(path),
        lambda: open_image(path),
    ):
        with pytest.raises(DataError, match=sentence):
            read()
    with pytest.raises(RequestError, match=r'on this server; send it as JPEG or PNG') as caught:
        decode_upload(data, pixels=100)
    assert caught.value.status == 415
