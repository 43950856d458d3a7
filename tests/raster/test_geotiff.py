"""What GDAL keeps of a file while it is read and written by windows."""

import sys

import numpy as np
import pytest

from swinseg.inference.memory import resident_peak_bytes
from swinseg.raster import geotiff as raster_geotiff

pytest.importorskip('rasterio')
MIB = 2**20


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='only Linux tells')
def test_tiff__memory_does_not_grow_with_the_height(tmp_path, monkeypatch):
    monkeypatch.setattr(raster_geotiff, '_CACHE_BYTES', 4 * MIB)
    shape, rows = (12_288, 4096), np.zeros((256, 4096), np.uint8)

    def write():
        parts = (rows for _ in range(shape[0] // 256))
        raster_geotiff.write_geotiff(
            tmp_path / 'a.tif', parts, shape, rows.dtype,
            palette=None, georeference=None, nodata=None,
        )  # fmt: skip

    def read():
        image = raster_geotiff.GdalImage(tmp_path / 'a.tif')
        for top in range(0, shape[0], 256):
            image.read(top, top + 256, 0, shape[1])
        image.close()

    # The whole has 48 MiB.
    for call in (write, read):
        risen = resident_peak_bytes(call)
        if risen is None:
            pytest.skip('this kernel does not reset the peak')
        assert risen < 24 * MIB
