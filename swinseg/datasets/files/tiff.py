"""Decoding a TIFF: the common kinds by OpenCV, as mmcv does, and what that misreads or refuses by rasterio.

OpenCV multiplies colors by their transparency, takes the first of several bands without roles for all of them,
and knows neither floats as colors nor compression by ZSTD, LERC, LZMA or WebP. The module imports neither PyTorch
nor mmcv, so that a process that only decodes stays small.

Shapes: H, W = size of the image; C = bands.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swinseg.datasets.files.opencv import decode_by_opencv, undecodable
from swinseg.datasets.files.orientation import ORIENTATION_TAG, tiff_tags, turned
from swinseg.datasets.files.tiff_bands import TiffBands
from swinseg.errors import DecodingError, is_out_of_memory

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _BANDS = 256, 257, 258, 259, 262, 277
_EXTRA, _FORMAT = 338, 339
_UNSIGNED, _FLOAT = 1, 3
_WHITE_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB = 0, 2, 3, 5, 6, 8
_UNASSOCIATED_ALPHA = 2
# None, CCITT, LZW, JPEG, Deflate and PackBits; the others OpenCV's builds seldom know.
_COMMON_COMPRESSION = (1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946)
_CACHE_BYTES = 2**25
# Of red, green and blue in a gray value (ITU-R BT.601), as OpenCV has it.
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class TiffHeader:
    """What the first directory of a TIFF says of its picture.

    Attributes:
        shape: H, W as stored.
        bands: C, transparency among them.
        bits: of a number.
        format: 1 for unsigned numbers, 2 for signed ones, 3 for floats.
        compression: how they are compressed.
        photometric: what the bands mean.
        has_alpha: whether there is transparency that the colors are not multiplied by.
        orientation: 1 to 8, as in EXIF.
    """

    shape: tuple[int, int]
    bands: int
    bits: int
    format: int
    compression: int
    photometric: int
    has_alpha: bool
    orientation: int


def read_header(file: BinaryIO) -> TiffHeader | None:
    """Read the header of a TIFF from its beginning; None where it makes no sense."""
    try:
        tags = tiff_tags(file)
        orientation = int(tags.get(ORIENTATION_TAG, 1))
        return TiffHeader(
            shape=(int(tags[_HEIGHT]), int(tags[_WIDTH])),
            bands=int(tags.get(_BANDS, 1)),
            bits=int(np.max(tags.get(_BITS, 1))),
            format=int(np.max(tags.get(_FORMAT, _UNSIGNED))),
            compression=int(tags.get(_COMPRESSION, 1)),
            photometric=int(tags.get(_PHOTOMETRIC, -1)),
            has_alpha=_UNASSOCIATED_ALPHA in np.atleast_1d(tags.get(_EXTRA, ())),
            orientation=orientation if 1 <= orientation <= 8 else 1,
        )
    except Exception:  # Pillow has many ways to fail at a damaged header
        return None


def import_rasterio() -> Any | None:
    """Return the rasterio package, or None where it is not installed."""
    try:
        import rasterio
    except ImportError:
        return None
    return rasterio


def decode_tiff(data: bytes, *, color_type: str = 'color') -> NDArray[Any]:
    """Decode the first picture of a TIFF.

    Args:
        data: the file.
        color_type: as of :func:`swinseg.datasets.files.images.decode_image`.

    Returns:
        (H, W, 3) BGR for ``'color'`` and (H, W) for ``'grayscale'``, turned as the file says; for ``'unchanged'``
        (H, W) or (H, W, C) as stored: BGR where the file names colors, else in its own order. They are of the
        file's type, uint8 for those of less than 8 bits.

    Raises:
        DecodingError: it cannot be read so.
        MemoryError: there is too little.
    """
    header = read_header(io.BytesIO(data))
    if header is None or _is_for_opencv(header, color_type):
        image = _by_opencv(data, color_type)
        if image is not None:
            return image
    if import_rasterio() is None:
        return _without_rasterio(data, header, color_type)
    with open_raster(data) as file:
        if color_type == 'unchanged':
            return _unchanged(file)
        bands = TiffBands(file)
        unique = sorted(set(bands.numbers))
        pixels = bands.pixels(file.read(unique)[[unique.index(band) for band in bands.numbers]])
    if header is not None and not color_type.endswith('ignore_orientation'):
        pixels = turned(pixels, header.orientation)
    if color_type.startswith('grayscale'):
        return _gray(pixels)
    return np.ascontiguousarray(pixels[..., ::-1])


@contextlib.contextmanager
def open_raster(data: bytes, *, driver: str = 'GTiff') -> Iterator[Any]:
    """Open the bytes of a TIFF, or of a file of another of GDAL's drivers; as nothing else, and no other file
    with it.

    Raises:
        DecodingError: it cannot be opened, or read in the block.
        MemoryError: there is too little.
    """
    rasterio = import_rasterio()
    assert rasterio is not None
    options = {'GDAL_CACHEMAX': _CACHE_BYTES, 'GDAL_DISABLE_READDIR_ON_OPEN': 'EMPTY_DIR'}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
            with (
                rasterio.Env(**options),
                rasterio.MemoryFile(data) as memory,
                memory.open(driver=driver) as file,
            ):
                yield file
    except rasterio.errors.RasterioError as error:
        reason = error.__cause__ or error
        if is_out_of_memory(reason):
            raise MemoryError from error
        raise _undecodable(data, reason) from error


def _undecodable(data: bytes, reason: object = '') -> DecodingError:
    if data[128:132] == b'DICM':
        return DecodingError(
            'is a DICOM file that begins like a TIFF, and holds no picture as TIFF does',
            fix='convert it to PNG or TIFF by a DICOM tool',
        )
    return undecodable(data, reason)


def _gray(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return (H, W) of (H, W, 3) RGB."""
    if (pixels == pixels[..., :1]).all():
        return np.ascontiguousarray(pixels[..., 0])
    if pixels.dtype in (np.uint8, np.uint16, np.float32):
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY))
    return np.asarray(pixels @ np.array(_LUMA))


