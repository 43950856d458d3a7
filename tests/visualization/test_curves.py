"""Drawing the curves of one training."""

import json
import math
import sys

import numpy as np
import pytest
from PIL import Image

from support.training_log import write_run
from swinseg.files import OutputError
from swinseg.visualization.curves import plot_curves
from swinseg.visualization.palette import VisualizationError


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
