"""Bands of a large scene that different workers compute: kept as files that all of them see until all are there.

A band is to the bit what one process computes there, and so is the scene that is put together: what writes that of
one process writes it.

Shapes: P = planes, labels and, where it is asked for, confidence; R = rows; W = width of the scene.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import struct
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinseg.segment.bulk import remote, storage
from swinseg.segment.scenes.scene import OpenedScene

Band = tuple[int, int]

# First row, planes, rows, width, and bytes of a value of what follows.
_HEADER = struct.Struct('<QBIIB')
_LEVEL = 1


class SceneParts:
    """The files of the bands of a scene.

    Args:
        scratch: folder of all scenes.
        identity: JSON values that the labels depend on, by which bands of an earlier run are known again.
    """

    def __init__(self, scratch: str, identity: Any) -> None:
        text = json.dumps(identity, sort_keys=True)
        key = hashlib.blake2b(text.encode('utf-8', 'backslashreplace'), digest_size=12).hexdigest()
        self._place = storage.place_of(f'{scratch.rstrip("/")}/{key}')

    def missing(self, bands: Sequence[Band]) -> tuple[Band, ...]:
        """Return the bands that are not there from an earlier run."""
        names = set(self._place.names())
        return tuple(band for band in bands if _name(band) not in names)

    def compute(self, scene: OpenedScene, band: Band) -> None:
        """Compute a band, and keep it.

        Raises:
            OutputError: it cannot be written.
        """
        with tempfile.TemporaryDirectory(prefix='swinseg-') as folder:
            path = Path(folder) / 'rows'
            with gzip.open(path, 'wb', _LEVEL) as file:
                for first, planes in scene.rows(*band):
                    count, rows, width = planes.shape
                    file.write(_HEADER.pack(first, count, rows, width, planes.dtype.itemsize))
                    file.write(np.ascontiguousarray(planes).tobytes())
            self._place.put(_name(band), path)

    @contextlib.contextmanager
    def all_rows(self, bands: Sequence[Band]) -> Iterator[Iterator[tuple[int, NDArray[Any]]]]:
        """Give the first row and the (P, R, W) planes of what was computed, from the top.

        Raises:
            StorageError: a band is not there.
        """
        with tempfile.TemporaryDirectory(prefix='swinseg-') as folder:
            yield self._rows(bands, Path(folder))

    def _rows(self, bands: Sequence[Band], folder: Path) -> Iterator[tuple[int, NDArray[Any]]]:
        for band in bands:
            path = remote.fetch(f'{self._place.address}/{_name(band)}', folder)
            with gzip.open(path) as file:
                while header := file.read(_HEADER.size):
                    first, count, rows, width, size = _HEADER.unpack(header)
                    data = file.read(count * rows * width * size)
                    dtype = np.uint8 if size == 1 else np.uint16
                    yield first, np.frombuffer(data, dtype).reshape(count, rows, width)
            if path.parent == folder:
                path.unlink()

    def clear(self) -> None:
        """Remove the files."""
        self._place.clear()


def _name(band: Band) -> str:
    return f'{band[0]:010d}-{band[1]:010d}.rows.gz'
