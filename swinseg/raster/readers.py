"""Opening an image of any size, whatever its format, as one that is read by windows in 8 bits."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from swinseg.datasets.files.band_choice import Choice, files_of_bands
from swinseg.datasets.files.banded import count_bands, decode_bands
from swinseg.datasets.files.headers import format_of
from swinseg.datasets.files.heif import AVIF, HEIC, open_heif
from swinseg.datasets.files.images import decode_values, read_bytes, said_of
from swinseg.datasets.files.several_pictures import several_pictures_of_file
from swinseg.datasets.files.tiff import read_header
from swinseg.datasets.files.value_range import PER_IMAGE, VIEW_SIDE, ValueRange, too_deep
from swinseg.raster.band_files import BandFiles
from swinseg.raster.formats import TIFF, driver_of
from swinseg.raster.georeference import georeference_beside
from swinseg.raster.geotiff import GdalImage
from swinseg.raster.image import ArrayImage, RasterError, RasterImage, open_npy
from swinseg.raster.oriented import OrientedImage

MAX_DECODED_PIXELS = 2**28
"""Pixels of the largest image that is decoded whole where nothing else is said; they take 768 MiB."""


def open_image(
    image: str | os.PathLike[str] | NDArray[Any],
    *,
    bands: Choice | None = None,
    value_range: ValueRange | None = None,
    keep_values: bool = False,
    max_decoded_pixels: int = MAX_DECODED_PIXELS,
) -> RasterImage:
    """Open an image to be read by windows.

    ``.npy`` files are memory-mapped; TIFF, VRT, ERDAS Imagine and georeferenced JPEG 2000 files are read by window
    through rasterio; all other formats are decoded whole. Files without a georeference are turned as their
    orientation says. Gray is widened to three bands, alpha dropped, and of a file of several pictures the first
    one read, which a warning says.

    Args:
        image: a file, or (H, W) or (H, W, C) pixels, RGB where C is 3.
        bands: numbers of the bands to read, from 1, or their names, in this order; None takes red, green and
            blue. Of names, a file of one band that is named after one of them is one of as many files.
        value_range: which values become 0 and 255 where the pixels are not uint8. A range of each image is taken
            from the valid pixels of a coarse view.
        keep_values: leave the pixels as they are.
        max_decoded_pixels: of an image that is decoded whole.

    Raises:
        RasterError: the image is too large to be decoded whole, or cannot be read by windows.
        DataError: the file is missing, damaged or no image, or has more than 8 bits of which nothing says what
            they mean.
    """
    opened = _open(image, bands, max_decoded_pixels)
    if not isinstance(image, np.ndarray):
        sentence = several_pictures_of_file(image)
        if sentence is not None:
            warnings.warn(sentence, stacklevel=2)
    dtype = opened.read(0, 1, 0, 1).dtype
    if keep_values or dtype == np.uint8:
        return opened
    name = 'the array' if isinstance(image, np.ndarray) else os.fspath(image)
    if value_range is None:
        raise too_deep(name, dtype)
    return EightBitImage(opened, value_range, name=name)


def _open(
    image: str | os.PathLike[str] | NDArray[Any],
    bands: Choice | None,
    max_decoded_pixels: int,
) -> RasterImage:
    if isinstance(image, np.ndarray):
        return ArrayImage(image, bands=bands)
    files = None if bands is None else files_of_bands(image, bands)
    if files is not None and _has_one_band(image):
        return BandFiles([_open(file, (1,), max_decoded_pixels) for file in files], files)
    driver = driver_of(image)
    if driver is not None:
        return _open_with_gdal(image, driver, bands)
    if Path(image).suffix.lower() in ('.npy', '.npz'):
        return open_npy(image, bands=bands)
    georeference = georeference_beside(image)
    # A georeference is about the rows and columns as they are stored.
    color_type = 'color' if georeference is None else 'color_ignore_orientation'
    pixels = _decode(image, max_decoded_pixels, color_type=color_type, bands=bands)
    # What was chosen is read as it is, a single band among it.
    every = None if bands is None else tuple(range(1, pixels.shape[2] + 1))
    return ArrayImage(pixels, name=image, georeference=georeference, bands=every)


def _has_one_band(path: str | os.PathLike[str]) -> bool:
    driver = driver_of(path)
    if driver is not None:
        with contextlib.closing(GdalImage(path, driver=driver, bands=(1,))) as image:
            return image.count == 1
    if Path(path).suffix.lower() in ('.npy', '.npz'):
        return open_npy(path).bands == 1
    data = read_bytes(path)
    with said_of('image', path):
        return count_bands(data) == 1


def _open_with_gdal(path: str | os.PathLike[str], driver: str, bands: Choice | None) -> RasterImage:
    image = GdalImage(path, driver=driver, bands=bands)
    if image.georeference is not None or driver != TIFF:
        return image
    with open(path, 'rb') as file:
        header = read_header(file)
    if header is None or header.orientation == 1:
        return image
    return OrientedImage(image, header.orientation)


def open_header(file: BinaryIO, kind: str | None) -> Image.Image:
    """Open an image with Pillow for what its header tells; JPEG and PNG of any size.

    Args:
        file: at its beginning.
        kind: as ``format_of`` names it.

    Raises:
        Image.DecompressionBombError: another format with very many pixels.
        OSError, SyntaxError, ValueError: the header cannot be read.
    """
    if kind in (HEIC, AVIF):
        return open_heif(file, kind)
    # These two are opened by class, because Image.open refuses large images whatever limit the caller sets.
    by_class = {'JPEG': JpegImageFile, 'PNG': PngImageFile}.get(kind or '', Image.open)
    opened: Image.Image = by_class(file)
    return opened


def _decode(
    path: str | os.PathLike[str],
    max_pixels: int,
    *,
    color_type: str = 'color',
    bands: Choice | None = None,
) -> NDArray[Any]:
    data = read_bytes(path)
    kind = format_of(data)
    try:
        with open_header(io.BytesIO(data), kind) as picture:
            width, height = picture.size
            has_alpha = 'A' in picture.getbands() or 'transparency' in picture.info
    except Image.DecompressionBombError as error:
        raise RasterError(
            f'image {os.fspath(path)} is too large to be decoded whole: {error}; convert it to a tiled '
            'GeoTIFF, which is read by windows'
        ) from error
    except (OSError, SyntaxError, ValueError):
        # A header that Pillow does not read may still be one that OpenCV does.
        width = height = 0
        has_alpha = False
    if width * height > max_pixels:
        raise RasterError(
            f'image {os.fspath(path)} has {height} x {width} pixels (height x width), but {kind} files '
            f'decode only whole, up to {max_pixels} pixels: convert it with '
            f'gdal_translate -co TILED=YES {os.fspath(path)} scene.tif, or raise max_decoded_pixels'
        )
    if bands is not None:
        with said_of('image', path):
            return decode_bands(data, bands).pixels
    if has_alpha:
        # From one place, so that Python says it once.
        warnings.warn('the alpha band of an image is not shown to the model', stacklevel=1)
    pixels = decode_values(data, path, color_type=color_type)
    return pixels[..., ::-1]


class EightBitImage:
    """Another image, whose values become 0 to 255.

    Args:
        image: of any dtype.
        value_range: which values become 0 and 255.
        name: of the file, for messages.
    """

    def __init__(
        self, image: RasterImage, value_range: ValueRange, *, name: str = 'the image'
    ) -> None:
        self._image = image
        self._name = name
        if value_range.rule == PER_IMAGE:
            value_range = ValueRange.measured(*image.overview(VIEW_SIDE))
        self._range = value_range
        self.shape = image.shape
        self.georeference = image.georeference

    def read(self, top: int, bottom: int, left: int, right: int) -> NDArray[Any]:
        """Return (h, w, C) uint8 pixels; what is no number is 0."""
        return self._mapped(self._image.read(top, bottom, left, right))

    def valid(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
        """Return (h, w): where the other image has data."""
        return self._image.valid(top, bottom, left, right)

    def overview(self, max_side: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return a coarse view in 8 bits, and its validity."""
        pixels, valid = self._image.overview(max_side)
        return self._mapped(pixels), valid

    def _mapped(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        return self._range.to_8_bits(pixels, name=self._name)
