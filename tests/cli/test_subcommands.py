"""All subcommands: their help, the names of their options, and the scripts that call the same."""

import argparse
import importlib
import shlex

import pytest

import swinseg_command
from support import scripts
from swinseg.cli.frame import parser_of
from swinseg.config.shipped import shipped_path

COMMANDS = {
    name: importlib.import_module(module).COMMAND
    for name, (module, _) in swinseg_command.SUBCOMMANDS.items()
}
# Options that take more or fewer values by what they are about: files of one format or another.
FILES_OF_A_FORMAT = {'--train', '--val'}


def parsers(parser, path):
    yield path, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, each in action.choices.items():
                yield from parsers(each, f'{path} {name}')


ALL = dict(
    item
    for name, command in COMMANDS.items()
    for item in parsers(parser_of(command, prog=f'swinseg {name}'), name)
)


@pytest.mark.parametrize('name', COMMANDS)
def test_help__explains_and_has_an_example_that_is_understood(name):
    command = COMMANDS[name]
    parser = parser_of(command, prog=f'swinseg {name}')
    text = parser.format_help()
    assert command.description in text
    assert f'example:\n  swinseg {name} {command.example}' in text
    arguments = shlex.split(command.example.partition('>')[0])
    args = parser.parse_args(arguments)
    config = getattr(args, 'config', None) if name != 'benchmark' else None
    assert config is None or shipped_path(config)


def test_options__of_one_name_take_the_same():
    found = {}
    for path, parser in ALL.items():
        for action in parser._actions:
            for option in action.option_strings:
                assert option == option.lower()
                takes = (action.nargs, action.metavar, action.type)
                found.setdefault(option, {}).setdefault(takes, []).append(path)
    differ = {option: uses for option, uses in found.items() if len(uses) > 1}
    # Where results go is a file for a page, a picture or figures, a folder for several of them.
    assert {metavar for _, metavar, _ in differ.pop('--out')} == {'DIR', 'FILE'}
    # The list of models is all that is printed; a check of data prints its findings and writes a file beside.
    assert {metavar for _, metavar, _ in differ.pop('--json')} == {None, 'FILE'}
    # A length of windows may be one number or two where images are not square.
    assert set(differ) - FILES_OF_A_FORMAT == {'--window', '--stride'}


@pytest.mark.parametrize('script', sorted(path.stem for path in scripts.TOOLS.glob('*.py')))
def test_script__calls_the_command(script):
    command = scripts.load(script).COMMAND
    assert command in COMMANDS.values()


def test_help__names_the_nearest_layout_option(capsys):
    code = scripts.run('prepare_dataset', 'mini', '--out', 'x', '--seeed', '1')
    scripts.assert_one_clear_line(code, capsys, r'--seeed 1 \(did you mean --seed')
