"""TIFF, GeoTIFF and a few other formats of GDAL by windows, through rasterio; and writing GeoTIFF.

Shapes: H, W = size of the image; h, w = size of a window; C = bands; K = colors.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.files import tiff as tiff_files
from swinseg.datasets.files.band_choice import Choice
from swinseg.datasets.files.tiff_bands import TiffBands, any_band
from swinseg.errors import DecodingError
from swinseg.raster.formats import TIFF
from swinseg.raster.georeference import georeference_of
from swinseg.raster.image import Georeference, RasterError, check_window

_TILE = 256

# Two rows of tiles of a wide scene. By itself GDAL fills up to 5% of the machine's memory with decoded tiles, and
# what a scene takes would grow with its height.
_CACHE_BYTES = 2**27


def import_rasterio() -> Any:
    """Return the rasterio package.

    Raises:
        RasterError: it is not installed.
    """
    rasterio = tiff_files.import_rasterio()
    if rasterio is None:
        raise RasterError(
            "TIFF files are read and written by rasterio, which is not installed: pip install 'swinseg[raster]'"
        )
    return rasterio


class GdalImage:
    """A tiled or striped TIFF, or another file of GDAL, as an image that is read by windows; threads may share it.

    Args:
        path: the file.
        driver: GDAL's name of the format; it is opened as nothing else.
        bands: numbers of the bands to read, from 1, or their names, in this order. None takes red, green and blue
            where the file names them, or its only three; a single band is widened to three, through its color
            table where it has one. Alpha counts as validity only, which is said once.

    Raises:
        RasterError: rasterio is missing, the file cannot be read, or which bands to take is unclear.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        driver: str = TIFF,
        bands: Choice | None = None,
    ) -> None:
        rasterio = import_rasterio()
        self._name = os.fspath(path)
        self._rasterio = rasterio
        # GDAL's handles are not safe to share.
        self._lock = threading.Lock()
        try:
            with warnings.catch_warnings(), rasterio.Env(GDAL_VRT_ENABLE_PYTHON='NO'):
                warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
                self._file = rasterio.open(self._name, driver=driver)
        except rasterio.errors.RasterioIOError as error:
            raise RasterError(f'image {self._name} cannot be read: {error}') from error
        try:
            self._bands = TiffBands(self._file, bands)
        except DecodingError as error:
            raise RasterError(f'image {self._name} {error}; {error.fix}') from error
        if self._bands.has_alpha:
            # From one place, so that Python says it once.
            warnings.warn('the alpha band of an image is not shown to the model', stacklevel=1)
        self._is_float = any(
            self._file.dtypes[band - 1].startswith('float') for band in self._bands.numbers
        )
        self.count = int(self._file.count)
        self.shape: tuple[int, int] = (self._file.height, self._file.width)
        self.georeference = georeference_of(self._file, path)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, top: int, bottom: int, left: int, right: int) -> NDArray[Any]:
        """Return (h, w, C) pixels of the file's dtype.

        Raises:
            RasterError: the window leaves the image, or the file is damaged there.
        """
        return self._bands.pixels(self._values(top, bottom, left, right, masks=False))

    def valid(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
        """Return (h, w): where a chosen band has data, by the nodata value, mask or alpha of the file.

        A number that is not finite is no data.
        """
        masks = self._values(top, bottom, left, right, masks=True)
        values = self._values(top, bottom, left, right, masks=False) if self._is_float else None
        return any_band(masks, values)

    def overview(self, max_side: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the pixels and the validity of the file at up to ``max_side`` pixels a side.

        GDAL reads it from the overviews of the file where it has some.
        """
        height, width = self.shape
        size = tiff_files.view_size(self.shape, max_side)
        values = self._values(0, height, 0, width, masks=False, size=size)
        masks = self._values(0, height, 0, width, masks=True, size=size)
        return self._bands.pixels(values), any_band(masks, values if self._is_float else None)

    def _values(
        self,
        top: int,
        bottom: int,
        left: int,
        right: int,
        *,
        masks: bool,
        size: tuple[int, int] | None = None,
    ) -> NDArray[Any]:
        check_window(self.shape, top, bottom, left, right)
        # A band that is asked for three times is decoded once.
        unique = sorted(set(self._bands.numbers))
        window = ((top, bottom), (left, right))
        shape = None if size is None else (len(unique), *size)
        try:
            with (
                self._lock,
                self._rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES, GDAL_VRT_ENABLE_PYTHON='NO'),
            ):
                read = self._file.read_masks if masks else self._file.read
                values: NDArray[Any] = read(unique, window=window, out_shape=shape)
        except self._rasterio.errors.RasterioError as error:
            raise RasterError(
                f'image {self._name} cannot be read in rows {top} to {bottom}, columns {left} to {right}: '
                f'{error}; copy the file again'
            ) from error
        return values[[unique.index(band) for band in self._bands.numbers]]


def write_geotiff(
    path: str | os.PathLike[str],
    rows: Iterator[NDArray[Any]],
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    *,
    palette: NDArray[np.uint8] | None,
    georeference: Georeference | None,
    nodata: int | None,
) -> None:
    """Write labels as a tiled, deflated TIFF of one band.

    Args:
        path: the file.
        rows: (h, W) labels, from top to bottom.
        shape: H, W.
        dtype: uint8 or uint16.
        palette: (K, 3) uint8 RGB that becomes the color table; None for gray.
        georeference: where the labels lie.
        nodata: the value that means none.
    """
    rasterio = import_rasterio()
    options: dict[str, Any] = {} if nodata is None else {'nodata': nodata}
    if georeference is not None:
        options['crs'] = georeference.crs
        if georeference.transform is not None:
            options['transform'] = georeference.transform
        if georeference.points:
            options['gcps'] = list(georeference.points)
        if georeference.rpcs is not None:
            options['rpcs'] = georeference.rpcs
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
        file = rasterio.open(
            path, 'w', driver='GTiff', height=shape[0], width=shape[1], count=1, dtype=dtype.name,
            tiled=True, blockxsize=_TILE, blockysize=_TILE, compress='deflate', bigtiff='if_safer', **options,
        )  # fmt: skip
        with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES), file:
            if palette is not None:
                file.write_colormap(1, {i: (*map(int, c), 255) for i, c in enumerate(palette)})
            first = 0
            for labels in rows:
                window = ((first, first + len(labels)), (0, shape[1]))
                file.write(labels, 1, window=window)
                first += len(labels)
