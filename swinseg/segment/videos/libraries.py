"""Which library decodes and encodes videos: PyAV, or OpenCV where that is missing."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from swinseg.files import atomic_path
from swinseg.segment.videos.files import VideoError, VideoReader, VideoWriter

CODECS = ('h264', 'vp9')
"""What videos can be encoded as, the most widely played first."""


def open_video(path: str | os.PathLike[str]) -> VideoReader:
    """Return a reader of a video's frames, a context; a warning says so where it is OpenCV's.

    Raises:
        VideoError: there is no such file, it is no video, or no frame of it can be decoded.
    """
    try:
        from swinseg.segment.videos.pyav import PyAVReader
    except ImportError as error:
        from swinseg.segment.videos.opencv import OpenCVReader

        warnings.warn(
            f'videos go through OpenCV, for PyAV cannot be imported ({error}): what is written has no sound, one '
            "frame rate, and does not play in browsers; pip install 'swinseg[video]'",
            stacklevel=2,
        )
        return OpenCVReader(path)
    return PyAVReader(path)


@contextlib.contextmanager
def writing_video(
    base: Path,
    source: VideoReader,
    *,
    frame_size: tuple[int, int],
    fps: float,
    codec: str | None = None,
) -> Iterator[VideoWriter]:
    """Write a video by the library that reads its source.

    The file appears under its name when the block is over and all its frames are there.

    Args:
        base: the file without its suffix.
        source: whose frames are shown, and whose sound is heard, in it.
        frame_size: (height, width) of the frames, both even, in pixels.
        fps: frames per second, where times are not kept.
        codec: one of :data:`CODECS`; None for the first that there is an encoder for.

    Raises:
        VideoError: there is no encoder for such frames.
        OutputError: the file cannot be written, or not all of it.
    """
    check_codec(codec)
    kind = source.writer
    suffix = kind.suffix(frame_size=frame_size, fps=fps, codec=codec)
    path = base.with_name(base.name + suffix)
    with atomic_path(path) as temporary:
        writer = kind(path, temporary, source, frame_size=frame_size, fps=fps, codec=codec)
        try:
            yield writer
            writer.finish()
        except BaseException:
            writer.abandon()
            raise


def check_codec(codec: str | None) -> None:
    """Refuse what is none of :data:`CODECS`, nor None.

    Raises:
        VideoError: it is.
    """
    if codec is not None and codec not in CODECS:
        raise VideoError(f'codec must be one of {", ".join(CODECS)}, but is {codec!r}')
