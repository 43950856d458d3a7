"""Video files that PyAV opens, and clocks that go forward whatever such a file says."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any

import av

# Seconds by which times fall back where a recording was cut or begins anew; less is disorder.
_CUT = 1


def open_input(path: str | os.PathLike[str]) -> Any:
    """Open a file for reading, a context.

    A playlist that has the name of a video makes nothing be fetched from elsewhere.

    Raises:
        av.FFmpegError: it cannot be opened.
    """
    return av.open(
        f'file:{os.fspath(path)}', options={'protocol_whitelist': 'file'}, metadata_errors='replace'
    )


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
