"""How far a bulk job is: one line that is rewritten on a terminal, or a line now and then in a pipe."""

from __future__ import annotations

import time
from collections import deque

from swinseg.segment.bulk.inputs import Inputs
from swinseg.segment.bulk.manifest import FAILED, Row
from swinseg.terminal import LiveLine, format_duration

_SECONDS_BETWEEN_LINES = 15.0
# Over which the rate is taken.
_SECONDS_OF_RATE = 60.0
_TOLD_FAILURES = 20


class BulkProgress:
    """Shows inputs done and failed, their rate, and the time left where the number of inputs is known.

    Args:
        inputs: of the job.
        before: inputs that earlier runs have finished.
    """

    def __init__(self, inputs: Inputs, *, before: int = 0) -> None:
        self._inputs = inputs
        self._announced = inputs.announced()
        self._line = LiveLine(1)
        self._before = before
        self._done = self._failed = 0
        self._shown_at = time.monotonic()
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._line.say(text)

    def add(self, row: Row) -> None:
        """Count an input; the sentences of the first failures are said."""
        self._done += 1
        if row.state == FAILED:
            self._failed += 1
            if self._failed <= _TOLD_FAILURES:
                self.say(f'failed: {row.error}')
            if self._failed == _TOLD_FAILURES:
                self.say('further failures are in the manifest')

    def tick(self) -> None:
        """Show the line, if it is time."""
        now = time.monotonic()
        if now - self._marks[-1][0] >= 1.0:
            self._marks.append((now, self._done))
            while now - self._marks[0][0] > _SECONDS_OF_RATE and len(self._marks) > 2:
                self._marks.popleft()
        if self._line.is_rewritten:
            self._line.show(self.text(), step=0, total=1)
        elif now - self._shown_at >= _SECONDS_BETWEEN_LINES:
            self._shown_at = now
            self.say(self.text())

    def clear(self) -> None:
        """Leave an empty line to what comes next."""
        self._line.clear()

    def text(self) -> str:
        """Return the line: inputs of all, failures, rate, and the time that is left."""
        done = self._done + self._before
        total = self._total()
        text = f'{done:,} inputs' if total is None else f'{done:,} of {total:,} inputs'
        if self._failed:
            text += f', {self._failed:,} failed'
        (begin, few), (end, many) = self._marks[0], (time.monotonic(), self._done)
        rate = (many - few) / max(end - begin, 1e-3)
        if rate > 0:
            text += f', {rate:.1f}/s' if rate >= 0.1 else f', {60 * rate:.1f}/min'
            if total is not None and total > done:
                text += f', left {format_duration((total - done) / rate)}'
        return text

    def _total(self) -> int | None:
        if self._inputs.is_exhausted:
            return self._inputs.found
        if self._announced is None:
            return None
        return max(self._announced - self._inputs.repeated, self._inputs.found)
