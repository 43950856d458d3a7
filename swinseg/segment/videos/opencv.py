"""Videos through OpenCV: no sound, one rate, and files that few browsers play; for where PyAV is missing."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2

from swinseg.files import OutputError
from swinseg.segment.videos.files import Frame, Span, VideoError, VideoReader, VideoWriter
from swinseg.segment.videos.matrix import Mirroring, mirroring_of

_ENCODERS = (('.mp4', 'mp4v'), ('.avi', 'MJPG'))


class OpenCVWriter(VideoWriter):
    """Writes MPEG-4, or Motion JPEG in AVI where OpenCV's build has no such encoder; times are not kept."""

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
        super().__init__(
            path, temporary, source, frame_size=frame_size, fps=_encoded_rate(fps), codec=codec
        )
        self._temporary = temporary
        # OpenCV does not say why it cannot write; this does.
        temporary.touch()
        self._encoder = _open_encoder(temporary, dict(_ENCODERS)[path.suffix], frame_size, self.fps)

    @classmethod
    def suffix(cls, *, frame_size: tuple[int, int], fps: float, codec: str | None) -> str:
        """Return the suffix of what OpenCV can encode, which takes a trial."""
        if codec is not None:
            raise VideoError(
                f"videos are encoded as {codec} by PyAV, which is not installed: pip install 'swinseg[video]'"
            )
        with tempfile.TemporaryDirectory() as folder:
            for suffix, name in _ENCODERS:
                encoder = _open_encoder(
                    Path(folder, f'probe{suffix}'), name, frame_size, _encoded_rate(fps)
                )
                works = encoder.isOpened()
                encoder.release()
                if works:
                    return suffix
        height, width = frame_size
        raise VideoError(
            f'OpenCV {cv2.__version__} can encode frames of {width} x {height} neither as MPEG-4 nor as Motion '
            "JPEG; install PyAV, pip install 'swinseg[video]', or opencv-python or opencv-python-headless from "
            'PyPI, which bring both encoders'
        )

    def write(self, frame: Frame, span: Span) -> None:
        """Append a frame."""
        self._encoder.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        self.count += 1

    def finish(self) -> None:
        """Close the file and count its frames: OpenCV's writer is silent about a full disk."""
        self._encoder.release()
        kept = _count_of(self._temporary)
        if kept != self.count:
            raise OutputError(
                f'{self.path} was not written completely ({kept} of {self.count} frames); '
                'is there room on the disk?'
            )

    def abandon(self) -> None:
        """Close the file."""
        self._encoder.release()


class OpenCVReader(VideoReader):
    """Decodes by OpenCV, which mirrors no frames: those of MP4 files are mirrored here. Pixels count as square."""

    library = 'OpenCV'
    writer = OpenCVWriter

    def _open(self) -> None:
        self._count_grabbed = 0
        self._last: Fraction | None = None
        self._first_time = Fraction(0)
        with _quiet_opencv():
            self._capture = cv2.VideoCapture(str(self.path))
            is_turned = self._capture.isOpened() and self._capture.getBackendName() == 'FFMPEG'
        self._mirroring = mirroring_of(self.path) if is_turned else Mirroring.NONE
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        if math.isfinite(fps) and fps > 0:
            self.fps = fps
        announced = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.announced = int(announced) if announced > 0 else None

    def _close(self) -> None:
        self._capture.release()

    def _grab(self) -> Span | None:
        with _quiet_opencv() if self._last is None else contextlib.nullcontext():
            if not self._capture.grab():
                return None
        # As a decimal fraction: milliseconds are what it tells.
        found = Fraction(f'{self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000:.6f}')
        # Some containers, and some backends of OpenCV, tell no time.
        if self._last is not None and found <= self._last:
            found = self._first_time + Fraction(self._count_grabbed / self.fps)
        if self._last is None:
            self._first_time = found
        self._last = found
        self._count_grabbed += 1
        return Span(found, found + Fraction(1 / self.fps))

    def _picture(self) -> Frame:
        is_read, pixels = self._capture.retrieve()
        if not is_read:
            raise self._undecodable()
        if self._mirroring is not Mirroring.NONE:
            pixels = cv2.flip(pixels, 0 if self._mirroring is Mirroring.UPSIDE_DOWN else 1)
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _encoded_rate(fps: float) -> float:
    """Return it rounded: MPEG-4 counts time in fractions whose denominator has 16 bits."""
    return round(fps, 3 if fps < 65 else 2)


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
