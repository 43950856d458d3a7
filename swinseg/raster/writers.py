"""Writing labels of any size by rows, so that work that was interrupted goes on where it stopped.

The rows collect, one or two bytes a pixel, in a hidden file beside the result, and a small JSON file beside that
tells the job and how many rows are safe. The result is written from them in one pass at the end. So it does not
depend on where a job was interrupted, and appears only when it is complete.

Shapes: H, W = size of the labels; R = rows that are written at once; K = colors.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.labels.dtype import LABEL_DTYPES, label_dtype, values_of
from swinseg.files import OutputError, atomic_path, write_text
from swinseg.raster.geotiff import import_rasterio, write_geotiff
from swinseg.raster.image import Georeference, RasterError
from swinseg.visualization.palette import PaletteLike, check_palette

# Rows of a GeoTIFF's tiles, so that each tile is compressed once.
_ROWS_AT_ONCE = 256
# What a kill may cost, against a flush to disk for every few rows.
_BYTES_BETWEEN_RECORDS = 2**22
_SECONDS_BETWEEN_RECORDS = 10.0

_TIFF_SUFFIXES = ('.tif', '.tiff')
_SUFFIXES = (*_TIFF_SUFFIXES, '.npy', '.png')


def source_identity(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what tells that a file is still the same one: its path, bytes and time of change."""
    status = os.stat(path)
    return {
        'source': os.path.abspath(path),
        'bytes': status.st_size,
        'modified_ns': status.st_mtime_ns,
    }


