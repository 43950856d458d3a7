"""The one base class of errors that a user can mend.

A command-line tool prints such an error as a single sentence and exits with 2; every other exception is
a defect of ours and keeps its traceback.
"""

from __future__ import annotations

import reprlib


class UserError(ValueError):
    """Something in the user's data, weights, config or arguments is wrong.

    The message is one sentence: what was expected, what was found, where (file, value), and the fix to
    paste. Modules raise a subclass of their own (``ConfigError``, ``CheckpointError``, ``DataError``).
    """


class Interrupted(KeyboardInterrupt):
    """A signal has asked for the end of the work.

    Args:
        message: what was saved, and how to go on.
        signum: number of the signal.
    """

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """What a shell gives for the signal: 143 for SIGTERM, 130 for SIGINT."""
        return 128 + self.signum


def shown(value: object, *, most: int = 80) -> str:
    """Return a value from a user's file for a sentence: in few characters, however large or deep it is."""
    try:
        text = value if isinstance(value, str) else reprlib.repr(value)
    except (
        RecursionError,
        ValueError,
    ):  # the latter for a number of more digits than Python turns into text
        text = f'a {type(value).__name__}'
    printable = ''.join(c if c.isprintable() else '?' for c in text[: most + 1])
    return printable if len(printable) <= most else f'{printable[: most - 3]}...'


def quoted(value: object, *, most: int = 80) -> str:
    """Return a value as :func:`shown` does, a text in quotation marks."""
    text = shown(value, most=most)
    return repr(text) if isinstance(value, str) else text
