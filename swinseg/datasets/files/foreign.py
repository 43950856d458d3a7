"""Kinds of files that are no readable image, recognized by their beginning."""

from __future__ import annotations

from swinseg.datasets.files.headers import PICTURE_BRANDS

HEAD_BYTES = 512
"""Of a file, that are enough to tell."""

_VIDEOS = (
    b'\x1aE\xdf\xa3',  # Matroska and WebM
    b'FLV\x01',
    b'0&\xb2u\x8ef\xcf\x11',  # ASF, as .wmv is
    b'\x00\x00\x01\xba',  # MPEG program stream
    b'\x00\x00\x01\xb3',  # MPEG-1 and -2 without a container
    b'YUV4MPEG2 ',
)
_OTHERS = (
    (b'\x89HDF\r\n\x1a\n', 'an HDF5 or NetCDF file'),
    (b'CDF\x01', 'a NetCDF file'),
    (b'CDF\x02', 'a NetCDF file'),
    (b'GRIB', 'a GRIB file'),
    (b'EHFA_HEADER_TAG', 'an ERDAS Imagine raster, which only swinseg segment reads'),
    (b'<VRTDataset', 'a VRT, which names other files, and which only swinseg segment reads'),
    (b'\x93NUMPY', 'an array of NumPy'),
    (b'PK\x03\x04', 'a ZIP archive'),
    (b'%PDF', 'a PDF file'),
    (b'\x00\x05\x16\x07', 'what macOS puts beside a file of this name on other drives'),
)
_TRANSPORT_SYNC = 0x47


def is_video(head: bytes) -> bool:
    """Whether a file begins as a video.

    Args:
        head: its first :data:`HEAD_BYTES`, or all of them.
    """
    if head.startswith(_VIDEOS) or (head[:4] == b'RIFF' and head[8:12] == b'AVI '):
        return True
    if head[4:8] in (b'ftyp', b'moov', b'mdat', b'wide'):  # MP4 and QuickTime
        return head[4:8] != b'ftyp' or head[8:12] not in PICTURE_BRANDS
    # Packets of an MPEG transport stream, which on Blu-rays have four bytes before each.
    return any(
        len(head) > 2 * size + first
        and all(head[first + number * size] == _TRANSPORT_SYNC for number in range(3))
        for first, size in ((0, 188), (4, 192))
    )


def foreign_kind(head: bytes) -> str | None:
    """Return what a file is, such as ``a DICOM file``, or None where it is nothing that we know.

    Args:
        head: its first :data:`HEAD_BYTES`, or all of them.
    """
    if head[128:132] == b'DICM':
        return 'a DICOM file'
    if is_video(head):
        return 'a video'
    return next((kind for signature, kind in _OTHERS if head.startswith(signature)), None)
