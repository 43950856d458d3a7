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


class ToldElsewhereError(UserError):
    """Another process of the same run has failed first and says why; this one ends without a word."""
