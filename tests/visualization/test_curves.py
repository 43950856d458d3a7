"""Reading mmengine's scalar logs, joining resumed runs, and drawing them."""

import json
import math
import sys

import numpy as np
import pytest
from mmengine.visualization import LocalVisBackend
from PIL import Image

from swinseg.files import OutputError
from swinseg.visualization.curves import find_scalars, plot_curves, read_scalars
from swinseg.visualization.palette import VisualizationError


def write_run(folder, first, last, *, loss=1.0, interval=10, validate=20):
    """Write a log as mmengine's LoggerHook does through its LocalVisBackend; return its path."""
    backend = LocalVisBackend(save_dir=str(folder / 'vis_data'))
    for step in range(first, last + 1, interval):
        line = {'lr': 1e-4 / step, 'data_time': 0.01, 'loss': loss, 'decode.loss_ce': loss / 2}
        backend.add_scalars({**line, 'decode.acc_seg': 50.0, 'time': 0.1, 'iter': step}, step=step)
        if step % validate == 0:
            backend.add_scalars({'aAcc': 60.0, 'mIoU': 10.0 + step / 10, 'mAcc': 30.0}, step=step)
    return folder / 'vis_data' / 'scalars.json'


def test_read_scalars__of_one_run(tmp_path):
    series = read_scalars([write_run(tmp_path, 10, 50)])
    assert series['loss'] == dict.fromkeys((10, 20, 30, 40, 50), 1.0)
    assert series['mIoU'] == {20: 12.0, 40: 14.0}
    assert series['lr'][50] == pytest.approx(2e-6)


def test_read_scalars__a_resumed_run_replaces_what_it_repeats(tmp_path):
    first = write_run(tmp_path / 'a', 10, 70, loss=3.0)
    second = write_run(tmp_path / 'b', 50, 100, loss=2.0)
    series = read_scalars([first, second])
    assert list(series['loss']) == list(range(10, 101, 10))
    assert series['loss'][40] == 3.0
    assert series['loss'][50] == 2.0
    assert list(series['mIoU']) == [20, 40, 60, 80, 100]


def test_read_scalars__a_resumed_run_drops_what_came_after_its_checkpoint(tmp_path):
    first = write_run(tmp_path / 'a', 10, 90, loss=3.0)
    second = write_run(tmp_path / 'b', 50, 60, loss=2.0)
    assert list(read_scalars([first, second])['loss']) == [10, 20, 30, 40, 50, 60]


def test_read_scalars__skips_a_line_that_a_kill_cut_short(tmp_path):
    path = write_run(tmp_path, 10, 30)
    path.write_text(path.read_text() + '{"loss": 1.0, "st')
    assert list(read_scalars([path])['loss']) == [10, 20, 30]


def test_read_scalars__skips_a_validation_outside_of_training(tmp_path):
    path = tmp_path / 'scalars.json'
    path.write_text('{"mIoU": 40.0, "step": 0}\n')
    assert read_scalars([path]) == {}


def test_find_scalars__oldest_first(tmp_path):
    for name in ('20240102_000000', '20231231_235959'):
        write_run(tmp_path / name, 10, 10)
    found = [path.parent.parent.name for path in find_scalars(tmp_path)]
    assert found == ['20231231_235959', '20240102_000000']


def test_plot_curves__draws_without_touching_pyplot(tmp_path, monkeypatch):
    paths = [write_run(tmp_path / 'a', 10, 70), write_run(tmp_path / 'b', 50, 100)]
    monkeypatch.delitem(sys.modules, 'matplotlib.pyplot', raising=False)
    plot_curves(paths, tmp_path / 'curves.png', title='mini')
    assert 'matplotlib.pyplot' not in sys.modules
    picture = np.array(Image.open(tmp_path / 'curves.png').convert('RGB'))
    assert picture.shape[1] == 960
    assert picture.shape[0] > 600
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


@pytest.mark.parametrize(
    'lines',
    [
        [{'loss': 1.0, 'step': 10}],
        [{'mIoU': 40.0, 'step': 10}],
        [{'loss': 1.0, 'lr': 0.1, 'step': 10}, {'loss': math.nan, 'lr': 0.1, 'step': 20}],
        [{'loss': 100.0, 'step': 10}, {'loss': 1.0, 'step': 20}, {'val/mIoU': 3.0, 'step': 20}],
        [{'loss': 1.0, 'step': 10}, {'mIoU': math.nan, 'step': 10}],
    ],
    ids=['one point', 'metrics only', 'nan loss', 'wide range and prefix', 'nan metric'],
)
def test_plot_curves__whatever_a_run_leaves(tmp_path, lines):
    path = tmp_path / 'scalars.json'
    path.write_text('\n'.join(json.dumps(line) for line in lines))
    plot_curves(path, tmp_path / 'curves.png')
    assert Image.open(tmp_path / 'curves.png').width == 960


def test_plot_curves__of_several_runs_shows_them_all(tmp_path):
    first, second = write_run(tmp_path / 'a', 10, 50), write_run(tmp_path / 'b', 60, 500)
    plot_curves(first, tmp_path / 'one.png')
    plot_curves([first, second], tmp_path / 'two.png')
    assert (tmp_path / 'one.png').read_bytes() != (tmp_path / 'two.png').read_bytes()


def test_plot_curves__bad_input(tmp_path):
    with pytest.raises(VisualizationError, match=r'cannot read the training log .*missing\.json'):
        plot_curves(tmp_path / 'missing.json', tmp_path / 'curves.png')
    (tmp_path / 'empty.json').write_text('')
    with pytest.raises(
        VisualizationError, match=r'no loss and no metric to draw was found in .*empty\.json'
    ):
        plot_curves(tmp_path / 'empty.json', tmp_path / 'curves.png')
    with pytest.raises(OutputError, match='cannot write'):
        plot_curves(write_run(tmp_path / 'a', 10, 20), tmp_path / 'empty.json' / 'curves.png')
