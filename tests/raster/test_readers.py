"""Images of any size by windows: the same pixels as a whole decode by another library."""

import importlib.util
import sys
import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from swinseg.datasets.files.value_range import ValueRange
from swinseg.errors import DataError
from swinseg.raster.image import RasterError
from swinseg.raster.readers import open_image

H, W = 70, 93
RGB = np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)
DEEP = np.random.default_rng(1).integers(100, 9000, (H, W, 3)).astype(np.uint16)


def write_tiff(path, pixels, **options):
    rasterio = pytest.importorskip('rasterio')
    bands = pixels.transpose(2, 0, 1)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        profile = dict(driver='GTiff', height=H, width=W, count=len(bands), dtype=pixels.dtype)
        with rasterio.open(path, 'w', **profile, **options) as file:
            file.write(bands)


def whole(image):
    return image.read(0, *image.shape[:1], 0, image.shape[1])


def windows(height, width):
    return st.tuples(
        st.lists(st.integers(0, height), min_size=2, max_size=2, unique=True).map(sorted),
        st.lists(st.integers(0, width), min_size=2, max_size=2, unique=True).map(sorted),
    )


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """Each kind of file, with what Pillow or NumPy read from the whole of it."""
    folder = tmp_path_factory.mktemp('files')
    Image.fromarray(RGB).save(folder / 'rgb.png')
    Image.fromarray(RGB).save(folder / 'rgb.webp', lossless=True)
    Image.fromarray(RGB[..., 0]).save(folder / 'gray.png')
    np.save(folder / 'rgb.npy', RGB)
    expected = {'rgb.png': RGB, 'rgb.webp': RGB, 'rgb.npy': RGB}
    expected['gray.png'] = RGB[..., :1].repeat(3, 2)
    if importlib.util.find_spec('rasterio'):
        tiled = {'tiled': True, 'blockxsize': 16, 'blockysize': 32, 'compress': 'lzw'}
        write_tiff(folder / 'tiled.tif', RGB, photometric='rgb', **tiled)
        write_tiff(folder / 'striped.tif', RGB, photometric='rgb', blockysize=7)
        expected |= {
            name: np.asarray(Image.open(folder / name)) for name in ('tiled.tif', 'striped.tif')
        }
    return {folder / name: pixels for name, pixels in expected.items()}


@settings(max_examples=40, deadline=None)
@given(window=windows(H, W))
def test_read__equals_a_whole_decode(files, window):
    (top, bottom), (left, right) = window
    for path, expected in files.items():
        image = open_image(path)
        assert image.shape == (H, W)
        np.testing.assert_array_equal(
            image.read(top, bottom, left, right), expected[top:bottom, left:right], str(path)
        )
        assert image.valid(top, bottom, left, right).all()


@pytest.mark.parametrize(
    'window', [(0, 0, 0, 5), (-1, 3, 0, 5), (0, H + 1, 0, 5), (0, 5, 4, W + 1)]
)
def test_read__outside(files, window):
    for path in files:
        with pytest.raises(RasterError, match='must lie inside of the image of 70 x 93'):
            open_image(path).read(*window)


def test_array__gray_is_widened_and_forms_are_checked():
    np.testing.assert_array_equal(whole(open_image(RGB[..., 0])), RGB[..., :1].repeat(3, 2))
    for bad in (np.zeros(4), np.zeros((0, 4, 3)), np.zeros((4, 4), complex)):
        with pytest.raises(RasterError, match='an image must be'):
            open_image(bad)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_jpeg__turned_as_exif_says(tmp_path, orientation):
    smooth = cv2.resize(RGB[:4, :4], (40, 24), interpolation=cv2.INTER_CUBIC)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(smooth).save(tmp_path / 'a.jpg', exif=exif, quality=95, subsampling=0)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / 'a.jpg')))
    found = whole(open_image(tmp_path / 'a.jpg'))
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 3  # two JPEG decoders


def test_mpo__first_picture(tmp_path):
    first, second = (Image.new('RGB', (32, 16), color) for color in ('red', 'blue'))
    first.save(tmp_path / 'a.mpo', save_all=True, append_images=[second])
    np.testing.assert_allclose(whole(open_image(tmp_path / 'a.mpo'))[8, 16], (254, 0, 0), atol=2)


