"""What reaches the terminal beside the progress line; the log file gets everything."""

from __future__ import annotations

import logging
import sys

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
    frame = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get('__name__', '')
        if module != 'logging' and not module.startswith('mmengine.logging'):
            return module.startswith(_HEARD)
        frame = frame.f_back  # type: ignore[assignment]
    return False


class TerminalFormatter(logging.Formatter):
    """The bare message, with ``warning:`` before one, in a line of its own beside a live progress line."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if record.levelno >= logging.WARNING:
            text = f'{record.levelname.lower()}: {text}'
        return f'{CLEAR_LINE}{text}' if sys.stdout.isatty() else text
