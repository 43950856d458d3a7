"""TIFF and GeoTIFF by windows, through rasterio.

Shapes: H, W = size of the image; h, w = size of a window; C = bands; K = colours.
"""

from __future__ import annotations

import math
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinseg.inference.raster import Georeference, RasterError, check_window

_TILE = 256

# Two rows of tiles of a wide scene. By itself GDAL fills up to 5% of the machine's memory with decoded tiles, and
# what a scene takes would grow with its height.
_CACHE_BYTES = 2**27


def import_rasterio() -> Any:
    """Return the rasterio package.

    Raises:
        RasterError: it is not installed.
    """
    try:
        import rasterio
    except ImportError as error:
        raise RasterError(
            "TIFF files are read and written by rasterio, which is not installed: pip install 'swinseg[raster]'"
        ) from error
    return rasterio


class TiffImage:
    """A tiled or striped TIFF as an image that is read by windows; threads may share it.

    Args:
        path: the file.
        bands: numbers of the bands to read, from 1, in this order. None takes red, green and blue where the
            file names them, or its only three; a single band is widened to three, through its colour table
            where it has one. Alpha counts as validity only, which is said once.

    Raises:
        RasterError: rasterio is missing, the file cannot be read, or which bands to take is unclear.
    """

    def __init__(self, path: str | os.PathLike[str], *, bands: Sequence[int] | None = None) -> None:
        rasterio = import_rasterio()
        self._name = os.fspath(path)
        self._rasterio = rasterio
        # GDAL's handles are not safe to share.
        self._lock = threading.Lock()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
                self._file = rasterio.open(self._name)
        except rasterio.errors.RasterioIOError as error:
            raise RasterError(f'image {self._name} cannot be read: {error}') from error
        self._colors: NDArray[np.uint8] | None = None
        self._bands = self._chosen(bands)
        if any(self._file.dtypes[band - 1].startswith('complex') for band in self._bands):
            raise RasterError(
                f'image {self._name} holds complex numbers, as radar scenes do, but a model is shown real ones; '
                'write their amplitude into a file'
            )
        self.shape: tuple[int, int] = (self._file.height, self._file.width)
        placed = self._file.crs is not None or not self._file.transform.is_identity
        self.georeference = Georeference(self._file.transform, self._file.crs) if placed else None

    def _chosen(self, bands: Sequence[int] | None) -> tuple[int, ...]:
        count = self._file.count
        if bands is not None:
            if not bands or not all(1 <= band <= count for band in bands):
                raise RasterError(
                    f'bands must be numbers from 1 to {count} for image {self._name}, but are {tuple(bands)}'
                )
            return tuple(bands)
        roles = [role.name for role in self._file.colorinterp]
        plain = tuple(band for band, role in enumerate(roles, 1) if role != 'alpha')
        if len(plain) < count:
            # From one place, so that Python says it once.
            warnings.warn('the alpha band of an image is not shown to the model', stacklevel=1)
        if all(roles.count(color) == 1 for color in ('red', 'green', 'blue')):
            return tuple(roles.index(color) + 1 for color in ('red', 'green', 'blue'))
        if len(plain) == 1:
            if roles[plain[0] - 1] == 'palette':
                self._colors = np.zeros((65536, 3), np.uint8)
                for value, color in self._file.colormap(plain[0]).items():
                    self._colors[value] = color[:3]
            return plain * 3
        if len(plain) != 3:
            raise RasterError(
                f'image {self._name} has {len(plain)} bands and does not say which are red, green and blue; '
                'choose them, say bands=(1, 2, 3)'
            )
        return plain

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, top: int, bottom: int, left: int, right: int) -> NDArray[Any]:
        """Return (h, w, C) pixels of the file's dtype.

        Raises:
            RasterError: the window leaves the image, or the file is damaged there.
        """
        return self._pixels(self._values(top, bottom, left, right, masks=False))

    def valid(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
        """Return (h, w): where a chosen band has data, by the nodata value, mask or alpha of the file."""
        return _any_band(self._values(top, bottom, left, right, masks=True))

    def overview(self, max_side: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the pixels and the validity of the file at up to ``max_side`` pixels a side.

        GDAL reads it from the overviews of the file where it has some.
        """
        height, width = self.shape
        scale = max(1.0, max(height, width) / max_side)
        size = (max(1, math.floor(height / scale)), max(1, math.floor(width / scale)))
        values = self._values(0, height, 0, width, masks=False, size=size)
        masks = self._values(0, height, 0, width, masks=True, size=size)
        return self._pixels(values), _any_band(masks)

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
        unique = sorted(set(self._bands))
        window = ((top, bottom), (left, right))
        shape = None if size is None else (len(unique), *size)
        try:
            with self._lock, self._rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
                read = self._file.read_masks if masks else self._file.read
                values: NDArray[Any] = read(unique, window=window, out_shape=shape)
        except self._rasterio.errors.RasterioError as error:
            raise RasterError(
                f'image {self._name} cannot be read in rows {top} to {bottom}, columns {left} to {right}: '
                f'{error}; copy the file again'
            ) from error
        return values[[unique.index(band) for band in self._bands]]

    def _pixels(self, values: NDArray[Any]) -> NDArray[Any]:
        if self._colors is not None:
            return self._colors[values[0]]
        return np.ascontiguousarray(values.transpose(1, 2, 0))


def _any_band(masks: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(masks.any(axis=0))


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
        palette: (K, 3) uint8 RGB that becomes the colour table; None for grey.
        georeference: where the labels lie.
        nodata: the value that means none.
    """
    rasterio = import_rasterio()
    options: dict[str, Any] = {} if nodata is None else {'nodata': nodata}
    if georeference is not None:
        options |= {'transform': georeference.transform, 'crs': georeference.crs}
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