def test_png__alpha_is_dropped_and_said(tmp_path):
    Image.fromarray(np.dstack([RGB, RGB[..., 0]])).save(tmp_path / 'a.png')
    with pytest.warns(UserWarning, match='alpha'):
        np.testing.assert_array_equal(whole(open_image(tmp_path / 'a.png')), RGB)


def test_png__16_bits_are_stretched(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), DEEP[..., ::-1])
    np.testing.assert_array_equal(whole(open_image(tmp_path / 'a.png', keep_values=True)), DEEP)
    low, high = np.percentile(DEEP.reshape(-1, 3), (2, 98), axis=0)
    expected = np.rint(np.clip((DEEP - low) / (high - low) * 255, 0, 255))
    found = whole(open_image(tmp_path / 'a.png', value_range=ValueRange(rule='per_image')))
    np.testing.assert_array_equal(found, expected)
    value_range = ValueRange.of([[0, 4095], [100, 3000], [7, 70]])
    found = whole(open_image(tmp_path / 'a.png', value_range=value_range))
    np.testing.assert_array_equal(found, value_range.to_8_bits(DEEP))


def test_open_image__more_than_8_bits_that_mean_nothing(tmp_path):
    with pytest.raises(DataError, match='the array holds 16-bit values, and nothing says which of'):
        open_image(DEEP)
    cv2.imwrite(str(tmp_path / 'a.png'), DEEP[..., ::-1])
    with pytest.raises(DataError, match=r'a\.png holds 16-bit values'):
        open_image(tmp_path / 'a.png')


def test_decode__too_large(tmp_path, files):
    path = next(path for path in files if path.name == 'rgb.png')
    with pytest.raises(RasterError, match=r'70 x 93 pixels .* up to 6000 .*gdal_translate'):
        open_image(path, max_decoded_pixels=6000)
    assert open_image(path, max_decoded_pixels=H * W).shape == (H, W)


def test_open__bad_files(tmp_path):
    with pytest.raises(DataError, match='does not exist'):
        open_image(tmp_path / 'a.png')
    with pytest.raises(RasterError, match='does not exist'):
        open_image(tmp_path / 'a.npy')
    (tmp_path / 'b.npy').write_bytes(b'no array')
    with pytest.raises(RasterError, match='cannot be read as an'):
        open_image(tmp_path / 'b.npy')
    with pytest.raises(RasterError, match='has the bands 1 to'):
        open_image(RGB, bands=(1, 2, 4))


def test_tiff__five_bands(tmp_path):
    five = np.dstack([RGB, RGB[..., 1::-1]])
    write_tiff(tmp_path / 'a.tif', five, photometric='minisblack')
    with pytest.raises(RasterError, match=r'has 5 bands .* bands=\(1, 2, 3\)'):
        open_image(tmp_path / 'a.tif')
    found = whole(open_image(tmp_path / 'a.tif', bands=(5, 2, 2, 1)))
    np.testing.assert_array_equal(found, five[..., [4, 1, 1, 0]])
    with pytest.raises(RasterError, match='from 1 to 5'):
        open_image(tmp_path / 'a.tif', bands=(0, 1, 6))


def test_tiff__alpha_is_validity(tmp_path):
    alpha = np.where(np.arange(W) < 40, 0, 255)[None].repeat(H, 0).astype(np.uint8)
    write_tiff(tmp_path / 'a.tif', np.dstack([RGB, alpha]), photometric='rgb', alpha='yes')
    with pytest.warns(UserWarning, match='alpha'):
        image = open_image(tmp_path / 'a.tif')
    np.testing.assert_array_equal(whole(image), RGB)
    np.testing.assert_array_equal(image.valid(3, 9, 30, 60), alpha[3:9, 30:60] > 0)


def test_tiff__nodata_and_16_bits(tmp_path):
    pixels = DEEP.copy()
    pixels[20:50, 10:80] = 65535
    write_tiff(tmp_path / 'a.tif', pixels, photometric='rgb', nodata=65535)
    image = open_image(tmp_path / 'a.tif', value_range=ValueRange(rule='per_image'))
    valid = (pixels < 65535).all(2)
    np.testing.assert_array_equal(image.valid(0, H, 0, W), valid)
    low, high = np.percentile(DEEP[valid], (2, 98), axis=0)
    expected = np.rint(np.clip((pixels - low) / (high - low) * 255, 0, 255))
    np.testing.assert_array_equal(whole(image), expected)


