"""Running a script of ``tools/`` in this process, as the shell would."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

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
    """Call the script's ``main`` with ``arguments`` and return the exit code."""
    return cli.run(lambda: load(name).main([str(argument) for argument in arguments]))


def assert_one_clear_line(code: int, capsys: pytest.CaptureFixture, expected: str) -> None:
    """Check that a script ended with 2 and one line ``error: ...`` that matches ``expected``."""
    out, err = capsys.readouterr()
    assert code == cli.EXIT_BAD_INPUT, (out, err)
    lines = err.strip().splitlines()
    assert [line.startswith('error: ') for line in lines] == [True], err
    assert re.search(expected, lines[0]), lines[0]
    assert 'Traceback' not in out + err
    assert 'class `' not in err
