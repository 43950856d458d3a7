"""Video files: frames in, one after the other, and frames out under the final name when all are there.

Which library decodes and encodes is the matter of :mod:`swinseg.segment.videos.libraries`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.files import foreign as foreign_files
from swinseg.datasets.files.images import IMAGE_SUFFIXES
from swinseg.errors import UserError

VIDEO_SUFFIXES = (
    '.mp4', '.m4v', '.mov', '.avi', '.mkv', '.webm', '.mpg', '.mpeg', '.wmv', '.flv', '.3gp', '.ogv', '.mts',
    '.m2ts', '.y4m',
)  # fmt: skip
"""What :func:`is_video` knows, in lower case."""

WRITTEN_SUFFIXES = ('.mp4', '.webm', '.avi')
"""Of the videos that are written, by whichever library and encoder."""

Frame = NDArray[np.uint8]
"""(H, W, 3) uint8 RGB."""

ASSUMED_FPS = 25.0
# Of the frames that a container announces; in some formats it is an estimate.
_TOLERATED_LOSS = 0.02


class VideoError(UserError):
    """A video cannot be read or written."""


def is_video(path: str | os.PathLike[str]) -> bool:
    """Return whether a file has one of :data:`VIDEO_SUFFIXES`, or, without that of an image, begins as a video."""
    suffix = Path(path).suffix.lower()
    if suffix in VIDEO_SUFFIXES or suffix in IMAGE_SUFFIXES:
        return suffix in VIDEO_SUFFIXES
    try:
        with open(path, 'rb') as file:
            return foreign_files.is_video(file.read(foreign_files.HEAD_BYTES))
    except OSError:
        return False


class Span(NamedTuple):
    """When a frame is shown, in seconds of the file's clock."""

    start: Fraction
    end: Fraction


class VideoReader(ABC):
    """The frames of a video in order, turned and mirrored as the file says, as players show them; a context.

    Args:
        path: a file that the library can decode.

    Attributes:
        fps: frames per second, their mean where it varies; 25 where the file does not tell.
        announced: number of frames that the file announces, an estimate in some formats; None where it does not.
        frame_size: (height, width) of a frame in pixels.
        count: frames read or skipped so far.
        span: of the last of these.
        seconds: its time from the first frame's, as the file says; by number and rate where it does not.

    Raises:
        VideoError: there is no such file, it is no video, or no frame of it can be decoded.
    """

    library: ClassVar[str]
    """That decodes, as a sentence names it."""

    writer: ClassVar[type[VideoWriter]]
    """Of the same library."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not os.path.isfile(self.path):
            raise VideoError(f'there is no video file {self.path}; check the path')
        self.fps = ASSUMED_FPS
        self.announced: int | None = None
        self.count = 0
        self.seconds = 0.0
        try:
            self._open()
            self._ahead = self._grab()
            first = None if self._ahead is None else self._picture()
            if self._ahead is None or first is None:
                raise self._undecodable()
        except BaseException:
            self._close()
            raise
        self._first: Frame | None = first
        self.frame_size: tuple[int, int] = (first.shape[0], first.shape[1])
        self.span = self._ahead
        self._start = self._ahead.start

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def read(self) -> Frame | None:
        """Return the next frame, or None at the end.

        Raises:
            VideoError: its size is another than the first frame's.
        """
        if not self._advance():
            return None
        frame, self._first = self._first, None
        if frame is None:
            frame = self._picture()
        if frame.shape[:2] != self.frame_size:
            raise VideoError(
                f'the frames of a video must have one size, but frame {self.count - 1} of {self.path} has '
                f'{frame.shape[:2]} and the first {self.frame_size} (height, width); convert it with ffmpeg'
            )
        return frame

    def skip(self, number: int) -> None:
        """Leave out the next ``number`` frames, or fewer at the end."""
        for _ in range(number):
            if not self._advance():
                return
            self._first = None

    def remark(self) -> str | None:
        """Return, after the last frame, a sentence when there were fewer than announced, else None."""
        if self.announced is None:
            return None
        if self.announced - self._found() <= max(1, _TOLERATED_LOSS * self.announced):
            return None
        return (
            f'{self.path} announces {self.announced} frames, but only the first {self.count} could be read, to '
            f'second {self.seconds:.3f}; it was cut short or is damaged there'
        )

    def _advance(self) -> bool:
        found, self._ahead = self._ahead, None
        if found is None:
            found = self._grab()
        if found is None:
            return False
        self.span = found
        self.seconds = float(found.start - self._start)
        self.count += 1
        return True

    def _found(self) -> int:
        """Return how many of the announced frames were there, whether shown or not."""
        return self.count

    def _undecodable(self) -> VideoError:
        return VideoError(
            f'no frame of {self.path} can be decoded: it is no video, empty, cut short (an mp4 or mov is lost '
            f'without its end), or in a format that this build of {self.library} does not know; try to play it, '
            'or convert it with ffmpeg'
        )

    @abstractmethod
    def _open(self) -> None:
        """Open the file, and set ``fps`` and ``announced``."""

    @abstractmethod
    def _close(self) -> None:
        """Close what is open."""

    @abstractmethod
    def _grab(self) -> Span | None:
        """Go on to the next frame and return its time, later than the last one's, or None at the end."""

    @abstractmethod
    def _picture(self) -> Frame:
        """Return the frame that was grabbed last."""


class VideoWriter(ABC):
    """Takes frames; made by :func:`swinseg.segment.videos.libraries.writing_video`.

    Args:
        path: final name of the file, whose suffix :meth:`suffix` has given.
        temporary: where it is written.
        source: what is shown in it, which tells times and sound.
        frame_size: (height, width) of the frames, both even, in pixels.
        fps: frames per second; where the library keeps times, a hint.
        codec: as :meth:`suffix` takes it.

    Attributes:
        path: final name of the file.
        fps: frames per second; where the library keeps times, the mean of what was written so far.
        count: frames written so far.

    Raises:
        VideoError: there is no encoder for such frames.
        OutputError: the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        temporary: Path,
        source: VideoReader,
        *,
        frame_size: tuple[int, int],
        fps: float,
        codec: str | None,
    ) -> None:
        self.path = path
        self.fps = fps
        self.count = 0

    @classmethod
    @abstractmethod
    def suffix(cls, *, frame_size: tuple[int, int], fps: float, codec: str | None) -> str:
        """Return the suffix of the file that will hold such frames.

        Args:
            frame_size: of the frames.
            fps: of them.
            codec: ``'h264'`` or ``'vp9'``; None for what there is an encoder for.

        Raises:
            VideoError: there is no encoder.
        """

    @abstractmethod
    def write(self, frame: Frame, span: Span) -> None:
        """Append a frame, (height, width, 3) uint8 RGB, that is shown at a time of the source's clock."""

    @abstractmethod
    def finish(self) -> None:
        """Write what is missing, and close the file.

        Raises:
            OutputError: not all of it could be written.
        """

    @abstractmethod
    def abandon(self) -> None:
        """Close the file, whatever is in it."""

    def remarks(self) -> list[str]:
        """Return, when the file is finished, a clause about each thing of the source that it does not hold."""
        return []
