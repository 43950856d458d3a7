"""A log that no client can fill."""

from __future__ import annotations

import logging
import time

_SECONDS = 60.0
_LINES = 10


class RateFilter(logging.Filter):
    """Lets what one line of the code logs through a few times a minute, and then counts it."""

    def __init__(self) -> None:
        super().__init__()
        self._since = time.monotonic()
        self._counts: dict[tuple[str, int], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is written."""
        now = time.monotonic()
        place = (record.pathname, record.lineno)
        if now - self._since >= _SECONDS:
            left_out = self._counts.get(place, 0) - _LINES
            if left_out > 0:
                record.msg = f'{record.msg} ({left_out} more of this kind before)'
            self._since, self._counts = now, {}
        self._counts[place] = self._counts.get(place, 0) + 1
        return self._counts[place] <= _LINES


_FILTER = RateFilter()


def bound_logs() -> None:
    """Bound what uvicorn logs, and what all those log that nobody has set up; once uvicorn is set up."""
    for handler in (logging.lastResort, *logging.getLogger('uvicorn').handlers):
        if handler is not None:
            handler.addFilter(_FILTER)
