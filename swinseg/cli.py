"""What every script under ``tools/`` shares: exit codes, and one clear line for a user's mistake."""

from __future__ import annotations

import sys
from collections.abc import Callable

from swinseg.errors import Interrupted, ToldElsewhereError, UserError

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def one_sentence(error: BaseException) -> str:
    """Return the message of ``error`` without the traceback text that a data-loader worker puts before it."""
    text = str(error).strip()
    if 'Traceback (most recent call last)' in text:
        # PyTorch re-raises a worker's exception with the worker's whole traceback as its message; the
        # last line is "package.module.ClassName: the sentence".
        last_line = text.splitlines()[-1]
        text = last_line.split(': ', 1)[-1]
    return text


def run(main: Callable[[], int | None]) -> int:
    """Call ``main`` and return the exit code: 0 or what it returned, 2 for a ``UserError``, 128 + n for signal n."""
    try:
        return main() or 0
    except ToldElsewhereError:
        return EXIT_BAD_INPUT
    except UserError as error:
        print(f'error: {one_sentence(error)}', file=sys.stderr)
        return EXIT_BAD_INPUT
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        return interrupted.exit_code
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return EXIT_INTERRUPTED
