"""A log that no client can fill."""

from __future__ import annotations

import logging
import time

_SECONDS = 60.0
_LINES = 10
_LOGGERS = ('asyncio', 'uvicorn.error', 'swinseg.web.service', 'swinseg.web.decoding.pool')


class RateFilter(logging.Filter):
    """Lets each message through a few times a minute, whatever its arguments, and then counts it."""

    def __init__(self) -> None:
        super().__init__()
        self._since = time.monotonic()
        self._counts: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is written."""
        now = time.monotonic()
        left_out = 0
        # asyncio puts what differs into the message itself, after its first line.
        message = str(record.msg).partition('\n')[0]
        if now - self._since >= _SECONDS:
            left_out = max(0, self._counts.get(message, 0) - _LINES)
            self._since, self._counts = now, {}
        self._counts[message] = self._counts.get(message, 0) + 1
        if left_out:
            record.msg = f'{record.msg} ({left_out} more like this in the minute before)'
        return self._counts[message] <= _LINES


def bound_logs() -> None:
    """Bound what is logged of connections and requests."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(RateFilter())
