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
