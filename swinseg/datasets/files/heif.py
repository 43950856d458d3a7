"""Decoding HEIC and AVIF: by pillow-heif, and by Pillow itself.

Files of more than 8 bits, as cameras write for displays of high contrast, are decoded to 8. The module imports
neither PyTorch nor mmcv, so that a process that only decodes stays small.
"""

from __future__ import annotations

import importlib
import io
import warnings
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, features

from swinseg.datasets.files.opencv import undecodable
from swinseg.errors import DecodingError

HEIC, AVIF = 'HEIC', 'AVIF'
"""Formats, as ``format_of`` names them."""


def missing_reader(kind: str) -> DecodingError | None:
    """Return the error about a file of a format whose reader is not installed, or None where it is."""
    if kind == HEIC and _pillow_heif() is None:
        return DecodingError(
            'is a HEIC file, which is read by pillow-heif, which is not installed',
            fix="pip install 'swinseg[heif]', or save it as JPEG or PNG",
        )
    if kind == AVIF and not _reads_avif():
        return DecodingError(
            'is an AVIF file, which this build of Pillow does not read',
            fix="pip install 'pillow>=11.3', or save it as JPEG or PNG",
        )
    return None


def use_one_thread() -> None:
    """Load the readers that are installed, and let each decode by one thread, which takes the least memory."""
    if _reads_avif():
        plugin: Any = importlib.import_module('PIL.AvifImagePlugin')
        plugin.DEFAULT_MAX_THREADS = 1
    reader = _pillow_heif()
    if reader is not None:
        reader.options.DECODE_THREADS = 1


def open_heif(file: BinaryIO, kind: str) -> Image.Image:
    """Open a HEIC or AVIF file; its pixels are decoded when they are asked for.

    Args:
        file: at its beginning.
        kind: ``'HEIC'`` or ``'AVIF'``.

    Raises:
        DecodingError: its reader is not installed.
        Exception: of many kinds, where the file is damaged.
    """
    missing = missing_reader(kind)
    if missing is not None:
        raise missing
    if kind == AVIF:
        return Image.open(file, formats=('AVIF',))
    # The class, not its registration with Pillow, which would be for the whole process.
    reader: Any = _pillow_heif()
    opened: Image.Image = reader.HeifImageFile(file)
    return opened


def decode_heif(data: bytes, kind: str, *, color_type: str = 'color') -> NDArray[Any]:
    """Decode the first picture of a HEIC or AVIF file.

    Args:
        data: the file.
        kind: ``'HEIC'`` or ``'AVIF'``.
        color_type: as of :func:`swinseg.datasets.files.images.decode_image`. HEIC is turned in any case, as its
            file says.

    Returns:
        (H, W, 3) BGR, (H, W), or (H, W, 4) with alpha for ``'unchanged'``, uint8.

    Raises:
        DecodingError: it cannot be read so.
        MemoryError: there is too little.
    """
    missing = missing_reader(kind)
    if missing is not None:
        raise missing
    try:
        with open_heif(io.BytesIO(data), kind) as opened:
            opened.load()
            if color_type in ('color', 'grayscale'):
                opened = ImageOps.exif_transpose(opened)
            is_transparent = color_type == 'unchanged' and opened.mode in ('RGBA', 'LA', 'PA')
            pixels = np.asarray(opened.convert('RGBA' if is_transparent else 'RGB'))
    except MemoryError:
        raise
    except Exception as error:  # the readers raise all kinds at damaged files
        raise undecodable(data, error) from error
    if color_type.startswith('grayscale'):
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    code = cv2.COLOR_RGBA2BGRA if is_transparent else cv2.COLOR_RGB2BGR
    return np.asarray(cv2.cvtColor(pixels, code))


def _pillow_heif() -> Any | None:
    try:
        return importlib.import_module('pillow_heif')
    except ImportError:
        return None


def _reads_avif() -> bool:
    with warnings.catch_warnings():
        # Of a Pillow that has never heard of it.
        warnings.simplefilter('ignore')
        return bool(features.check('avif'))
