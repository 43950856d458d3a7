"""Reading image and label files, and saying in one sentence what is wrong with a bad one.

What a file is and whether it is cut short is told from its bytes (:mod:`swinseg.datasets.files.headers`), without
decoding anything twice.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import cv2
import numpy as np
import numpy.typing as npt
from mmengine import fileio
from PIL import Image

from swinseg.datasets.files.decoding import decode
from swinseg.datasets.files.foreign import HEAD_BYTES, foreign_kind
from swinseg.datasets.files.headers import format_of, is_complete, png_chunks
from swinseg.datasets.files.opencv import undecodable
from swinseg.datasets.files.tiff import decode_tiff, import_rasterio
from swinseg.datasets.files.value_range import ValueRange, too_deep
from swinseg.errors import DataError, DecodingError, LabelChannelsError, shown

IMAGE_SUFFIXES = (
    '.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.apng', '.bmp', '.tif', '.tiff', '.webp', '.gif', '.jp2', '.ppm',
    '.pgm', '.pnm', '.mpo', '.heic', '.heif', '.hif', '.avif',
)  # fmt: skip
"""File name endings (lower case) that are taken for images where none is named."""

LABEL_SUFFIXES = ('.png', '.tif', '.tiff', '.bmp', '.gif', '.pgm')
"""File name endings (lower case) that are taken for labels where none is named: the lossless formats."""

LOSSY_FORMATS = ('JPEG', 'HEIC', 'AVIF')
"""Whose compression changes the values of labels."""

_EXIF_ORIENTATION = 0x0112

_PNG_GRAY, _PNG_PALETTE = 0, 3
_PNG_CHANNELS = {2: '3 channels (RGB)', 4: '2 channels (gray and alpha)', 6: '4 channels (RGBA)'}
_PIL_CHANNELS = {
    'RGB': '3 channels (RGB)',
    'RGBA': '4 channels (RGBA)',
    'LA': '2 channels (gray and alpha)',
    'CMYK': '4 channels (CMYK)',
}


def png_palette(data: bytes) -> npt.NDArray[np.uint8] | None:
    """Return the colors of a palette PNG, (up to 256, 3) uint8 RGB, or None where it is no such file."""
    if format_of(data) != 'PNG' or data[12:16] != b'IHDR' or data[25] != _PNG_PALETTE:
        return None
    position, size = 8, len(data)
    while position + 8 <= size:
        length = int.from_bytes(data[position : position + 4], 'big')
        if data[position + 4 : position + 8] == b'PLTE':
            entries = data[position + 8 : position + 8 + length // 3 * 3]
            return np.frombuffer(entries, np.uint8).reshape(-1, 3)
        position += 12 + length
    return None


def fetch_bytes(
    path: str | os.PathLike[str], *, what: str = 'image', backend_args: dict[str, Any] | None = None
) -> bytes:
    """Read a file of any kind.

    Args:
        path: the file.
        what: ``'image'`` or ``'label'``, for the message.
        backend_args: mmengine's file backend, or None for the one that the path asks for.

    Raises:
        DataError: the file is missing, cannot be read, or is empty.
    """
    name = os.fspath(path)
    try:
        data: bytes = fileio.get(local_path(name), backend_args=backend_args)
    except FileNotFoundError as error:
        raise DataError(
            f'{what} {name} does not exist; check the data folder and its suffixes'
        ) from error
    except OSError as error:
        raise DataError(
            f'{what} {name} cannot be read: {error.strerror or error}; check the file and its permissions'
        ) from error
    except (ImportError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f'{what} {name} cannot be read: mmengine has no file backend for it ({_first_line(error)}); mount the '
            'storage as a folder, or download the files'
        ) from error
    if not data:
        raise DataError(
            f'{what} {name} is empty (0 bytes); copy it again or remove it from the set'
        )
    return data


def read_bytes(
    path: str | os.PathLike[str], *, what: str = 'image', backend_args: dict[str, Any] | None = None
) -> bytes:
    """Read an image or label file and check that it is an image and not cut short.

    Args:
        path: the file.
        what: ``'image'`` or ``'label'``, for the message.
        backend_args: mmengine's file backend, or None for the one that the path asks for.

    Raises:
        DataError: the file is missing, cannot be read, is empty, is no image, or is truncated.
    """
    name = os.fspath(path)
    data = fetch_bytes(path, what=what, backend_args=backend_args)
    found = format_of(data)
    if found is None:
        text = 'a text file' if _looks_like_text(data) else None
        kind = foreign_kind(data[:HEAD_BYTES]) or text or 'no image format that can be read'
        raise DataError(
            f'{what} {name} is not an image: it is {kind} (it begins with {data[:12]!r}); '
            'replace it or remove it from the set'
        )
    if not is_complete(data):
        raise DataError(
            f'{what} {name} is truncated: the {found} file ends after {len(data)} bytes without its '
            'end-of-image mark; copy it again or remove it from the set'
        )
    return data


def local_path(name: str) -> str:
    """Return the path of an address ``file://...``, and any other name as it is."""
    return url2pathname(urlsplit(name).path) if name.startswith('file://') else name


