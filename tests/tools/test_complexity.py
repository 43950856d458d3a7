"""The script from its arguments to its picture."""

import importlib.util
import sys
from pathlib import Path

import cv2

ROOT = Path(__file__).parents[2]


def load_tool(name):
    spec = importlib.util.spec_from_file_location(f'tool_{name}', ROOT / 'tools' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_main__prints_tables_and_writes_the_plot(tmp_path, capsys, monkeypatch):
    config = str(ROOT / 'configs' / 'upernet_swin_t_mini.py')
    argv = ['complexity.py', config, '--sizes', '64', '--sides', '7', '14', '--out', str(tmp_path)]
    monkeypatch.setattr(sys, 'argv', argv)
    tool = load_tool('complexity')
    assert tool.run(tool.main) == 0
    output = capsys.readouterr().out
    assert '64 x 64' in output
    assert cv2.imread(str(tmp_path / 'attention_cost.png')).std() > 1


def test_main__a_side_that_is_no_multiple_is_bad_input(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['complexity.py', '--sides', '30', '--out', str(tmp_path)])
    tool = load_tool('complexity')
    assert tool.run(tool.main) == 2
    assert capsys.readouterr().err.startswith('error: sides must be multiples of the window 7')
