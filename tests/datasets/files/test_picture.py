"""Images of any bands as pictures for people."""

import numpy as np
import pytest
import rasterio
from PIL import Image

from swinseg.datasets.files.picture import read_picture
from swinseg.errors import DataError

RGB = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)


def write(path, pixels, **options):
    with rasterio.open(
        path, 'w', driver='GTiff', height=9, width=12, count=pixels.shape[2], dtype=pixels.dtype, **options,
    ) as file:  # fmt: skip
        file.write(pixels.transpose(2, 0, 1))


def test_read_picture__of_colors(tmp_path):
    Image.fromarray(RGB).save(tmp_path / 'a.png')
    np.testing.assert_array_equal(read_picture(tmp_path / 'a.png'), RGB)


@pytest.mark.parametrize(('bands', 'shown'), [(6, [0, 1, 2]), (2, [0, 0, 0])])
def test_read_picture__of_other_bands(tmp_path, bands, shown):
    pixels = np.random.default_rng(1).integers(0, 4000, (9, 12, bands)).astype(np.uint16)
    write(tmp_path / 'a.tif', pixels)
    low, high = np.percentile(pixels.reshape(-1, bands), (2, 98), axis=0)
    expected = np.rint(np.clip((pixels - low) / (high - low) * 255, 0, 255))[..., shown]
    np.testing.assert_array_equal(read_picture(tmp_path / 'a.tif'), expected)


def test_read_picture__of_a_damaged_file(tmp_path):
    write(tmp_path / 'a.tif', RGB, compress='zstd')
    (tmp_path / 'a.tif').write_bytes((tmp_path / 'a.tif').read_bytes()[:-50])
    with pytest.raises(DataError, match=r'a\.tif cannot be decoded as TIFF'):
        read_picture(tmp_path / 'a.tif')
