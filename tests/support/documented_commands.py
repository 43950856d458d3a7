"""The commands that pages show, and the parsers that they are for."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from importlib import import_module

import torch.distributed.run

from support import scripts
from swinseg.cli.frame import Command, parser_of
from swinseg_command import SUBCOMMANDS

_TOOL = re.compile(r'(?:\./)?tools/(\w+)\.py$')
_NAMES = [[name] for name in SUBCOMMANDS]
_LONG_OPTION = re.compile(r'(?<![\w-])--[a-z][a-z-]*')


def in_blocks(text: str) -> Iterator[str]:
    """Give the command lines of indented and fenced blocks, continued ones joined."""
    joined = re.sub(r'[ \t]*\\\n[ \t]*', ' ', text)
    # Python has its own test, and a diff or a config is no command.
    joined = re.sub(r'^```(?:python|py|yaml|json|toml)\n.*?^```', '', joined, flags=re.S | re.M)
    fenced = ''.join(re.findall(r'^```\w*\n(.*?)^```', joined, re.S | re.M))
    indented = ''.join(re.findall(r'^ {4,}\S.*\n?', joined, re.M))
    for line in f'{fenced}\n{indented}'.splitlines():
        line = line.strip().removeprefix('$ ')
        if is_command(line):
            yield line


def inline(text: str) -> Iterator[str]:
    """Give the commands between backticks, which may be parts of one."""
    for code in re.findall(r'(?<!`)`([^`\n]+)`(?!`)', text):
        # A sentence may begin with the name, too, as that of an error does.
        words = code.split()
        is_sentence = words[0] == 'swinseg' and '--' not in code and words[1:2] not in _NAMES
        if is_command(code) and not is_sentence:
            yield code


def is_command(line: str) -> bool:
    """Whether a line calls swinseg, by whatever launcher."""
    return re.match(
        r'(?:\w+=\S*(?:\([^)]*\))? |nohup |python3? |srun |torchrun |-\S+ |\w+=\S+ |\d+ )*'
        r'(?:[\w/ .=-]*\s)?(?:tools/\w+\.py|swinseg)(?:\s|$)', line
    ) is not None and not line.startswith(('pip', 'git', 'import', 'from', 'cd '))  # fmt: skip


def command_and_arguments(line: str) -> tuple[Command, list[str]]:
    """Return the command in a line and the words that are for it.

    Raises:
        AssertionError: there is no such subcommand or script.
        SystemExit: torchrun does not take its own options.
    """
    words = shlex.split(line.replace('…', '...'), comments=True)
    if words[0] == 'torchrun':
        launcher = torch.distributed.run.get_args_parser().parse_args(words[1:])
        words = [launcher.training_script, *launcher.training_script_args]
    for at, word in enumerate(words):
        tool = _TOOL.match(word)
        if tool is not None:
            return scripts.load(tool[1]).COMMAND, words[at + 1 :]
        if word == 'swinseg' and at + 1 < len(words):
            name = words[at + 1]
            assert name in SUBCOMMANDS, f'there is no swinseg {name}'
            return import_module(SUBCOMMANDS[name][0]).COMMAND, words[at + 2 :]
    raise AssertionError(f'no command is found in {line}')


def parser_and_arguments(line: str) -> tuple[argparse.ArgumentParser, list[str]]:
    """Return the parser of the command in a line and the words that are for it; see the function above."""
    command, words = command_and_arguments(line)
    return parser_of(command), words


def parse(line: str) -> None:
    """Parse a command without running it.

    Raises:
        UserError: an argument is missing or unknown.
        AssertionError: there is no such command.
    """
    parser, arguments = parser_and_arguments(line)
    parser.parse_args(arguments)


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """Return the options of a parser and of its subparsers."""
    found = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action.choices.values():
                found |= options_of(choice)
    return found


def named_options(line: str) -> set[str]:
    """Return the long options that a part of a command names."""
    return set(_LONG_OPTION.findall(line))
