"""Image that is read by windows, and the one that is an array or a memory-mapped ``.npy`` file.

Shapes: H, W = size of the image; h, w = size of a window; C = bands.
"""

from __future__ import annotations

import math
import os
import zipfile
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.files.band_choice import Choice, chosen_numbers
from swinseg.errors import DecodingError, UserError, quoted, shown


class RasterError(UserError):
    """An image cannot be read by windows, or labels cannot be written by rows."""


@dataclass(frozen=True)
class Georeference:
    """Where the pixels of an image lie on the earth.

    Attributes:
        transform: rasterio's ``Affine`` from (column, row) to coordinates, or None.
        crs: rasterio's ``CRS`` of the transform or the points, or None where the file names none.
        points: ground control points, rasterio's ``GroundControlPoint``; none where there is a transform.
        rpcs: rational polynomial coefficients, rasterio's ``RPC``, or None.
    """

    transform: Any
    crs: Any
    points: tuple[Any, ...] = ()
    rpcs: Any = None

    def description(self) -> dict[str, Any]:
        """Return it as JSON values, equal where two are."""
        return {
            'transform': None if self.transform is None else list(self.transform),
            'crs': None if self.crs is None else self.crs.to_wkt(),
            'points': [[point.row, point.col, point.x, point.y, point.z] for point in self.points],
            'rpcs': None if self.rpcs is None else self.rpcs.to_dict(),
        }


class RasterImage(Protocol):
    """An image that is read by windows."""

    @property
    def shape(self) -> tuple[int, int]:
        """H, W."""

    @property
    def georeference(self) -> Georeference | None:
        """Where it lies, for files that say so."""

    def read(self, top: int, bottom: int, left: int, right: int) -> NDArray[Any]:
        """Return (bottom - top, right - left, C) pixels, RGB where there are three; to be read only."""

    def valid(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
        """Return (bottom - top, right - left): where there is data."""

    def overview(self, max_side: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return (h, w, C) pixels and (h, w) validity of a coarse view, the same ones every time."""


def check_window(shape: tuple[int, int], top: int, bottom: int, left: int, right: int) -> None:
    """Refuse a window that is empty or leaves the image.

    Raises:
        RasterError: it does.
    """
    if not (0 <= top < bottom <= shape[0] and 0 <= left < right <= shape[1]):
        raise RasterError(
            f'a window must lie inside of the image of {shape[0]} x {shape[1]} pixels (height x width), but rows '
            f'{top} to {bottom} and columns {left} to {right} were asked for'
        )


class ArrayImage:
    """An array as an image that is read by windows.

    Args:
        pixels: (H, W), (H, W, 1) or (H, W, C) numbers, RGB where C is 3. One band is widened to three.
        name: of the file, for messages.
        georeference: where it lies.
        bands: numbers of the bands to read, from 1, or the names of all of them, in this order; one of them is not
            widened. None takes all.

    Raises:
        RasterError: it has another form, no pixels, or no such bands.
    """

    def __init__(
        self,
        pixels: NDArray[Any],
        *,
        name: str | os.PathLike[str] = 'the array',
        georeference: Georeference | None = None,
        bands: Choice | None = None,
    ) -> None:
        self.georeference = georeference
        self._order: list[int] | None = None
        if pixels.ndim not in (2, 3) or pixels.dtype.kind not in 'uif' or not pixels.size:
            raise RasterError(
                f'an image must be (height, width) or (height, width, bands) numbers, but {os.fspath(name)} is '
                f'{pixels.shape} {pixels.dtype}{_how_to_mend(pixels)}'
            )
        self._pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        if bands is not None:
            try:
                numbers = chosen_numbers(bands, self._pixels.shape[2])
            except DecodingError as error:
                raise RasterError(f'image {os.fspath(name)} {error}; {error.fix}') from error
            self._order = [band - 1 for band in numbers]

    @property
    def bands(self) -> int:
        """How many the array has."""
        return int(self._pixels.shape[2])

    @property
    def shape(self) -> tuple[int, int]:
        """H, W."""
        return self._pixels.shape[0], self._pixels.shape[1]

    def read(self, top: int, bottom: int, left: int, right: int) -> NDArray[Any]:
        """Return (h, w, C) pixels of the array's dtype."""
        check_window(self.shape, top, bottom, left, right)
        return self._chosen(self._pixels[top:bottom, left:right])

    def valid(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
        """Return (h, w): True but where a float pixel is not finite."""
        return self._finite(self.read(top, bottom, left, right))

    def overview(self, max_side: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return every n-th pixel of every n-th row, and their validity."""
        step = max(1, math.ceil(max(self.shape) / max_side))
        pixels = self._chosen(self._pixels[::step, ::step])
        return pixels, self._finite(pixels)

    def _chosen(self, pixels: NDArray[Any]) -> NDArray[Any]:
        if self._order is not None:
            return np.asarray(pixels[..., self._order])
        pixels = np.asarray(pixels)
        return pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else pixels

    def _finite(self, pixels: NDArray[Any]) -> NDArray[np.bool_]:
        if pixels.dtype.kind != 'f':
            return np.ones(pixels.shape[:2], np.bool_)
        # Of chosen bands one with data suffices, as in files that GDAL reads.
        finite = np.isfinite(pixels)
        return finite.all(axis=2) if self._order is None else finite.any(axis=2)


def open_npy(path: str | os.PathLike[str], *, bands: Choice | None = None) -> ArrayImage:
    """Open an ``.npy`` file without reading its pixels; ``bands`` are as :class:`ArrayImage` takes them.

    Raises:
        RasterError: it is missing, no ``.npy`` file, cut short, or holds no image.
    """
    name = os.fspath(path)
    if os.path.splitext(name)[1].lower() == '.npz':
        raise RasterError(f'image {name} is an archive of arrays; {_how_to_unpack(name)}')
    try:
        pixels = np.load(name, mmap_mode='r', allow_pickle=False)
    except FileNotFoundError as error:
        raise RasterError(f'image {name} does not exist; check the path') from error
    except (OSError, ValueError, EOFError) as error:
        raise RasterError(
            f'image {name} cannot be read as an .npy file: {error}; save it again with numpy.save'
        ) from error
    return ArrayImage(pixels, name=name, bands=bands)


def _how_to_unpack(name: str) -> str:
    try:
        with np.load(name, allow_pickle=False) as archive:
            keys = archive.files
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        return f'it cannot be read: {shown(str(error))}'
    if not keys:
        return 'it is empty'
    # The first is an example where there are several.
    return (
        f'it holds {", ".join(map(quoted, keys[:5]))}{" and more" if len(keys) > 5 else ""}: '
        f'numpy.save("{name[:-4]}.npy", numpy.load("{name}")[{quoted(keys[0])}])'
    )


def _how_to_mend(pixels: NDArray[Any]) -> str:
    if pixels.ndim == 4 and len(pixels) == 1:
        turned = '.transpose(1, 2, 0)' if is_bands_first(pixels.shape[1:]) else ''
        return f', a batch of one: save array[0]{turned}'
    if pixels.ndim == 4:
        return f', a batch of {len(pixels)}: save each into a file of its own'
    if pixels.dtype == np.bool_:
        return (
            ", a mask, which no model is shown; save array.astype('uint8') * 255 if it is a picture"
        )
    return ''


def is_bands_first(shape: tuple[int, ...]) -> bool:
    """Whether the shape of an array looks like (bands, height, width), of at least 16 pixels a side."""
    return len(shape) == 3 and shape[0] < 16 <= min(shape[1:])
