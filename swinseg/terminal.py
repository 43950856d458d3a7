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
# Whose information reaches the terminal; the log file has everybody's.
_HEARD = ('swinseg.checkpoints', 'swinseg.datasets', 'swinseg.engine', 'swinseg.models')
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


def format_duration(seconds: float) -> str:
    """Return ``3725.2`` as ``1:02:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d}:{rest:02d}'
