"""Formats that GDAL reads by windows, each by its own driver and by no other.

A VRT names other files and addresses, which GDAL opens. So it is taken for one only under its own suffix, and a
folder that is searched for images gives none (:mod:`swinseg.segment.sources`): who names one means it.
"""

from __future__ import annotations

import os
from pathlib import Path

from swinseg.datasets.files.headers import format_of
from swinseg.datasets.files.tiff import import_rasterio

TIFF, IMAGINE, VRT, JPEG_2000 = 'GTiff', 'HFA', 'VRT', 'JP2OpenJPEG'
"""GDAL's names of the drivers."""

VRT_SUFFIX = '.vrt'
# The box with the georeference lies before the pixels (GeoJP2 1.0, and OGC's GML in JPEG 2000).
_HEAD_BYTES = 65_536
_GEOREFERENCES = (
    b'uuid\xb1\x4b\xf8\xbd\x08\x3d\x4b\x43\xa5\xae\x8c\xd7\xd5\xa6\xce\x03',
    b'gml.data',
)


def driver_of(path: str | os.PathLike[str]) -> str | None:
    """Return the name of the driver that reads a file by windows, or None where the file is decoded whole.

    JPEG 2000 is among them where it has a georeference, and GDAL can read it.
    """
    try:
        with open(path, 'rb') as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return None  # the decoder says what is wrong
    kind = format_of(head)
    if kind == 'TIFF':
        return TIFF
    if head.startswith(b'EHFA_HEADER_TAG'):
        return IMAGINE
    if Path(path).suffix.lower() == VRT_SUFFIX and head.lstrip().startswith(b'<VRTDataset'):
        return VRT
    if kind == 'JPEG 2000' and any(mark in head for mark in _GEOREFERENCES) and _reads_jpeg_2000():
        return JPEG_2000
    return None


def _reads_jpeg_2000() -> bool:
    rasterio = import_rasterio()
    if rasterio is None:
        return False
    with rasterio.Env() as environment:
        return JPEG_2000 in environment.drivers()
