"""Large GeoTIFF files at addresses, read by GDAL where a window needs them, in the place of a copy of the whole.

A VRT file of this machine stands in for the scene: a few lines by which GDAL asks the server for the blocks of a
window. Addresses of object stores are signed by fsspec first, so that its credentials are the only ones.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from swinseg.datasets.files.tiff import import_rasterio
from swinseg.raster.formats import TIFF, VRT, VRT_SUFFIX
from swinseg.segment.bulk import remote
from swinseg.segment.scenes.kinds import is_geotiff

LEAST_BYTES = 2**26
"""Of a scene that is read by windows; a smaller one is copied, which takes one request."""

_HEADER_BYTES = 2**16
# A signature outlasts the bands of a scene; where it does not, the scene is copied.
_SIGNED_SECONDS = 12 * 3600
_OPTIONS: dict[str, Any] = {
    'max_retry': len(remote.PAUSES), 'retry_delay': remote.PAUSES[0], 'connecttimeout': 30,
    'low_speed_time': 60, 'low_speed_limit': 1, 'list_dir': 'no',
}  # fmt: skip
_DEEPEST_CAUSE = 8


def stand_in(address: str, folder: Path) -> Path | None:
    """Write a VRT file by which a remote GeoTIFF is read without a copy.

    Args:
        address: of the input.
        folder: of this machine, for the file.

    Returns:
        The file, or None where a copy serves better: another format, a small file, storage that GDAL does not
        reach, or a server that gives no parts of files.

    Raises:
        StorageError: the address cannot be read.
    """
    rasterio = import_rasterio()
    if rasterio is None:
        return None
    from rasterio.shutil import copy as copy_raster

    fs, path = remote.file_system(address)
    is_web = remote.scheme_of(address) in ('http', 'https')
    try:
        url = path if is_web else str(fs.sign(path, expiration=_SIGNED_SECONDS))
    except Exception:  # no such storage or no credentials, of which the copy says more
        return None
    if not remote.persistent(lambda: _is_large_geotiff(fs, path), address, 'read'):
        return None
    # A signature is for GET alone.
    options = {**_OPTIONS, **({} if is_web else {'use_head': 'no'}), 'url': url}
    target = folder / f'{Path(remote.last_part(address)).stem or "scene"}{VRT_SUFFIX}'
    try:
        # What lies beside a file, such as overviews, is not copied with it either.
        with warnings.catch_warnings(), rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN='EMPTY_DIR'):
            warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(f'/vsicurl?{urlencode(options)}', driver=TIFF) as file:
                copy_raster(file, os.fspath(target), driver=VRT)
    except rasterio.errors.RasterioError:
        return None
    return target


def _is_large_geotiff(fs: Any, path: str) -> bool:
    try:
        with fs.open(path, 'rb', block_size=_HEADER_BYTES) as file:
            # None where a server does not tell, and then gives no parts either.
            size = getattr(file, 'size', None)
            return size is not None and size >= LEAST_BYTES and is_geotiff(file)
    except Exception as error:
        if remote.may_pass(error):
            raise
        return False  # the copy or its reader says what is wrong


def is_of_gdal(error: BaseException) -> bool:
    """Whether GDAL could not read, which a copy of the file may mend."""
    rasterio = import_rasterio()
    seen: BaseException | None = error
    for _ in range(_DEEPEST_CAUSE):
        if seen is None or rasterio is None:
            return False
        if isinstance(seen, rasterio.errors.RasterioError):
            return True
        seen = seen.__cause__
    return False
