"""The script from its arguments to its picture."""

from pathlib import Path

import cv2

from support import scripts

CONFIG = Path(__file__).parents[2] / 'configs' / 'upernet_swin_t_mini.py'


def test_main__prints_tables_and_writes_the_plot(tmp_path, capsys):
    code = scripts.run(
        'complexity', CONFIG, '--sizes', 64, '--sides', 7, 14, '--out', tmp_path / 'out'
    )
    assert code == 0
    output = capsys.readouterr().out
    assert '64 x 64' in output
    assert '14 x 14' in output
    assert cv2.imread(str(tmp_path / 'out' / 'attention_cost.png')).std() > 1


def test_main__a_side_that_is_no_multiple_is_bad_input(tmp_path, capsys):
    code = scripts.run('complexity', '--sides', 30, '--out', tmp_path)
    scripts.assert_one_clear_line(code, capsys, 'multiples of the window 7, found 30; try 28')


def test_main__estimates_steps_on_a_gpu(tmp_path, capsys):
    options = ['--sides', 7, '--sizes', 64, '--out', tmp_path]
    gpu = ['--device', 'rtx4090', '--dtype', 'tf32', '--batch', 2]
    assert scripts.run('complexity', CONFIG, *options, *gpu) == 0
    printed = capsys.readouterr().out
    assert 'RTX 4090, tf32, 2 at a time: an estimate from the published 82.6 TFLOP/s' in printed
    assert printed.count('64 x 64') == 3
    code = scripts.run('complexity', *options, '--device', 'h100')
    scripts.assert_one_clear_line(code, capsys, 'about the model of a config, but none is named')
    code = scripts.run('complexity', CONFIG, *options, *gpu[:-1], 0)
    scripts.assert_one_clear_line(code, capsys, '--batch must be at least 1, found 0')