def _is_for_opencv(header: TiffHeader, color_type: str) -> bool:
    """Whether OpenCV gives the values of such a file."""
    if header.has_alpha or header.bands > 4 or header.compression not in _COMMON_COMPRESSION:
        return False
    if header.photometric == _WHITE_IS_ZERO and header.bits > 8:
        return False
    has_colors = header.photometric in (_RGB, _YCBCR, _CMYK, _LAB)
    if color_type == 'unchanged':
        is_known = header.format == _FLOAT or header.bits in (1, 8, 16, 32)
    else:
        is_known = header.format == _UNSIGNED and header.bits in (1, 8, 16)
    return is_known and (header.bands == 1 or (has_colors and header.bands >= 3))


def _by_opencv(data: bytes, color_type: str) -> NDArray[Any] | None:
    """Return the pixels, or None where OpenCV cannot read them."""
    # It would print a line for each tag that it does not know, such as those of a georeference.
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        return decode_by_opencv(data, color_type=color_type)
    except DecodingError:
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)


def _without_rasterio(data: bytes, header: TiffHeader | None, color_type: str) -> NDArray[Any]:
    if header is None:
        raise _undecodable(data)
    if header.has_alpha and header.bits == 8 and not color_type.startswith('grayscale'):
        with (
            contextlib.suppress(Exception),
            Image.open(io.BytesIO(data), formats=('TIFF',)) as image,
        ):
            pixels = np.asarray(image)
            if image.mode == 'RGBA' and color_type == 'unchanged':
                return np.ascontiguousarray(pixels[..., [2, 1, 0, 3]])
            if image.mode == 'RGBA':
                plain = pixels[..., 2::-1]
                if not color_type.endswith('ignore_orientation'):
                    plain = turned(plain, header.orientation)
                return np.ascontiguousarray(plain)
    if header.compression not in _COMMON_COMPRESSION:
        image = _by_opencv(data, color_type)
        if image is not None:
            return image
    kind = {_UNSIGNED: 'unsigned numbers', _FLOAT: 'floats'}.get(header.format, 'signed numbers')
    raise DecodingError(
        f'is a TIFF of {header.bands} bands of {header.bits} bits ({kind}, compression {header.compression}) that '
        'OpenCV does not read',
        fix="rasterio does, if it is whole: pip install 'swinseg[raster]'",
    )


def _unchanged(file: Any) -> NDArray[Any]:
    values = file.read()
    if len(values) == 1:
        return np.asarray(values[0])
    roles = [role.name for role in file.colorinterp]
    pixels = values.transpose(1, 2, 0)
    if roles[:3] == ['red', 'green', 'blue'] and len(roles) <= 4:
        pixels = pixels[..., [2, 1, 0, *range(3, len(roles))]]
    return np.ascontiguousarray(pixels)


def view_size(shape: tuple[int, int], most: int) -> tuple[int, int]:
    """Return the (height, width) of a coarse view of at most ``most`` pixels a side."""
    scale = max(1.0, max(shape) / most)
    return max(1, int(shape[0] / scale)), max(1, int(shape[1] / scale))
