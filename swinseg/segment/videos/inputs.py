"""Video files that PyAV opens, and clocks that go forward whatever such a file says."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any

import av

# FFmpeg's names of the formats that hold frames themselves: a playlist names other files and addresses.
_FORMATS = (
    'mov', 'matroska', 'avi', 'mpegts', 'mpeg', 'mpegvideo', 'asf', 'flv', 'live_flv', 'ogg', 'yuv4mpegpipe',
    'mxf', 'gxf', 'nut', 'dv', 'rm', 'wtv', 'ivf', 'obu', 'av1', 'h264', 'hevc', 'vvc', 'm4v', 'vc1', 'mjpeg',
    'dirac', 'cavsvideo',
)  # fmt: skip
# Seconds by which times fall back where a recording was cut or begins anew; less is disorder.
_CUT = 1


def open_input(path: str | os.PathLike[str]) -> Any:
    """Open a file for reading, a context.

    No other file is opened, and nothing is fetched, whatever is in it.

    Raises:
        av.FFmpegError: it cannot be opened, or is of a format that only names other files.
    """
    options = {'protocol_whitelist': 'file', 'format_whitelist': ','.join(_FORMATS)}
    # Not its `options`, which streams get as well: at a damaged FLV file PyAV crashes with them before version 18.
    return av.open(f'file:{os.fspath(path)}', container_options=options, metadata_errors='replace')


class Clock:
    """Makes the times of a stream grow, and otherwise leaves them as they are.

    A time that is not told, or where the times begin anew, is that of the end of what came before, and the times
    after it follow. One that is the same as the last, or a little earlier, is a tick later than that.

    Args:
        tick: the least step in seconds.
    """

    def __init__(self, tick: Fraction) -> None:
        self._tick = tick
        self._last: Fraction | None = None
        self._end = Fraction(0)
        self._shift = Fraction(0)

    def __call__(self, told: Fraction | None, duration: Fraction) -> Fraction:
        """Return a time, in seconds.

        Args:
            told: that the file says.
            duration: of what begins then.
        """
        time = self._end if told is None else told + self._shift
        if self._last is not None and time <= self._last:
            if self._last - time > _CUT:
                self._shift += self._end - time
                time = self._end
            else:
                time = self._last + self._tick
        self._last = time
        self._end = time + max(duration, self._tick)
        return time
