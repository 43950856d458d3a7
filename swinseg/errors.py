"""The one base class of errors that a user can mend.

A command-line tool prints such an error as a single sentence and exits with 2; every other exception is
a defect of ours and keeps its traceback.
"""

from __future__ import annotations


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
