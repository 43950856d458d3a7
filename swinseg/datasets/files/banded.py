"""Reading chosen bands of an image file whole, with where it has data.

Shapes: H, W = size of the image; C = bands.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swinseg.datasets.files.band_choice import Choice, chosen_numbers, files_of_bands
from swinseg.datasets.files.decoding import decode
from swinseg.datasets.files.headers import format_of
from swinseg.datasets.files.images import fetch_bytes, read_bytes, said_of
from swinseg.datasets.files.orientation import turned
from swinseg.datasets.files.tiff import import_rasterio, open_raster, read_header
from swinseg.datasets.files.tiff_bands import TiffBands, any_band
from swinseg.errors import DataError, DecodingError

NPY_SIGNATURE = b'\x93NUMPY'
_DRIVERS = {'TIFF': 'GTiff', 'JPEG 2000': 'JP2OpenJPEG'}


@dataclass(frozen=True)
class BandedImage:
    """Bands of an image.

    Attributes:
        pixels: (H, W, C) of the file's type, in the order in which they were chosen.
        valid: (H, W), whether a band has data, by the nodata value, mask or alpha of the file; a number that is
            not finite is no data.
    """

    pixels: npt.NDArray[Any]
    valid: npt.NDArray[np.bool_]


def read_bands(
    path: str | os.PathLike[str], chosen: Choice, *, backend_args: dict[str, Any] | None = None
) -> BandedImage:
    """Read chosen bands of a TIFF, a JPEG 2000, an ``.npy`` file of (H, W, C) or (H, W) numbers, or any picture.

    A file of one band whose name has the name of one of several chosen bands is one of as many files, each of one
    band (:func:`swinseg.datasets.files.band_choice.files_of_bands`). The bands of a picture are red, green, blue
    and, where it has some, transparency.

    Args:
        path: the file.
        chosen: numbers or names of the bands.
        backend_args: mmengine's file backend, or None for the one that the path asks for.

    Raises:
        DataError: a file is missing or damaged, has no such bands, or another size than the other bands.
    """
    data = _read(path, backend_args)
    files = files_of_bands(path, chosen)
    with said_of('image', path):
        if files is None or count_bands(data) != 1:
            return decode_bands(data, chosen)
    images = []
    for file in files:
        of_file = data if file == os.fspath(path) else _read(file, backend_args)
        with said_of('image', file):
            images.append(decode_bands(of_file, (1,)))
    check_same_size(files, [image.valid.shape for image in images])
    return BandedImage(
        np.concatenate([image.pixels for image in images], axis=2),
        np.any([image.valid for image in images], axis=0),
    )


def without_data(path: str | os.PathLike[str], shape: Sequence[int]) -> str:
    """Return the sentence about an image of ``shape`` (H, W) in which no pixel has data."""
    return (
        f'image {os.fspath(path)} has no data in any of its {shape[0]} x {shape[1]} pixels (height x width), as '
        'its nodata value, mask or alpha says, or for its values are no finite numbers; mend that, or leave the '
        'file out'
    )


def check_same_size(files: tuple[str, ...], shapes: list[tuple[int, ...]]) -> None:
    """Make sure that files of one band each are of one size.

    Raises:
        DataError: one is not.
    """
    for file, shape in zip(files, shapes, strict=True):
        if shape != shapes[0]:
            raise DataError(
                f'image {file} has {shape[0]} x {shape[1]} pixels (height x width), but {files[0]}, which has '
                f'another band of it, {shapes[0][0]} x {shapes[0][1]}; bring them to one size, say by gdalwarp '
                f'-ts {shapes[0][1]} {shapes[0][0]}'
            )


def _read(path: str | os.PathLike[str], backend_args: dict[str, Any] | None) -> bytes:
    if os.fspath(path).lower().endswith('.npy'):
        return fetch_bytes(path, backend_args=backend_args)
    return read_bytes(path, backend_args=backend_args)


def count_bands(data: bytes) -> int:
    """Return how many bands a file has, of its bytes.

    Raises:
        DecodingError: it cannot be decoded.
    """
    if format_of(data) in _DRIVERS:
        with _opened(data) as file:
            return int(file.count)
    return int(_layers(data).shape[2])


def decode_bands(data: bytes, chosen: Choice, *, ignore_orientation: bool = False) -> BandedImage:
    """Decode the chosen bands of one file.

    Args:
        data: the file.
        chosen: numbers or names of the bands.
        ignore_orientation: leave the pixels of a TIFF as they are stored, whatever its Orientation says.

    Raises:
        DecodingError: it cannot be decoded, or has no such bands.
        MemoryError: there is too little.
    """
    if format_of(data) in _DRIVERS:
        with _opened(data) as file:
            bands = TiffBands(file, chosen)
            unique = sorted(set(bands.numbers))
            order = [unique.index(band) for band in bands.numbers]
            values, masks = file.read(unique)[order], file.read_masks(unique)[order]
            pixels = bands.pixels(values)
            valid = any_band(masks, values if values.dtype.kind == 'f' else None)
            lies_nowhere = file.transform.is_identity and not file.gcps[0]
        is_turned = lies_nowhere and not ignore_orientation
        header = read_header(io.BytesIO(data)) if is_turned else None
        if header is not None:
            pixels, valid = (turned(each, header.orientation) for each in (pixels, valid))
        return BandedImage(np.ascontiguousarray(pixels), np.ascontiguousarray(valid))
    layers = _layers(data)
    alpha = () if data.startswith(NPY_SIGNATURE) else (4,)
    numbers = chosen_numbers(chosen, layers.shape[2], alpha=alpha)
    pixels = np.ascontiguousarray(layers[..., [band - 1 for band in numbers]])
    valid = np.ones(pixels.shape[:2], np.bool_)
    if pixels.dtype.kind == 'f':
        valid = np.isfinite(pixels).any(axis=2)
    return BandedImage(pixels, valid)


@contextlib.contextmanager
def _opened(data: bytes) -> Iterator[Any]:
    if import_rasterio() is None:
        raise DecodingError(
            'is read by its bands through rasterio, which is not installed',
            fix="pip install 'swinseg[raster]'",
        )
    with open_raster(data, driver=_DRIVERS[format_of(data) or '']) as file:
        yield file


def _layers(data: bytes) -> npt.NDArray[Any]:
    """Return (H, W, C) numbers of an ``.npy`` file, or of a picture, RGB and transparency."""
    if data.startswith(NPY_SIGNATURE):
        return _layers_of_array(data)
    picture = decode(data, color_type='unchanged')
    if picture.ndim == 2:
        return picture[..., None]
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(picture.shape[2])
    return picture if order is None else picture[..., order]


def _layers_of_array(data: bytes) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DecodingError(
            f'cannot be read as an .npy file: {error}', fix='save it again with numpy.save'
        ) from error
    if array.ndim not in (2, 3) or array.dtype.kind not in 'uif' or not array.size:
        raise DecodingError(
            f'must be (height, width) or (height, width, bands) numbers, but is {array.shape} {array.dtype}',
            fix='save such an array',
        )
    return array[..., None] if array.ndim == 2 else array
