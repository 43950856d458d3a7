"""Choice of the files that are scenes: images that are segmented by windows, at their own resolution."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from swinseg.datasets.files.headers import SIGNATURE_BYTES, format_of
from swinseg.datasets.files.orientation import tiff_tags
from swinseg.raster.formats import IMAGINE, JPEG_2000, VRT, driver_of
from swinseg.raster.georeference import georeference_beside
from swinseg.raster.readers import open_header

SCENE_PIXELS = 2**26
"""Images with more pixels, 8,192 x 8,192, are scenes."""

_GEOTIFF, _GEOJP2, _PLACED = 'GeoTIFF', 'GeoJP2', 'georeferenced by a file beside it'
_OF_DRIVER = {IMAGINE: 'ERDAS Imagine', VRT: 'VRT', JPEG_2000: _GEOJP2}
GEOREFERENCED = (_GEOTIFF, _PLACED, *_OF_DRIVER.values())
"""Why files with a place on the earth are scenes; of two kinds all are, whose results are TIFF files as well."""

_WIDTH, _HEIGHT = 256, 257
# ModelPixelScale, ModelTiepoint, ModelTransformation and GeoKeyDirectory (OGC GeoTIFF standard 1.1), and
# RPCCoefficientTag.
_GEO_TAGS = frozenset({33550, 33922, 34264, 34735, 50844})


def why_scene(
    path: str | os.PathLike[str], *, has_window: bool = False, has_bands: bool = False
) -> str | None:
    """Return why an image is a scene, in a few words, or None for a photograph.

    A photograph goes through the test pipeline of the model's config, which as a rule resizes it. A scene is a
    TIFF or JPEG 2000 file with a georeference, an image beside which a file says one (a world file, say), a TIFF
    file of which bands were chosen, a VRT, an ERDAS Imagine file, an ``.npy`` file, an image with more than
    :data:`SCENE_PIXELS` pixels, or any for which a window was asked for. Only the beginning of the file is read.

    Args:
        path: the image; one that cannot be read is a photograph, whose reader says what is wrong.
        has_window: whether a window was asked for.
        has_bands: whether bands of TIFF files were chosen, here or for the model.
    """
    if has_window:
        return 'a window was given'
    suffix = Path(path).suffix.lower()
    if suffix in ('.npy', '.npz'):
        return f'{suffix[1:]} file'
    driver = driver_of(path)
    if driver in _OF_DRIVER:
        return _OF_DRIVER[driver]
    reason = _by_header(path, has_bands=has_bands)
    if reason != _GEOTIFF and georeference_beside(path) is not None:
        return _PLACED
    return reason


def is_geotiff(file: BinaryIO) -> bool:
    """Whether an open file is a TIFF with a georeference.

    Raises:
        Exception: of many kinds, where the file is damaged.
    """
    if format_of(file.read(SIGNATURE_BYTES)) != 'TIFF':
        return False
    file.seek(0)
    return bool(_GEO_TAGS.intersection(tiff_tags(file)))


def _by_header(path: str | os.PathLike[str], *, has_bands: bool) -> str | None:
    try:
        with open(path, 'rb') as file:
            kind = format_of(file.read(SIGNATURE_BYTES))
            file.seek(0)
            if kind == 'TIFF':
                tags = tiff_tags(file)
                if _GEO_TAGS.intersection(tags):
                    return _GEOTIFF
                if has_bands:
                    return 'bands were chosen'
                pixels = tags[_WIDTH] * tags[_HEIGHT]
            else:
                with open_header(file, kind) as picture:
                    pixels = picture.width * picture.height
    except Image.DecompressionBombError:
        pixels = SCENE_PIXELS + 1
    except Exception:  # Pillow has many ways to fail at a damaged header
        return None
    return f'more than {SCENE_PIXELS >> 20} Mi pixels' if pixels > SCENE_PIXELS else None