class LabelWriter:
    """Labels that are written by rows, from the top, to a GeoTIFF, an ``.npy`` file or a PNG.

    Used as a context: where it ends well the file is finished, where it fails what was done is kept for a job of
    the same identity.

    Args:
        path: ends in ``.tif``, ``.tiff``, ``.npy`` or ``.png``.
        shape: H, W.
        dtype: uint8 or uint16.
        palette: K colors that TIFF and 8-bit PNG files carry; None for gray. Color tables of 16 bits are
            read by GDAL and what is built on it, and by few others.
        georeference: where the labels lie; for TIFF files, else left out.
        nodata: the value that means none; for TIFF files, else left out.
        job: what the labels depend on (source, settings), as JSON values. Work on a job that is equal is
            continued; None always begins anew and keeps nothing when it fails.

    Attributes:
        rows_done: rows that need not be computed again; the next to write.

    Raises:
        RasterError: a wrong argument, or TIFF without rasterio: now, not when the work is done.
        OutputError: the folder does not take files.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        shape: tuple[int, int],
        *,
        dtype: np.dtype[Any] | type[np.integer] = np.uint8,
        palette: PaletteLike | None = None,
        georeference: Georeference | None = None,
        nodata: int | None = None,
        job: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        self.shape = shape
        self._dtype = np.dtype(dtype)
        self._palette = None if palette is None else check_palette(palette)
        self._georeference = georeference
        self._nodata = nodata
        self._check()
        self._labels = self.path.with_name(f'.{self.path.name}.partial.labels')
        self._record = self.path.with_name(f'.{self.path.name}.partial.json')
        self._job: dict[str, Any] | None = None
        if job is not None:
            about = {'shape': list(shape), 'dtype': self._dtype.name, 'job': dict(job)}
            # As it will be read back: tuples are lists there.
            self._job = json.loads(json.dumps(about))
        self.rows_done = self._rows_of_the_same_job()
        self._unrecorded = 0
        self._recorded_at = time.monotonic()
        try:
            if not self.rows_done:
                # Before its rows are overwritten: it must not vouch for those of this job.
                self._discard()
            self._file: BinaryIO = open(  # noqa: SIM115
                self._labels, 'r+b' if self.rows_done else 'w+b'
            )
            self._file.truncate(self.rows_done * self._row_bytes)
            self._file.seek(0, os.SEEK_END)
        except OSError as error:
            raise self._unwritable(error) from error

    def _check(self) -> None:
        suffix = self.path.suffix.lower()
        if suffix not in _SUFFIXES:
            raise RasterError(
                f'labels are written to files that end in {", ".join(_SUFFIXES)}, but {self.path} does not'
            )
        if self._dtype not in LABEL_DTYPES:
            raise RasterError(
                f'labels are written as {" or ".join(map(str, LABEL_DTYPES))}, but {self._dtype} was asked'
            )
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise RasterError(f'labels have a height and a width above 0, but got {self.shape}')
        colors = 0 if self._palette is None else len(self._palette)
        if colors > values_of(self._dtype):
            raise RasterError(
                f'{colors} classes do not fit {self._dtype} labels; choose dtype={label_dtype(colors)}'
            )
        if self._nodata is not None and not 0 <= self._nodata <= np.iinfo(self._dtype).max:
            raise RasterError(
                f'nodata must be a value that {self._dtype} labels can have, but is {self._nodata}'
            )
        if suffix in _TIFF_SUFFIXES:
            import_rasterio()

    @property
    def _row_bytes(self) -> int:
        return self.shape[1] * self._dtype.itemsize

    def _rows_of_the_same_job(self) -> int:
        try:
            record = json.loads(self._record.read_text(encoding='utf-8'))
            rows = record.pop('rows_done')
            if self._job is None or record != self._job:
                return 0
            return rows if self._labels.stat().st_size >= rows * self._row_bytes else 0
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return 0  # no record that can be trusted

    def write_rows(self, first_row: int, labels: NDArray[Any]) -> None:
        """Write the next rows.

        Args:
            first_row: of the labels; must be ``rows_done``.
            labels: (R, W) whole numbers that fit the dtype; not changed.

        Raises:
            RasterError: the rows are not the next ones, or do not fit.
            OutputError: they cannot be written.
        """
        if first_row != self.rows_done:
            raise RasterError(
                f'rows are written in order: row {self.rows_done} of {self.path} is next, but row {first_row} came'
            )
        end = first_row + len(labels)
        if labels.ndim != 2 or labels.shape[1] != self.shape[1] or end > self.shape[0]:
            raise RasterError(
                f'{self.path} takes up to {self.shape[0] - first_row} rows of {self.shape[1]} labels from row '
                f'{first_row} on, but labels of shape {labels.shape} came'
            )
        if labels.dtype != self._dtype:
            limit = int(np.iinfo(self._dtype).max)
            if labels.dtype.kind not in 'iu' or not 0 <= labels.min() <= labels.max() <= limit:
                raise RasterError(
                    f'{self.path} takes labels that are whole numbers from 0 to {limit}, but {labels.dtype} from '
                    f'{labels.min()} to {labels.max()} came'
                )
        data = labels.astype(self._dtype).tobytes()
        try:
            self._file.write(data)
        except OSError as error:
            raise self._unwritable(error) from error
        self.rows_done = end
        self._unrecorded += len(data)
        waited = time.monotonic() - self._recorded_at
        if self._unrecorded >= _BYTES_BETWEEN_RECORDS or waited >= _SECONDS_BETWEEN_RECORDS:
            self._record_progress()

    def _record_progress(self) -> None:
        if self._job is None:
            return
        # The rows first: a record never promises rows that a power cut took.
        self._file.flush()
        os.fsync(self._file.fileno())
        write_text(self._record, json.dumps({**self._job, 'rows_done': self.rows_done}))
        self._unrecorded = 0
        self._recorded_at = time.monotonic()

    def finish(self) -> None:
        """Write the file, and remove what was kept to continue.

        Raises:
            RasterError: rows are missing.
            OutputError: the file cannot be written.
        """
        if self.rows_done < self.shape[0]:
            self.suspend()
            raise RasterError(
                f'{self.path} has {self.shape[0]} rows, but only {self.rows_done} were written'
            )
        self.suspend()
        suffix = self.path.suffix.lower()
        with atomic_path(self.path) as temporary:
            if suffix == '.npy':
                _write_npy(temporary, self.rows(), self.shape, self._dtype)
            elif suffix == '.png':
                _write_png(temporary, self.rows(), self.shape, self._dtype, self._palette)
            else:
                write_geotiff(
                    temporary, self.rows(), self.shape, self._dtype,
                    palette=self._palette, georeference=self._georeference, nodata=self._nodata,
                )  # fmt: skip
        self._discard()

    def rows(self) -> Iterator[NDArray[Any]]:
        """Yield what was written so far, those of earlier runs included, as (R, W) labels from the top."""
        if not self._file.closed:
            self._file.flush()
        # Read, not mapped: mapped pages count as memory of the process, and would grow with the height.
        with open(self._labels, 'rb') as file:
            for first in range(0, self.rows_done, _ROWS_AT_ONCE):
                rows = min(_ROWS_AT_ONCE, self.rows_done - first)
                data = file.read(rows * self._row_bytes)
                yield np.frombuffer(data, self._dtype).reshape(rows, self.shape[1])

    def suspend(self) -> None:
        """Stop for now: keep what was written, for a job of the same identity."""
        if not self._file.closed:
            self._record_progress()
            self._file.close()

    def _discard(self) -> None:
        for path in (self._record, self._labels):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(f'cannot write {self._labels}: {error.strerror or error}')

    def __enter__(self) -> LabelWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.finish()
            return
        self.suspend()
        if self._job is None:
            self._discard()


def _write_npy(
    path: Path, parts: Iterator[NDArray[Any]], shape: tuple[int, int], dtype: np.dtype[Any]
) -> None:
    with open(path, 'wb') as file:
        header = {
            'descr': np.lib.format.dtype_to_descr(dtype),
            'fortran_order': False,
            'shape': shape,
        }
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(part.tobytes())


def _write_png(
    path: Path,
    parts: Iterator[NDArray[Any]],
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    palette: NDArray[np.uint8] | None,
) -> None:
    """Write an indexed PNG, or a gray one without a palette or with 16 bits (PNG specification, 11.2)."""
    depth = dtype.itemsize * 8
    is_indexed = palette is not None and depth == 8
    height, width = shape
    compressor = zlib.compressobj(6)
    with open(path, 'wb') as file:
        file.write(b'\x89PNG\r\n\x1a\n')
        kind = 3 if is_indexed else 0
        _write_chunk(file, b'IHDR', struct.pack('>IIBBBBB', width, height, depth, kind, 0, 0, 0))
        if palette is not None and is_indexed:
            # All 256 entries, as an ignored pixel has a value without a class.
            colors = np.zeros((256, 3), np.uint8)
            colors[: len(palette)] = palette
            _write_chunk(file, b'PLTE', colors.tobytes())
        for part in parts:
            rows = part.astype(part.dtype.newbyteorder('>')).view(np.uint8)
            # Each row begins with its filter; 0 is none, the best for labels.
            filtered = np.pad(rows.reshape(len(part), -1), ((0, 0), (1, 0)))
            _write_chunk(file, b'IDAT', compressor.compress(filtered.tobytes()))
        _write_chunk(file, b'IDAT', compressor.flush())
        _write_chunk(file, b'IEND', b'')


def _write_chunk(file: BinaryIO, name: bytes, data: bytes) -> None:
    file.write(struct.pack('>I', len(data)) + name + data)
    file.write(struct.pack('>I', zlib.crc32(name + data)))
