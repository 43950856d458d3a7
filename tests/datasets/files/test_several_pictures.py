"""Files of several pictures: counted, the first one read, and said once per file."""

import struct
import warnings

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.enums import Resampling

from support.encoded_images import saved
from swinseg.datasets.check.pair import Job, Loading, inspect_pair
from swinseg.datasets.check.rules.files import several_picture_findings
from swinseg.datasets.files import several_pictures as several_pictures_module
from swinseg.datasets.files.decoding import decode
from swinseg.datasets.files.several_pictures import count_pictures, several_pictures
from swinseg.datasets.labels.map import LabelRule
from swinseg.inference import open_image
from swinseg.predictor.pipeline import Pipeline

COLORS = [(200, 30, 40), (10, 220, 60), (20, 50, 210)]
FIRST, *OTHERS = (Image.new('RGB', (64, 48), color) for color in COLORS)
ANIMATED = dict(save_all=True, append_images=OTHERS)
SEVERAL = {
    'a.gif': (saved(FIRST, 'GIF', **ANIMATED, loop=0), 'frames'),
    'a.png': (saved(FIRST, 'PNG', **ANIMATED), 'frames'),
    'a.webp': (saved(FIRST, 'WEBP', **ANIMATED, lossless=True), 'frames'),
    'a.tif': (saved(FIRST, 'TIFF', **ANIMATED), 'pages'),
    'big.tif': (saved(FIRST, 'TIFF', **ANIMATED, big_tiff=True), 'pages'),
    'a.mpo': (saved(FIRST, 'MPO', **ANIMATED, quality=95), 'pictures'),
    'a.avif': (saved(FIRST, 'AVIF', **ANIMATED, quality=95), 'pictures'),
}
ONE = {
    **{
        kind: saved(FIRST, kind)
        for kind in ('GIF', 'PNG', 'WEBP', 'TIFF', 'JPEG', 'BMP', 'PPM', 'AVIF')
    },
    'nothing': b'',
    'text': b'text',
}


@pytest.mark.parametrize('name', SEVERAL)
def test_first__is_read_and_said(tmp_path, name):
    data, what = SEVERAL[name]
    assert count_pictures(data) == 3
    sentence = several_pictures(data, name)
    assert sentence.startswith(f'image {name} holds 3 {what}, of which the first is taken; save')
    assert np.abs(decode(data).astype(int) - COLORS[0][::-1]).max() < 8
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.warns(UserWarning, match='of which the first is taken') as predicted:
        Pipeline([dict(type='LoadImage')], None).load(path)
    with pytest.warns(UserWarning, match='of which the first is taken') as by_windows:
        open_image(path)
    assert len(predicted) == len(by_windows) == 1
    facts = inspect_pair(Job(str(path), None, LabelRule(num_classes=3)), Loading())
    (finding,) = several_picture_findings('train', [facts])
    assert (finding.code, finding.severity, finding.files) == (
        'several-pictures', 'warning', (str(path),),
    )  # fmt: skip
    (finding,) = several_picture_findings('train', [facts, facts])
    assert finding.sentence.startswith('2 images hold more pictures than the one that is read')


@pytest.mark.parametrize('kind', ONE)
def test_one_picture(tmp_path, kind):
    assert count_pictures(ONE[kind]) == 1
    assert several_pictures(ONE[kind], 'a') is None


def test_tiff__overviews_and_masks_are_no_pages(tmp_path):
    path = tmp_path / 'a.tif'
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        with rasterio.open(
            path, 'w', driver='GTiff', height=64, width=64, count=3, dtype='uint8'
        ) as file:
            file.write(np.ones((3, 64, 64), np.uint8))
            file.write_mask(np.eye(64, dtype=bool))
        with rasterio.open(path, 'r+') as file:
            file.build_overviews([2, 4], Resampling.nearest)
    data = path.read_bytes()
    assert list(several_pictures_module._tiff_pages(data)) == [
        True,
        False,
        False,
        False,
        False,
        False,
    ]
    assert count_pictures(data) == 1


def test_mpo__thumbnails_and_gain_maps_are_no_pictures():
    data = SEVERAL['a.mpo'][0]
    # The attributes of the second and third entry, which are called large thumbnails.
    entries = data.index(struct.pack('<I', 0x030000)) + 16
    thumbnails = bytearray(data)
    for entry in (entries, entries + 16):
        thumbnails[entry : entry + 4] = struct.pack('<I', 0x010001)
    assert count_pictures(bytes(thumbnails)) == 1
    assert count_pictures(data + b'<rdf:Description hdrgm:Version="1.0"/>') == 1


@pytest.mark.parametrize('name', SEVERAL)
@given(place=st.integers(0, 3000), value=st.integers(0, 255), is_cut=st.booleans())
@settings(max_examples=40, deadline=None)
def test_count__of_any_damage_is_a_number(name, place, value, is_cut):
    data = bytearray(SEVERAL[name][0])
    if is_cut:
        del data[place:]
    elif place < len(data):
        data[place] = value
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        assert count_pictures(bytes(data)) >= 1
