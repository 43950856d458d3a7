"""Running a script of ``tools/`` as the shell would, in this process or in a copy of it."""

from __future__ import annotations

import importlib.util
import re
import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest

from support import processes
from swinseg import cli

TOOLS = Path(__file__).parents[2] / 'tools'


def load(name: str) -> ModuleType:
    """Import ``tools/NAME.py``."""
    spec = importlib.util.spec_from_file_location(f'tools_{name}', TOOLS / f'{name}.py')
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name: str, *arguments: object) -> int:
    """Run the script with ``arguments`` and return the exit code."""
    command = load(name).COMMAND
    return cli.main(command, [str(argument) for argument in arguments], prog=f'{name}.py')


def run_in_process(name: str, *arguments: object, folder: Path) -> processes.Outcome:
    """Run the script in a process of its own, forked from this one, and return how it ended.

    It has all that a new process has, its exit code and its streams, but for the seconds of the imports.

    Args:
        name: of the script.
        *arguments: of the command line.
        folder: new, for what the process leaves behind.
    """
    (outcome,) = processes.run(
        _be_the_script, name, arguments, count=1, folder=folder, environment=lambda *_: {}
    )
    return outcome


def _be_the_script(name: str, arguments: tuple[object, ...]) -> None:
    path = str(TOOLS / f'{name}.py')
    sys.argv = [path, *map(str, arguments)]
    runpy.run_path(path, run_name='__main__')


def assert_one_clear_line(code: int, capsys: pytest.CaptureFixture, expected: str) -> None:
    """Check that a script ended with 2 and one line ``error: ...`` that matches ``expected``."""
    out, err = capsys.readouterr()
    assert code == cli.EXIT_BAD_INPUT, (out, err)
    lines = err.strip().splitlines()
    assert [line.startswith('error: ') for line in lines] == [True], err
    assert re.search(expected, lines[0]), lines[0]
    assert 'Traceback' not in out + err
    assert 'class `' not in err
