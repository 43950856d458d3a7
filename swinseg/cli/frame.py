"""Frame of every command: its arguments, exit codes, and one clear line for a user's mistake."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from swinseg.engine.distributed.launch import (
    LaunchError,
    RankFailures,
    is_loss_of_a_process,
    is_under_torchrun,
    leave,
    read_launch_variables,
)
from swinseg.errors import Interrupted, UsageError, UserError
from swinseg.versions import __version__
from swinseg_command import EXIT_BAD_INPUT, EXIT_INTERRUPTED

_PACKAGE = str(Path(__file__).parents[1])


@dataclass(frozen=True)
class Command:
    """A subcommand of ``swinseg``, which a script in ``tools/`` may call too.

    Attributes:
        description: a sentence for its help.
        example: arguments of a call that shows what it is for.
        add_arguments: adds its arguments to a parser.
        run: does the work; gets what the parser found, and returns the exit code, None for 0.
        notes: for the end of its help.
    """

    description: str
    example: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int | None]
    notes: str = ''

    @property
    def epilog(self) -> str:
        """The end of the help, in which ``%(prog)s`` stands for the name of the command."""
        parts = (self.notes, f'example:\n  %(prog)s {self.example}')
        return '\n\n'.join(part for part in parts if part)


class Parser(argparse.ArgumentParser):
    """A parser that raises :class:`UsageError` for what it does not understand, with the nearest options."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault('formatter_class', argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **options)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return the arguments, of which none may be unknown."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(self._about_unknown(unknown, found))
        return found

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return the arguments and what is unknown; an option stands in the place of the positional of its name.

        ``--model NAME`` whose ``dest`` is ``checkpoint`` takes the place of ``CHECKPOINT``, wherever it is given.
        """
        given = [str(each) for each in (sys.argv[1:] if args is None else args)]
        options = given[: given.index('--')] if '--' in given else given
        names = {option.partition('=')[0] for option in options if option.startswith('--')}
        replaced = {a.dest for a in self._actions if names.intersection(a.option_strings)}
        every = self._actions
        self._actions = [a for a in every if a.option_strings or a.dest not in replaced]
        try:
            return super().parse_known_args(given, namespace)
        finally:
            self._actions = every

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong, and where the help is."""
        raise UsageError(f'{message}; {self.prog} --help says what there is')

    def _about_unknown(self, unknown: Sequence[str], found: argparse.Namespace) -> str:
        text = f'unrecognized arguments: {" ".join(unknown)}'
        first = unknown[0].partition('=')[0]
        # Options of a layout, say, are those of its own parser.
        options = [name for parser in self._chosen(found) for name in parser._option_string_actions]
        near = difflib.get_close_matches(first, options, n=2) if first.startswith('-') else []
        return f'{text} (did you mean {" or ".join(near)}?)' if near else text

    def _chosen(self, found: argparse.Namespace) -> Iterator[argparse.ArgumentParser]:
        yield self
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                parser = action.choices.get(str(getattr(found, action.dest, '')))
                if parser is not None:
                    yield parser


def parser_of(command: Command, *, prog: str | None = None) -> Parser:
    """Return a parser with the arguments of ``command``.

    Args:
        command: whose arguments.
        prog: how it is called; None for the name of the script.
    """
    parser = Parser(prog=prog, description=command.description, epilog=command.epilog)
    command.add_arguments(parser)
    parser.add_argument('--version', action='version', version=f'swinseg {__version__}')
    return parser


def main(command: Command, argv: Sequence[str] | None = None, *, prog: str | None = None) -> int:
    """Parse, run, and return the exit code as :func:`run` does.

    Args:
        command: what to run.
        argv: its arguments; None for those of this process.
        prog: how it is called; None for the name of the script.
    """
    return run(lambda: command.run(parser_of(command, prog=prog).parse_args(argv)))


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
    """Call ``main`` and return the exit code: 0 or its own, 2 for a ``UserError``, 128 + n for signal n."""
    try:
        with _plain_warnings():
            return main() or 0
    except UserError as error:
        _tell(error)
        return EXIT_BAD_INPUT
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        _tell(UserError(f'no file can have the name {error.filename}, which is too long; check it'))
        return EXIT_BAD_INPUT
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        return interrupted.exit_code
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return EXIT_INTERRUPTED


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Let what this package warns of be a sentence in the block, without the place in its source."""
    before = warnings.formatwarning

    def formatted(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        line: str | None = None,
    ) -> str:
        if category is UserWarning and filename.startswith(_PACKAGE):
            return f'warning: {message}\n'
        return before(message, category, filename, lineno, line)

    warnings.formatwarning = formatted
    try:
        yield
    finally:
        warnings.formatwarning = before


def _tell(error: UserError) -> None:
    print(f'error: {one_sentence(error)}', file=sys.stderr, flush=True)


@contextlib.contextmanager
def launched(launcher: str) -> Iterator[None]:
    """Run the block in one of several processes, of which only the first to fail says why.

    When the block fails, the process exits: with 2 for a ``UserError``, else with 1. For one process, nothing
    is done.

    Args:
        launcher: one of ``swinseg.engine.distributed.launch.LAUNCHERS``.

    Raises:
        LaunchError: the launcher's variables are not there.
    """
    if launcher == 'none' and is_under_torchrun():
        with launched('pytorch'):
            raise LaunchError(
                'torchrun started several processes, each of which would do the whole work into the same folder; '
                'add --launcher pytorch'
            )
    if launcher == 'none':
        yield
        return
    process = read_launch_variables(launcher)
    failures = RankFailures(process)
    try:
        yield
    except KeyboardInterrupt as interruption:  # a signal, which all processes get
        if process.rank == 0:
            raise
        raise SystemExit(
            interruption.exit_code if isinstance(interruption, Interrupted) else EXIT_INTERRUPTED
        ) from None
    except Exception as error:
        if failures.is_first():
            if isinstance(error, UserError):
                _tell(error)
            elif is_loss_of_a_process(error):
                _tell(LaunchError(_loss(error)))
            else:
                traceback.print_exc()
        failures.end_the_others()
        is_defect = not isinstance(error, UserError) and not is_loss_of_a_process(error)
        raise SystemExit(1 if is_defect else EXIT_BAD_INPUT) from None
    leave()


def _loss(error: Exception) -> str:
    reason = str(error).strip().splitlines()[-1].rsplit('] ', 1)[-1].rstrip('.')
    return (
        f'another process of this run is gone, or did not answer in time ({reason}); the exit codes that the '
        'launcher prints tell more (-9: killed, often for lack of memory), and --resume goes on from the last '
        'checkpoint'
    )