@pytest.mark.parametrize('nothing', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('declared', [False, True])
def test_tiff__what_is_no_number_is_no_data(tmp_path, nothing, declared):
    pixels = np.random.default_rng(3).normal(0, 5, (H, W, 3)).astype(np.float32)
    low, high = np.percentile(pixels[:, 20:].reshape(-1, 3), (2, 98), axis=0)
    expected = np.rint(np.clip((pixels - low) / (high - low) * 255, 0, 255))
    pixels[:, :20] = nothing
    expected[:, :20] = 0
    options = dict(nodata=nothing) if declared else {}
    write_tiff(tmp_path / 'a.tif', pixels, photometric='rgb', **options)
    image = open_image(tmp_path / 'a.tif', value_range=ValueRange(rule='per_image'))
    np.testing.assert_array_equal(image.valid(0, H, 0, W), np.arange(W)[None].repeat(H, 0) >= 20)
    np.testing.assert_array_equal(whole(image), expected)
    np.save(tmp_path / 'a.npy', pixels)
    image = open_image(tmp_path / 'a.npy', value_range=ValueRange(rule='per_image'))
    np.testing.assert_array_equal(whole(image), expected)


def test_tiff__gray_and_color_table(tmp_path):
    write_tiff(tmp_path / 'gray.tif', RGB[..., :1])
    found = whole(open_image(tmp_path / 'gray.tif'))
    np.testing.assert_array_equal(found, RGB[..., :1].repeat(3, 2))
    indexed = Image.fromarray(RGB[..., 0])
    indexed.putpalette(np.arange(768)[::-1].astype(np.uint8).tobytes())
    indexed.save(tmp_path / 'p.tif')
    found = whole(open_image(tmp_path / 'p.tif'))
    np.testing.assert_array_equal(found, np.asarray(indexed.convert('RGB')))


def test_tiff__without_rasterio(tmp_path, monkeypatch):
    Image.fromarray(RGB).save(tmp_path / 'a.tif')
    monkeypatch.setitem(sys.modules, 'rasterio', None)
    with pytest.raises(RasterError, match=r"pip install 'swinseg\[raster\]'"):
        open_image(tmp_path / 'a.tif')


def test_tiff__cut_short(tmp_path):
    write_tiff(tmp_path / 'a.tif', RGB, photometric='rgb')
    data = (tmp_path / 'a.tif').read_bytes()
    (tmp_path / 'a.tif').write_bytes(data[: len(data) // 2])
    with pytest.raises(RasterError, match='cannot be read'):
        whole(open_image(tmp_path / 'a.tif'))


@pytest.mark.parametrize(
    ('array', 'message'),
    [
        (RGB[None], r'\(1, 70, 93, 3\) uint8, a batch of one: save array\[0\]$'),
        (RGB.transpose(2, 0, 1)[None], r'a batch of one: save array\[0\]\.transpose\(1, 2, 0\)$'),
        (np.stack([RGB, RGB]), 'a batch of 2: save each into a file of its own'),
        (RGB[..., 0] > 9, r"\(70, 93\) bool, a mask, .* save array\.astype\('uint8'\) \* 255"),
    ],
)
def test_array__says_how_to_make_an_image_of_it(array, message):
    with pytest.raises(RasterError, match=message):
        open_image(array)


def test_npz__names_its_arrays(tmp_path):
    np.savez(tmp_path / 'a.npz', image=RGB, label=RGB)
    with pytest.raises(
        RasterError, match=r"""it holds 'image', 'label': numpy\.save\(".*a\.npy", .*\['image'\]"""
    ):
        open_image(tmp_path / 'a.npz')
    np.savez(tmp_path / 'b.npz')
    (tmp_path / 'c.npz').write_bytes(b'text')
    for name, message in (('b.npz', 'it is empty'), ('c.npz', 'it cannot be read')):
        with pytest.raises(RasterError, match=message):
            open_image(tmp_path / name)