def _first_line(error: object) -> str:
    lines = str(error).strip().splitlines()
    return shown(lines[0]) if lines else 'it is damaged'


def _looks_like_text(data: bytes) -> bool:
    try:
        text = data[:256].decode('utf-8')
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character.isspace() for character in text)


def decode_image(
    data: bytes,
    path: str | os.PathLike[str],
    *,
    color_type: str = 'color',
    reduction: int = 1,
    value_range: ValueRange | None = None,
) -> npt.NDArray[Any]:
    """Decode the bytes of an image to 8 bits; where the file has 8 bits, as mmcv does with its OpenCV backend.

    But TIFF files that OpenCV misreads are read as :func:`swinseg.datasets.files.tiff.decode_tiff` says.

    Args:
        data: from :func:`read_bytes`.
        path: for the message.
        color_type: mmcv's flag: ``'color'`` gives three channels whatever the file has, turned as its EXIF
            orientation says; ``'grayscale'``; ``'..._ignore_orientation'``; and ``'unchanged'``, with channels and
            values as they are in the file.
        reduction: 1, or 2, 4 or 8 to decode to that part of each side, rounded up; only for ``'color'``.
        value_range: which values of a file of more than 8 bits become 0 and 255. Not for ``'unchanged'``.

    Returns:
        (H, W, 3) uint8 BGR for ``'color'``, (H, W) uint8 for ``'grayscale'``.

    Raises:
        DataError: it cannot be decoded, or it has more than 8 bits and ``value_range`` does not say what they
            mean.
    """
    image = decode_values(data, path, color_type=color_type, reduction=reduction)
    if image.dtype == np.uint8 or color_type == 'unchanged':
        return image
    if value_range is None:
        raise too_deep(os.fspath(path), image.dtype)
    return value_range.to_8_bits(image, is_bgr=True, name=os.fspath(path))


def decode_values(
    data: bytes,
    path: str | os.PathLike[str],
    *,
    color_type: str = 'color',
    reduction: int = 1,
) -> npt.NDArray[Any]:
    """Decode as :func:`decode_image` does, but to the values of the file, of its own type.

    Raises:
        DataError: it cannot be decoded.
    """
    with said_of('image', path):
        return decode(data, color_type=color_type, reduction=reduction)


@contextlib.contextmanager
def said_of(what: str, path: str | os.PathLike[str]) -> Iterator[None]:
    """Make a sentence about a file of what is said of its bytes in the block."""
    try:
        yield
    except DecodingError as error:
        raise _of_file(error, what, path) from error
    except MemoryError as error:
        raise too_large(what, path) from error


def too_large(what: str, path: str | os.PathLike[str]) -> DataError:
    """Return the error about a file for which the memory does not suffice."""
    return DataError(
        f'{what} {os.fspath(path)} needs more memory to be decoded than there is; cut it into tiles'
    )


