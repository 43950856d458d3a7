"""Chosen bands of files of all kinds: in training the same pixels, and the same data, as by windows in use."""

import warnings

import numpy as np
import pytest
import rasterio
from PIL import Image

from swinseg.datasets.files.banded import read_bands
from swinseg.errors import DataError
from swinseg.inference import RasterError, open_image

H, W = 20, 24
NAMES = ('red', 'green', 'blue', 'nir')
FOUR = np.random.default_rng(0).integers(1, 4000, (H, W, 4))


def write(path, pixels, *, names=None, driver='GTiff', **options):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(
            path, 'w', driver=driver, height=H, width=W, count=pixels.shape[2], dtype=pixels.dtype, **options
        ) as file:  # fmt: skip
            file.write(pixels.transpose(2, 0, 1))
            if names:
                file.descriptions = names
    return path


def assert_both_read(path, chosen, pixels, valid=None):
    image = read_bands(path, chosen)
    np.testing.assert_array_equal(image.pixels, pixels)
    np.testing.assert_array_equal(image.valid, True if valid is None else valid)
    assert image.pixels.dtype == pixels.dtype
    scene = open_image(path, bands=chosen, keep_values=True)
    np.testing.assert_array_equal(scene.read(0, H, 0, W), image.pixels)
    np.testing.assert_array_equal(scene.valid(0, H, 0, W), image.valid)
    view, seen = scene.overview(2048)
    np.testing.assert_array_equal(view, image.pixels)
    np.testing.assert_array_equal(seen, image.valid)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.int16, np.uint32, np.float32])
def test_read_bands__tiff(dtype, tmp_path):
    # GDAL takes the fourth band of 8 bits for transparency, which 0 would be no data in.
    pixels = np.maximum(FOUR.astype(dtype), 1)
    path = write(tmp_path / 'a.tif', pixels)
    assert_both_read(path, NAMES, pixels)
    assert_both_read(path, (4, 2), pixels[..., [3, 1]])
    assert_both_read(path, (2,), pixels[..., [1]])
    turned_round = write(tmp_path / 'b.tif', pixels[..., ::-1], names=NAMES[::-1])
    assert_both_read(turned_round, NAMES, pixels)


def test_read_bands__without_data(tmp_path):
    pixels = FOUR.astype(np.uint16)
    pixels[:5] = 0
    pixels[5, :, :3] = 0  # a band has data
    valid = np.arange(H)[:, None].repeat(W, 1) >= 5
    assert_both_read(write(tmp_path / 'a.tif', pixels, nodata=0), NAMES, pixels, valid)
    numbers = FOUR.astype(np.float32)
    numbers[:5] = np.nan
    assert_both_read(write(tmp_path / 'b.tif', numbers), NAMES, numbers, valid)
    np.save(tmp_path / 'c.npy', numbers)
    assert_both_read(tmp_path / 'c.npy', NAMES, numbers, valid)


def test_read_bands__jpeg_2000(tmp_path):
    pixels = FOUR.astype(np.uint16)
    write(tmp_path / 'a.jp2', pixels, driver='JP2OpenJPEG', QUALITY='100', REVERSIBLE='YES')
    assert_both_read(tmp_path / 'a.jp2', NAMES, pixels)


def test_read_bands__npy_and_png(tmp_path):
    np.save(tmp_path / 'a.npy', FOUR.astype(np.int32))
    assert_both_read(tmp_path / 'a.npy', NAMES, FOUR.astype(np.int32))
    assert_both_read(tmp_path / 'a.npy', (3, 1), FOUR[..., [2, 0]].astype(np.int32))
    pixels = FOUR.astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    assert_both_read(tmp_path / 'a.png', NAMES, pixels)
    assert_both_read(tmp_path / 'a.png', NAMES[:3], pixels[..., :3])
    Image.fromarray(pixels[..., 0]).save(tmp_path / 'gray.png')
    assert_both_read(tmp_path / 'gray.png', ('pan',), pixels[..., :1])


@pytest.mark.parametrize('ending', ['{}.tif', 'T32_{}_10m.jp2', '{}.npy'])
def test_read_bands__a_file_for_each(ending, tmp_path):
    pixels = FOUR.astype(np.uint16)
    for band, name in enumerate(NAMES):
        path = tmp_path / ending.format(name)
        layer = pixels[..., [band]]
        if path.suffix == '.npy':
            np.save(path, layer[..., 0])
        elif path.suffix == '.tif':
            write(path, layer, nodata=0)
        else:
            write(path, layer, driver='JP2OpenJPEG', QUALITY='100', REVERSIBLE='YES')
    assert_both_read(tmp_path / ending.format('nir'), NAMES, pixels)
    (tmp_path / ending.format('blue')).unlink()
    for read in (read_bands, lambda path, chosen: open_image(path, bands=chosen)):
        with pytest.raises(
            (DataError, RasterError), match=r'blue.* (does not exist|cannot be read)'
        ):
            read(tmp_path / ending.format('red'), NAMES)


def test_read_bands__files_of_other_sizes(tmp_path):
    np.save(tmp_path / 'red.npy', np.zeros((H, W)))
    np.save(tmp_path / 'nir.npy', np.zeros((H // 2, W // 2)))
    with pytest.raises(DataError, match=r'nir.npy has 10 x 12 pixels .* gdalwarp -ts 24 20'):
        read_bands(tmp_path / 'red.npy', ('red', 'nir'))


@pytest.mark.parametrize(
    ('content', 'sentence'),
    [
        (np.zeros((H, W, 3)), 'has 3 bands without names, but the model is shown 4'),
        (np.zeros((2, H, W, 4)), r'must be \(height, width\) or \(height, width, bands\)'),
        (b'\x93NUMPY', 'cannot be read as an .npy file'),
        (b'text', 'cannot be decoded'),
        (b'', 'is empty'),
    ],
)
def test_read_bands__refuses(content, sentence, tmp_path):
    if isinstance(content, bytes):
        (tmp_path / 'a.npy').write_bytes(content)
    else:
        np.save(tmp_path / 'a.npy', content)
    with pytest.raises(DataError, match=sentence) as caught:
        read_bands(tmp_path / 'a.npy', NAMES)
    assert '\n' not in str(caught.value)
    assert 'a.npy' in str(caught.value)
