"""``swinseg completion``: scripts by which a shell completes subcommands, options, files and names of configs."""

from __future__ import annotations

import argparse
import importlib
import shlex
from typing import Any

import shtab

from swinseg.cli.frame import Command, Parser, parser_of
from swinseg.config.shipped import shipped_names
from swinseg.versions import __version__
from swinseg_command import DESCRIPTION, SUBCOMMANDS

_FOLDERS = ('DIR',)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the shell."""
    parser.add_argument('shell', choices=shtab.SUPPORTED_SHELLS, help='for which')


def run(args: argparse.Namespace) -> None:
    """Print the script."""
    print(shtab.complete(whole_parser(), shell=args.shell))


def whole_parser() -> Parser:
    """Return a parser of ``swinseg`` with all its subcommands, whose arguments say how a shell completes them."""
    parser = Parser(prog='swinseg', description=DESCRIPTION)
    parser.add_argument('--version', action='version', version=f'swinseg {__version__}')
    subcommands = parser.add_subparsers(dest='subcommand', metavar='SUBCOMMAND')
    for name, (module, text) in SUBCOMMANDS.items():
        command = importlib.import_module(module).COMMAND
        made = parser_of(command, prog=f'swinseg {name}')
        subcommands.add_parser(name, help=text, parents=[made], add_help=False)
    _say_how_to_complete(parser, configs=_names_and_files())
    return parser


def _say_how_to_complete(parser: argparse.ArgumentParser, *, configs: Any) -> None:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                _say_how_to_complete(each, configs=configs)
        elif action.nargs == 0 or action.choices is not None or action.type in (int, float):
            continue
        else:
            # An attribute that shtab looks for and argparse does not know.
            vars(action)['complete'] = _completed_by(action, configs=configs)


def _completed_by(action: argparse.Action, *, configs: Any) -> Any:
    if action.dest in ('config', 'copy'):
        return configs
    return shtab.DIRECTORY if action.metavar in _FOLDERS else shtab.FILE


def _names_and_files() -> Any:
    """Return how a config is completed: in bash and zsh by the names of the shipped ones and by files."""
    names = ' '.join(shlex.quote(name) for name in shipped_names())
    functions = {
        'bash': f'_swinseg_configs() {{\n  compgen -W {shlex.quote(names)} -- "$1"\n  compgen -f -- "$1"\n}}\n',
        'zsh': f'_swinseg_configs() {{\n  compadd -- {names}\n  _files\n}}\n',
    }
    return {**shtab.FILE, **dict.fromkeys(functions, '_swinseg_configs'), 'preamble': functions}


COMMAND = Command(
    description='Print a script that lets the shell complete this command.',
    example='bash > ~/.local/share/bash-completion/completions/swinseg',
    add_arguments=add_arguments,
    run=run,
    notes='The first lines of the script say where it goes. zsh: into a file _swinseg in a folder of $fpath.',
)
