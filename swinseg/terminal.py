"""Terminal output beside the progress line; the log file gets everything."""

from __future__ import annotations

import logging
import math
import shutil
import sys
import time
from types import FrameType
from typing import TextIO

CLEAR_LINE = '\r\x1b[K'
_BAR_CELLS = 24
# Whose information reaches the terminal; the log file has everybody's.
_HEARD = (
    'swinseg.checkpoints',
    'swinseg.datasets',
    'swinseg.engine',
    'swinseg.hub',
    'swinseg.models',
)
# What mmengine warns of in every run, about its own insides.
_NOISE = (
    'The prefix is not set in metric class',
    '"FileClient" will be',
    '"HardDiskBackend" is the',
)


def is_heard(record: logging.LogRecord) -> bool:
    if record.levelno >= logging.WARNING:
        return not record.getMessage().startswith(_NOISE)
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get('__name__', '')
        if module != 'logging' and not module.startswith('mmengine.logging'):
            return module.startswith(_HEARD)
        frame = frame.f_back
    return False


class TerminalFormatter(logging.Formatter):
    """The bare message, with ``warning:`` before one, in a line of its own beside a live progress line."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if record.levelno >= logging.WARNING:
            text = f'{record.levelname.lower()}: {text}'
        return f'{CLEAR_LINE}{text}' if sys.stdout.isatty() else text


class LiveLine:
    """A line that is rewritten on a terminal; into a file or a pipe goes a new one every ``interval`` steps."""

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self._shown_at = -math.inf

    @property
    def _out(self) -> TextIO:
        return sys.stdout  # looked up late, for it may have been replaced

    @property
    def is_rewritten(self) -> bool:
        """Whether the output is a terminal."""
        return self._out.isatty()

    def say(self, text: str) -> None:
        """Print a line that stays, in place of the live one."""
        clear = CLEAR_LINE if self.is_rewritten else ''
        print(f'{clear}{text}', file=self._out, flush=True)

    def show(self, text: str, *, step: int, total: int) -> None:
        """Show how far something is; the last step's line stays."""
        if not self.is_rewritten:
            if step % self.interval == 0 or step == total:
                self.say(text)
            return
        now = time.perf_counter()
        if now - self._shown_at >= 0.1 or step == total:
            self._shown_at = now
            width = shutil.get_terminal_size().columns - 1
            end = '\n' if step == total else ''
            print(f'{CLEAR_LINE}{text[:width]}', end=end, file=self._out, flush=True)

    def clear(self) -> None:
        """Empty the live line, so that what comes next starts in an empty one."""
        if self.is_rewritten:
            print(CLEAR_LINE, end='', file=self._out, flush=True)


class ByteBar:
    """A bar on stderr that shows how much of a file is there; nothing is drawn where stderr is no terminal.

    Within its block it is called with the bytes that are there and all bytes, None where they are not known.

    Args:
        name: of the file.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._out = sys.stderr
        self._shown_at = -math.inf
        self._began: tuple[float, int] | None = None

    def __enter__(self) -> ByteBar:
        return self

    def __call__(self, done: int, total: int | None) -> None:
        """Draw, at most ten times a second."""
        now = time.perf_counter()
        if self._began is None:
            self._began = now, done
        if not self._out.isatty() or (now - self._shown_at < 0.1 and done != total):
            return
        self._shown_at = now
        seconds, arrived = now - self._began[0], done - self._began[1]
        text = format_bytes(done)
        if total:
            filled = round(_BAR_CELLS * done / total)
            bar = '#' * filled + '.' * (_BAR_CELLS - filled)
            text = f'[{bar}] {done / total:4.0%} of {format_bytes(total)}'
        if seconds > 1:
            text += f', {format_bytes(round(arrived / seconds))}/s'
        width = shutil.get_terminal_size().columns - 1
        name = self._name[: max(width - len(text) - 2, 8)]
        print(
            f'{CLEAR_LINE}{name}  {text}'[: width + len(CLEAR_LINE)],
            end='',
            file=self._out,
            flush=True,
        )

    def __exit__(self, *exception: object) -> None:
        if self._shown_at > 0:
            print(file=self._out, flush=True)


def format_bytes(count: int) -> str:
    """Return ``240123456`` as ``240.1 MB``; the units are powers of 1,000, as in listings of downloads."""
    value, unit = float(count), 'bytes'
    for larger in ('kB', 'MB', 'GB', 'TB'):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f'{count} bytes' if unit == 'bytes' else f'{value:.1f} {unit}'


def format_duration(seconds: float) -> str:
    """Return ``3725.2`` as ``1:02:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d}:{rest:02d}'
