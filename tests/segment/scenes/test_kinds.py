"""Which images are segmented by windows."""

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from swinseg.segment.scenes import kinds
from swinseg.segment.scenes.kinds import why_scene


def write_tiff(path, bands=3, dtype='uint8', **options):
    with rasterio.open(
        path, 'w', driver='GTiff', height=20, width=30, count=bands, dtype=dtype, **options
    ) as file:
        file.write(np.ones((bands, 20, 30), dtype))
    return path


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(bands=5, dtype='uint16', photometric='minisblack'),
        dict(BIGTIFF='YES'),
        dict(ENDIANNESS='BIG'),
        dict(bands=1, dtype='float32'),
    ],
    ids=str,
)
def test_tiff__is_a_scene_where_it_has_a_place(tmp_path, options):
    placed = write_tiff(
        tmp_path / 'a.tif', transform=from_origin(5, 50, 0.1, 0.1), crs='EPSG:4326', **options
    )
    plain = write_tiff(tmp_path / 'b.tif', **options)
    assert why_scene(placed) == 'GeoTIFF'
    assert why_scene(plain) is None
    assert why_scene(plain, has_window=True) == 'a window was given'
    assert why_scene(plain, has_bands=True) == 'bands were chosen'
    assert why_scene(placed, has_bands=True) == 'GeoTIFF'


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.tif', '.bmp', '.webp'])
def test_size__decides_for_all_formats(tmp_path, monkeypatch, suffix):
    path = tmp_path / f'a{suffix}'
    Image.new('RGB', (30, 20)).save(path)
    for limit, expected in ((600, None), (599, 'more than 0 Mi pixels')):
        monkeypatch.setattr(kinds, 'SCENE_PIXELS', limit)
        assert why_scene(path) == expected


@pytest.mark.parametrize(
    'content', [b'', b'text', b'II*\x00', b'II*\x00\xff\xff\xff\xff', b'\x89PNG\r\n\x1a\n']
)
def test_damaged__is_left_to_the_reader(tmp_path, content):
    (tmp_path / 'a.tif').write_bytes(content)
    assert why_scene(tmp_path / 'a.tif') is None
    assert why_scene(tmp_path / 'missing.png') is None


def test_bands__are_of_tiff_files(tmp_path):
    Image.new('RGB', (3, 2)).save(tmp_path / 'a.png')
    assert why_scene(tmp_path / 'a.png', has_bands=True) is None


def test_npy(tmp_path):
    assert why_scene(tmp_path / 'a.npy') == 'npy file'
