"""Georeference of a file's pixels: from the file itself, or from files beside it."""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path
from typing import Any

from swinseg.datasets.files.headers import SIGNATURE_BYTES, format_of
from swinseg.datasets.files.tiff import import_rasterio
from swinseg.raster.image import Georeference

# GDAL's drivers of the formats that are decoded whole, for what lies beside them.
_DRIVERS = {
    'TIFF': 'GTiff',
    'JPEG': 'JPEG',
    'PNG': 'PNG',
    'BMP': 'BMP',
    'GIF': 'GIF',
    'WebP': 'WEBP',
    'JPEG 2000': 'JP2OpenJPEG',
}
_PROJECTION = '.prj'


def georeference_of(file: Any, path: str | os.PathLike[str]) -> Georeference | None:
    """Return what GDAL says of a file that rasterio has opened, with the system that a ``.prj`` beside it names.

    GDAL itself reads world files, ``.aux.xml`` and the files of RPCs, but no ``.prj``. A geolocation array, which
    a label file cannot take along, is said in a warning.
    """
    points, points_crs = file.gcps
    crs = file.crs or points_crs
    is_placed = not file.transform.is_identity or (crs is not None and not points)
    transform = file.transform if is_placed else None
    if crs is None and (is_placed or points):
        crs = _projection_beside(path)
    if file.tags(ns='GEOLOCATION'):
        warnings.warn(
            f'image {os.fspath(path)} says by a geolocation array where its pixels lie, which its labels do not '
            'keep; warp it first, with gdalwarp -geoloc',
            stacklevel=2,
        )
    if transform is None and not points and file.rpcs is None:
        return None
    return Georeference(
        transform=transform,
        crs=crs,
        # A GeoTIFF holds either; a transform places every pixel.
        points=tuple(points) if transform is None else (),
        rpcs=file.rpcs,
    )


def georeference_beside(path: str | os.PathLike[str]) -> Georeference | None:
    """Return the georeference of an image beside which some file may say one, or None.

    World files (``.jgw``, ``.jpgw``, ``.pgw``, ``.tfw``, ``.wld`` ...), GDAL's ``.aux.xml``, MapInfo's ``.tab``,
    and the RPCs of satellite images are looked for. Where rasterio is not installed, and a world file is there, a
    warning says that the georeference is left out.
    """
    found = _files_beside(path)
    if not found:
        return None
    rasterio = import_rasterio()
    if rasterio is None:
        if any(name.lower().endswith(('w', '.wld')) for name in found):
            warnings.warn(
                f'{found[0]} says where image {os.fspath(path)} lies on the earth, which its labels do not keep '
                "without rasterio: pip install 'swinseg[raster]'",
                stacklevel=2,
            )
        return None
    try:
        with open(path, 'rb') as file:
            driver = _DRIVERS.get(format_of(file.read(SIGNATURE_BYTES)) or '')
    except OSError:
        return None  # the reader says what is wrong
    # What is wrong with the image, its reader says.
    with contextlib.suppress(rasterio.errors.RasterioError), warnings.catch_warnings():
        warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
        if driver is not None:
            with rasterio.Env(), rasterio.open(os.fspath(path), driver=driver) as opened:
                return georeference_of(opened, path)
    return None


def _files_beside(path: str | os.PathLike[str]) -> list[str]:
    stem, suffix = os.path.splitext(os.fspath(path))
    letters = suffix[1:].lower()
    if not letters:
        return []
    endings = [
        f'.{letters[0]}{letters[-1]}w', f'.{letters}w', '.wld', '.tab', '.rpb', '_rpc.txt',
    ]  # fmt: skip
    names = [f'{stem}{each}' for ending in endings for each in (ending, ending.upper())]
    return [name for name in (*names, f'{stem}{suffix}.aux.xml') if os.path.isfile(name)]


def _projection_beside(path: str | os.PathLike[str]) -> Any:
    rasterio = import_rasterio()
    assert rasterio is not None
    for suffix in (_PROJECTION, _PROJECTION.upper()):
        # An unreadable one is as good as none.
        with contextlib.suppress(OSError, ValueError, rasterio.errors.CRSError):
            text = Path(path).with_suffix(suffix).read_text(encoding='utf-8')
            # ArcGIS writes them in its own dialect, which plain WKT is read by as well.
            return rasterio.crs.CRS.from_wkt(text, morph_from_esri_dialect=True)
    return None
