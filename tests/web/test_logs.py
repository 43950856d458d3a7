"""A log that no client can fill."""

from __future__ import annotations

import logging

from swinseg.web import logs


def test_lines__are_left_out_and_counted(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(logs.time, 'monotonic', lambda: now[0])
    kept = logs.RateFilter()

    def record(line: int) -> logging.LogRecord:
        return logging.LogRecord('x', logging.ERROR, 'file.py', line, 'failed', None, None)

    assert sum(kept.filter(record(1)) for _ in range(500)) == 10
    assert kept.filter(record(2))
    now[0] = 61.0
    last = record(1)
    assert kept.filter(last)
    assert last.getMessage() == 'failed (490 more of this kind before)'
