"""The command before PyTorch is loaded: what it answers by itself, and that it hands the rest on."""

import subprocess
import sys
from pathlib import Path

import pytest

import swinseg
import swinseg_command
from support.scripts import assert_one_clear_line

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize('argument', ['--help', '--version', 'tarin'])
def test_main__answers_without_loading_the_package(argument):
    code = (
        'import sys, swinseg_command\n'
        f'swinseg_command.main([{argument!r}])\n'
        'print({"swinseg", "torch", "numpy"} & set(sys.modules))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == 'set()'


def test_main__help_lists_every_subcommand(capsys):
    assert swinseg_command.main(['--help']) == 0
    text = capsys.readouterr().out
    for name in swinseg_command.SUBCOMMANDS:
        assert f'\n  {name} ' in text
    assert max(map(len, text.splitlines())) <= 80


def test_main__version(capsys):
    assert swinseg_command.main(['--version']) == 0
    assert capsys.readouterr().out == f'swinseg {swinseg.__version__}\n'


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['tarin', 'x.py'], "there is no subcommand 'tarin'; did you mean train"),
        (['check_dataset'], 'did you mean check'),
        (['xyzzy'], "there is no subcommand 'xyzzy'; swinseg --help lists them all"),
        ([], 'expected a subcommand, found none'),
        (['--seed', '3', 'train'], 'before the subcommand .* found --seed'),
        (['train'], 'required: config; swinseg train --help'),
    ],
)
def test_main__bad_usage_is_one_line_and_two(capsys, arguments, expected):
    assert_one_clear_line(swinseg_command.main(arguments), capsys, expected)


def test_main__runs_a_subcommand(capsys):
    assert swinseg_command.main(['env']) == 0
    assert capsys.readouterr().out.startswith(f'swinseg {swinseg.__version__}\n')
