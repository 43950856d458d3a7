"""The subcommands of ``swinseg``, a module for each, which the scripts in ``tools/`` call as well.

The table of their names is in ``swinseg_command``, beside the package.
"""

from swinseg.cli.frame import (
    EXIT_BAD_INPUT,
    EXIT_INTERRUPTED,
    Command,
    launched,
    main,
    one_sentence,
    run,
)

__all__ = [
    'EXIT_BAD_INPUT',
    'EXIT_INTERRUPTED',
    'Command',
    'launched',
    'main',
    'one_sentence',
    'run',
]
