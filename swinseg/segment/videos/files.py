"""Video files: frames in, one after the other, and frames out under the final name when all are there."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.files import foreign as foreign_files
from swinseg.datasets.files.images import IMAGE_SUFFIXES
from swinseg.errors import UserError
from swinseg.files import OutputError, atomic_path
from swinseg.segment.videos.matrix import Mirroring, mirroring_of

VIDEO_SUFFIXES = (
    '.mp4', '.m4v', '.mov', '.avi', '.mkv', '.webm', '.mpg', '.mpeg', '.wmv', '.flv', '.3gp', '.ogv', '.mts',
    '.m2ts', '.y4m',
)  # fmt: skip
"""What :func:`is_video` knows, in lower case."""

Frame = NDArray[np.uint8]
"""(H, W, 3) uint8 RGB."""

_ENCODERS = (('.mp4', 'mp4v'), ('.avi', 'MJPG'))
WRITTEN_SUFFIXES = tuple(suffix for suffix, _ in _ENCODERS)
"""Of the videos that are written: the first one, and the second where OpenCV cannot."""
_ASSUMED_FPS = 25.0
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


class VideoReader:
    """The frames of a video in order, turned and mirrored as the file says, as players show them; a context.

    Args:
        path: a file that OpenCV's build can decode.

    Attributes:
        fps: frames per second; 25 where the file does not tell.
        announced: number of frames that the file announces, an estimate in some formats; None where it does not.
        frame_size: (height, width) of a frame in pixels.
        count: frames read or skipped so far.
        seconds: time of the last frame that was read, from the first one's, as the file says; by number and rate
            where it does not.

    Raises:
        VideoError: there is no such file, it is no video, or no frame of it can be decoded.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not os.path.isfile(self.path):
            raise VideoError(f'there is no video file {self.path}; check the path')
        with _quiet_opencv():
            self._capture = cv2.VideoCapture(str(self.path))
            is_turned = self._capture.isOpened() and self._capture.getBackendName() == 'FFMPEG'
            self._mirroring = mirroring_of(self.path) if is_turned else Mirroring.NONE
            first = self._decode()
        if first is None:
            self._capture.release()
            raise VideoError(
                f'no frame of {self.path} can be decoded: it is no video, empty, cut short (an mp4 or mov is lost '
                'without its end), or in a format that this build of OpenCV does not know; try to play it, or '
                'convert it with ffmpeg'
            )
        self._first: Frame | None = first
        self.frame_size: tuple[int, int] = (first.shape[0], first.shape[1])
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps: float = fps if math.isfinite(fps) and fps > 0 else _ASSUMED_FPS
        announced = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.announced: int | None = int(announced) if announced > 0 else None
        self.count = 0
        self.seconds = 0.0
        self._start = self._position()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._capture.release()

    def read(self) -> Frame | None:
        """Return the next frame, or None at the end.

        Raises:
            VideoError: its size is another than the first frame's.
        """
        frame, self._first = self._first, None
        if frame is None:
            frame = self._decode()
        if frame is None:
            return None
        if frame.shape[:2] != self.frame_size:
            raise VideoError(
                f'the frames of a video must have one size, but frame {self.count} of {self.path} has '
                f'{frame.shape[:2]} and the first {self.frame_size} (height, width); convert it with ffmpeg'
            )
        elapsed = self._position() - self._start
        # Some containers, and some backends of OpenCV, tell no time.
        is_told = self.count == 0 or elapsed > self.seconds
        self.seconds = elapsed if is_told else self.count / self.fps
        self.count += 1
        return frame

    def skip(self, number: int) -> None:
        """Leave out the next ``number`` frames, or fewer at the end."""
        for _ in range(number):
            if self._first is not None:
                self._first = None
            elif not self._capture.grab():
                return
            self.count += 1

    def remark(self) -> str | None:
        """Return, after the last frame, a sentence when there were fewer than announced, else None."""
        if self.announced is None:
            return None
        if self.announced - self.count <= max(1, _TOLERATED_LOSS * self.announced):
            return None
        return (
            f'{self.path} announces {self.announced} frames, but only the first {self.count} could be read; '
            'it was cut short or is damaged there'
        )

    def _position(self) -> float:
        """Return the time of the frame that was decoded last, in seconds."""
        return float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000

    def _decode(self) -> Frame | None:
        is_read, frame = self._capture.read()
        if not is_read:
            return None
        if self._mirroring is not Mirroring.NONE:
            frame = cv2.flip(frame, 0 if self._mirroring is Mirroring.UPSIDE_DOWN else 1)
        return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


