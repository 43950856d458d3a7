"""Progress through a list of files, in one line of the terminal, or a few lines in a pipe."""

from __future__ import annotations

import time
from pathlib import Path

from swinseg.terminal import LiveLine, format_duration


class Progress:
    """Shows the file in work, its rows or frames, and what was found in it.

    On a terminal one line is rewritten. Into a file or a pipe goes a line for each finished file, and one for each
    tenth of a scene or video.

    Args:
        files: number of files.
    """

    def __init__(self, files: int) -> None:
        self._files = files
        self._line = LiveLine(1)
        self._number = 0

    def begin(self, path: Path) -> None:
        """Go on to the next file."""
        self._number += 1
        self._name = f'[{self._number}/{self._files}] {path}'
        # As a rewritten line ends at the terminal's width.
        self._short_name = f'[{self._number}/{self._files}] {path.name}'
        self._first: int | None = None
        self._tenth = 0
        self.at = ''
        if self._line.is_rewritten:
            self._show(self._short_name)

    def step(self, what: str, done: int, total: int | None) -> None:
        """Show how many rows or frames are done; ``total`` is None where nobody knows."""
        if self._first is None:
            self._first, self._began = done, time.perf_counter()
            self._tenth = 10 * done // total if total else 0
        self.at = f'{what} {done}' if total is None else f'{what} {done} of {total}'
        text = f'{self._short_name}: {self.at}'
        if total is not None and done > self._first:
            seconds = (time.perf_counter() - self._began) / (done - self._first) * (total - done)
            text += f', left {format_duration(max(0.0, seconds))}'
        tenth = 10 * done // total if total else 0
        if self._line.is_rewritten or self._tenth < tenth < 10:
            self._show(text)
        self._tenth = tenth

    def end(self, text: str) -> None:
        """Show what was found in the file."""
        self._line.show(f'{self._name}: {text}', step=self._number, total=self._files)

    def skip(self, reason: str) -> None:
        """Say why the file is left out, in a line that stays."""
        self._line.say(f'{self._name}: skipped: {reason}')

    def clear(self) -> None:
        """Leave an empty line to what comes next."""
        self._line.clear()

    def _show(self, text: str) -> None:
        # A line to be rewritten: the last one is that of the last file's end.
        self._line.show(text, step=0, total=1)