def jpeg_shape(data: bytes) -> tuple[int, int] | None:
    """Read from its header the height and width that a JPEG has when it is turned as its EXIF says.

    Args:
        data: from :func:`read_bytes`.

    Returns:
        (H, W), or None where it is no JPEG or its header cannot be read.
    """
    if format_of(data) != 'JPEG':
        return None
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            turned = image.getexif().get(_EXIF_ORIENTATION) in (5, 6, 7, 8)
    except (OSError, SyntaxError, ValueError, TypeError, Image.DecompressionBombError):
        return None
    return (width, height) if turned else (height, width)


def _of_file(error: DecodingError, what: str, path: str | os.PathLike[str]) -> DataError:
    return DataError(f'{what} {os.fspath(path)} {error}; {error.fix}')


def decode_label(
    data: bytes, path: str | os.PathLike[str]
) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """Decode the bytes of a label file to its raw values.

    A palette file gives the indices, not the colors; a 1-bit file gives 0 and 1. For 8-bit, palette and
    1-bit files these are the values that mmseg's ``LoadAnnotations`` sees.

    Args:
        data: from :func:`read_bytes`.
        path: for the message.

    Returns:
        (H, W) uint8, or uint16 where the file has more than 8 bits.

    Raises:
        LabelChannelsError: the file has several channels.
        DataError: it is a JPEG or the like, holds no integers, or cannot be decoded.
    """
    kind = format_of(data)
    if kind in LOSSY_FORMATS:
        raise lossy_label(path, kind)
    if kind == 'PNG' and data[12:16] == b'IHDR':
        depth, color = data[24], data[25]
        if color in _PNG_CHANNELS:
            raise _has_channels(path, _PNG_CHANNELS[color])
        # OpenCV turns transparency into channels and reads animations in its own way.
        plain = not (png_chunks(data)[0] & {b'tRNS', b'acTL'})
        if color == _PNG_GRAY and depth in (8, 16) and plain:
            label = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
            if label is None or label.ndim != 2:
                raise _of_file(undecodable(data), 'label', path)
            return label
    return _decode_label_with_pillow(data, path)


def _decode_label_with_pillow(
    data: bytes, path: str | os.PathLike[str]
) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    try:
        with warnings.catch_warnings():
            # Transparency of palette entries is of no interest here.
            warnings.simplefilter('ignore', UserWarning)
            with Image.open(io.BytesIO(data)) as image:
                mode = image.mode
                values = np.array(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if format_of(data) != 'TIFF' or import_rasterio() is None:
            raise _of_file(undecodable(data, error), 'label', path) from error
        # Compressed or laid out as Pillow does not know.
        with said_of('label', path):
            values = decode_tiff(data, color_type='unchanged')
        mode = f'{values.shape[-1]} bands'
    if values.ndim != 2:
        raise _has_channels(path, _PIL_CHANNELS.get(mode, f'several channels ({mode})'))
    if values.dtype == np.bool_ or values.dtype == np.uint8:
        return values.astype(np.uint8, copy=False)
    if values.dtype == np.uint16:
        return values
    if values.dtype.kind in 'iu' and values.min() >= 0 and values.max() <= 65535:
        return values.astype(np.uint16)
    raise DataError(
        f'label {os.fspath(path)} holds values of type {values.dtype} from {values.min()} to {values.max()}, '
        'expected whole numbers from 0 to 65535; save it as an 8-bit or 16-bit PNG'
    )


def lossy_label(path: str | os.PathLike[str], kind: str = 'JPEG') -> DataError:
    """Return the error that says of a label that it is a JPEG, or of another format that changes values."""
    return DataError(
        f'label {os.fspath(path)} is {"an" if kind == "AVIF" else "a"} {kind}, whose compression changes label '
        'values; export the labels again in a lossless format such as PNG'
    )


def _has_channels(path: str | os.PathLike[str], channels: str) -> LabelChannelsError:
    return LabelChannelsError(
        f'label {os.fspath(path)} has {channels}, expected one channel that holds a class index per pixel; '
        'if its channels are equal keep one with cv2.imwrite(path, cv2.imread(path)[..., 0]), '
        'else give FolderDataset the palette of the classes and set color_labels=True'
    )