class VideoWriter:
    """Takes frames; made by :func:`writing_video`.

    Attributes:
        path: final name of the file.
        fps: frames per second.
        count: frames written so far.
    """

    def __init__(self, path: Path, fps: float, encoder: cv2.VideoWriter) -> None:
        self.path = path
        self.fps = fps
        self.count = 0
        self._encoder = encoder

    def write(self, frame: Frame) -> None:
        """Append a frame, (height, width, 3) uint8 RGB."""
        self._encoder.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        self.count += 1


@contextlib.contextmanager
def writing_video(base: Path, *, frame_size: tuple[int, int], fps: float) -> Iterator[VideoWriter]:
    """Write an MPEG-4 video, or Motion JPEG in AVI where OpenCV's build has no such encoder.

    The file appears under its name when the block is over and all its frames are there.

    Args:
        base: the file without its suffix.
        frame_size: (height, width) of the frames, both even, in pixels.
        fps: frames per second; rounded to thousandths, above 65 to hundredths.

    Raises:
        VideoError: OpenCV has no encoder for such frames.
        OutputError: the file cannot be written, or not all of it.
    """
    # MPEG-4 counts time in fractions whose denominator has 16 bits.
    fps = round(fps, 3 if fps < 65 else 2)
    suffix, codec = _working_encoder(frame_size, fps)
    path = base.with_name(base.name + suffix)
    with atomic_path(path) as temporary:
        # OpenCV does not say why it cannot write; this does.
        temporary.touch()
        encoder = _open_encoder(temporary, codec, frame_size, fps)
        writer = VideoWriter(path, fps, encoder)
        try:
            yield writer
        finally:
            encoder.release()
        # OpenCV's writer is silent about a full disk.
        kept = _count_of(temporary)
        if kept != writer.count:
            raise OutputError(
                f'{path} was not written completely ({kept} of {writer.count} frames); '
                'is there room on the disk?'
            )


def _working_encoder(frame_size: tuple[int, int], fps: float) -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        for suffix, codec in _ENCODERS:
            encoder = _open_encoder(Path(folder, f'probe{suffix}'), codec, frame_size, fps)
            works = encoder.isOpened()
            encoder.release()
            if works:
                return suffix, codec
    height, width = frame_size
    raise VideoError(
        f'OpenCV {cv2.__version__} can encode frames of {width} x {height} neither as MPEG-4 nor as Motion JPEG; '
        'install opencv-python or opencv-python-headless from PyPI, which bring both encoders'
    )


def _open_encoder(
    path: Path, codec: str, frame_size: tuple[int, int], fps: float
) -> cv2.VideoWriter:
    with _quiet_opencv():
        return cv2.VideoWriter(
            str(path), cv2.VideoWriter.fourcc(*codec), fps, (frame_size[1], frame_size[0])
        )


def _count_of(path: Path) -> int:
    with _quiet_opencv():
        capture = cv2.VideoCapture(str(path))
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        capture.release()
    return count


@contextlib.contextmanager
def _quiet_opencv() -> Iterator[None]:
    """Keep OpenCV and FFmpeg from printing about a file that this module reports in a sentence."""
    name = 'OPENCV_FFMPEG_LOGLEVEL'
    before, level = os.environ.get(name), cv2.utils.logging.getLogLevel()
    # Read once, when OpenCV first opens a video.
    os.environ.setdefault(name, '-8')
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
        if before is None:
            del os.environ[name]
