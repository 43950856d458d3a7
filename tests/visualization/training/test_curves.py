"""Drawing the curves of one training."""

import json
import math
import sys

import numpy as np
import pytest
from PIL import Image

from support.training_log import write_run
from swinseg.files import OutputError
from swinseg.visualization.palette import VisualizationError
from swinseg.visualization.training import curve_panels
from swinseg.visualization.training.curves import plot_curves


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


def test_plot_curves__count_epochs_and_show_the_loss_of_validations(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(
        curve_panels, 'save_figure', lambda figure, path, title: figures.append(figure)
    )
    lines = [{'loss': 2.0, 'epochs': step / 40, 'step': step} for step in range(10, 121, 10)] + [
        {'mIoU': float(step), 'val_loss': 1.5, 'step': step} for step in (40, 80, 120)
    ]
    path = tmp_path / 'scalars.json'
    for name, left_out in (('epochs', 'nothing'), ('iterations', 'epochs')):
        kept = [{key: value for key, value in line.items() if key != left_out} for line in lines]
        path.write_text('\n'.join(json.dumps(line) for line in kept))
        plot_curves(path, tmp_path / f'{name}.png')
    by_epoch, by_iteration = figures
    losses, metrics = by_epoch.axes
    assert metrics.get_xlabel() == 'epoch'
    axis = metrics.xaxis
    labels = [axis.get_major_formatter()(tick, None) for tick in axis.get_ticklocs()]
    assert labels == ['0', '1', '2', '3']
    assert 'best mIoU 120.00% at epoch 3' in metrics.get_legend_handles_labels()[1]
    assert losses.get_legend_handles_labels()[1] == ['loss', 'validation loss']
    assert by_iteration.axes[1].get_xlabel() == 'iteration'
    assert 'best mIoU 120.00% at 120' in by_iteration.axes[1].get_legend_handles_labels()[1]
