"""From logs to pictures, as ``tools/plot_log.py`` does."""

import pytest

from support.training_log import write_run
from swinseg.visualization.palette import VisualizationError
from swinseg.visualization.training.run_logs import draw_logs


@pytest.mark.parametrize('classes', [(), ('wall', 'sky')])
@pytest.mark.parametrize('count', [1, 2])
def test_draw_logs__of_one_run_and_of_two(tmp_path, count, classes):
    runs = [tmp_path / name for name in ('a', 'b')[:count]]
    for run in runs:
        write_run(run / '20240101_000000', 10, 40, classes=classes)
    expected = ['curves.png', 'class_iou.png'] if classes else ['curves.png']
    written = draw_logs(runs, tmp_path / 'out')
    assert written == [tmp_path / 'out' / name for name in expected]
    assert sorted((tmp_path / 'out').iterdir()) == sorted(written)


@pytest.mark.filterwarnings('error')  # matplotlib warns where names leave no room for curves
def test_draw_logs__runs_of_one_name_are_told_apart(tmp_path):
    folders = [tmp_path / name / 'a folder with a long name' for name in ('a', 'b')]
    files = [write_run(folder, 10, 40) for folder in folders]
    assert draw_logs(files, tmp_path / 'out') == [tmp_path / 'out' / 'curves.png']
    assert draw_logs(folders, tmp_path / 'again') == [tmp_path / 'again' / 'curves.png']


@pytest.mark.parametrize(
    ('runs', 'names', 'message'),
    [
        (['a', 'b'], ['one'], 'there are 1 names and 2 runs'),
        (['a', 'b'], ['one', 'one'], 'two runs are named one'),
        (['a', 'a'], None, 'two runs are named .*a; give each run once'),
        (['a', 'c'], None, 'no training log was found in .*c'),
    ],
)
def test_draw_logs__mistakes(tmp_path, runs, names, message):
    for name in ('a', 'b'):
        write_run(tmp_path / name, 10, 20)
    with pytest.raises(VisualizationError, match=message):
        draw_logs([tmp_path / run for run in runs], tmp_path / 'out', names=names)
