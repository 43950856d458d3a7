"""``tools/plot_log.py``: pictures, and what it says when something is wrong."""

from __future__ import annotations

from PIL import Image

from support.scripts import assert_one_clear_line, run


def test_plot_log__of_a_training_and_of_it_twice(tiny_run, tmp_path, capsys):
    assert run('plot_log', tiny_run, '--out', tmp_path / 'one') == 0
    (log,) = tiny_run.glob('*/vis_data/scalars.json')
    both = ('plot_log', tiny_run, log, '--names', 'A', 'B', '--out', tmp_path / 'two')
    assert run(*both) == 0
    pictures = [tmp_path / n / f for n in ('one', 'two') for f in ('curves.png', 'class_iou.png')]
    assert capsys.readouterr().out.splitlines() == [f'plot: {path}' for path in pictures]
    assert all(Image.open(path).width == 960 for path in pictures)


def test_plot_log__no_log(tmp_path, capsys):
    code = run('plot_log', tmp_path, '--out', tmp_path / 'out')
    assert_one_clear_line(code, capsys, 'no training log was found in .*: give the work directory')


def test_plot_log__fewer_names_than_runs(tiny_run, tmp_path, capsys):
    code = run('plot_log', tiny_run, tiny_run, '--names', 'A', '--out', tmp_path / 'out')
    assert_one_clear_line(
        code, capsys, '--names needs one name per run, but there are 1 names and 2'
    )


def test_plot_log__a_file_that_is_no_log(tmp_path, capsys):
    path = tmp_path / 'photo.jpg'
    path.write_bytes(b'\xff\xd8\xff\xe0')
    code = run('plot_log', path, '--out', tmp_path / 'out')
    assert_one_clear_line(code, capsys, r'cannot read the training log .*photo\.jpg')
