"""Display matrix of a video (ISO/IEC 14496-12): how its frames are turned and mirrored when they are shown.

An MP4 or QuickTime file has a matrix for the movie and one for each track. PyAV gives their product; OpenCV turns
frames by its angle, which is all that it keeps of it, so that the mirroring is read here.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from enum import Enum
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

_BYTES = struct.Struct('>9i')
# Bytes before the matrix in the contents of a movie's and a track's header, of version 0 and 1.
_BEFORE_MATRIX = {b'mvhd': (36, 48), b'tkhd': (40, 52)}
_FIRST_BOXES = (b'ftyp', b'moov', b'mdat', b'free', b'skip', b'wide', b'pnot')


class Mirroring(Enum):
    """What is left to do to a frame that was turned by the matrix's angle."""

    NONE = 0
    UPSIDE_DOWN = 1
    LEFT_TO_RIGHT = 2


class _Box(NamedTuple):
    kind: bytes
    start: int
    end: int


class Matrix(NamedTuple):
    """From (x, y) to (a x + c y, b x + d y); x to the right, y down."""

    a: int
    b: int
    c: int
    d: int

    def then(self, other: Matrix) -> Matrix:
        """Return the matrix of this one and then the other."""
        return Matrix(
            self.a * other.a + self.b * other.c,
            self.a * other.b + self.b * other.d,
            self.c * other.a + self.d * other.c,
            self.c * other.b + self.d * other.d,
        )

    @property
    def is_mirroring(self) -> bool:
        """Whether left and right are exchanged, in whatever direction they lie."""
        return self.a * self.d - self.b * self.c < 0


def upright(frame: NDArray[np.uint8], matrix: Matrix) -> NDArray[np.uint8]:
    """Return a stored frame, (H, W, 3), as its matrix says that it is shown, by the nearest quarter turns."""
    a, b = matrix.a, matrix.b
    if matrix.is_mirroring:
        frame = frame[:, ::-1]
        a, b = -a, -b
    quarters = round(math.atan2(b, a) / (math.pi / 2))
    return np.ascontiguousarray(np.rot90(frame, -quarters))


def mirroring_of(path: str | os.PathLike[str]) -> Mirroring:
    """Return how frames of a video are mirrored beyond the angle that they are turned by.

    A matrix that mirrors is that of its angle after exchanging top and bottom: so the frame that was turned by 90
    or 270 degrees has left and right exchanged, and one by 0 or 180 degrees top and bottom.

    Args:
        path: the file; one that is no MP4 or QuickTime file, or damaged, asks for nothing.
    """
    try:
        with open(path, 'rb') as file:
            matrix = _matrix(file, os.fstat(file.fileno()).st_size)
    except (OSError, struct.error):
        return Mirroring.NONE
    if matrix is None or not matrix.is_mirroring:
        return Mirroring.NONE
    is_lying = abs(matrix.b) > abs(matrix.a)
    return Mirroring.LEFT_TO_RIGHT if is_lying else Mirroring.UPSIDE_DOWN


def _matrix(file: BinaryIO, size: int) -> Matrix | None:
    if file.read(8)[4:] not in _FIRST_BOXES:
        return None
    movie = _first(file, _Box(b'', 0, size), b'moov')
    if movie is None:
        return None
    of_movie = _header_matrix(file, _first(file, movie, b'mvhd'))
    for track in _boxes(file, movie):
        if track.kind == b'trak' and _is_video(file, track):
            of_track = _header_matrix(file, _first(file, track, b'tkhd'))
            if of_track is None or of_movie is None:
                return of_track
            return of_track.then(of_movie)
    return None


def _is_video(file: BinaryIO, track: _Box) -> bool:
    media = _first(file, track, b'mdia')
    handler = None if media is None else _first(file, media, b'hdlr')
    if handler is None:
        return False
    file.seek(handler.start + 8)
    return file.read(4) == b'vide'


def _header_matrix(file: BinaryIO, header: _Box | None) -> Matrix | None:
    if header is None:
        return None
    file.seek(header.start)
    is_longer = file.read(1) == b'\x01'
    file.seek(header.start + _BEFORE_MATRIX[header.kind][is_longer])
    a, b, _, c, d, *_ = _BYTES.unpack(file.read(_BYTES.size))
    return Matrix(a, b, c, d)


def _first(file: BinaryIO, parent: _Box, kind: bytes) -> _Box | None:
    return next((box for box in _boxes(file, parent) if box.kind == kind), None)


def _boxes(file: BinaryIO, parent: _Box) -> Iterator[_Box]:
    """Yield the boxes in another one, with where their contents begin and end."""
    position = parent.start
    while position + 8 <= parent.end:
        file.seek(position)
        size, kind = struct.unpack('>I4s', file.read(8))
        start = position + 8
        if size == 1:
            (size,) = struct.unpack('>Q', file.read(8))
            start += 8
        end = parent.end if size == 0 else position + size
        if not start <= end <= parent.end:
            return  # damaged, or cut short
        yield _Box(kind, start, end)
        position = end
