"""Several trainings in one picture."""

import numpy as np
import pytest
from PIL import Image

from support.training_log import write_run
from swinseg.visualization.palette import VisualizationError
from swinseg.visualization.training.run_comparison import plot_class_iou_of_runs, plot_runs
from swinseg.visualization.training.scalars import read_scalars

CLASSES = ('wall', 'sky', 'tree')


@pytest.fixture
def runs(tmp_path):
    slow = write_run(tmp_path / 'slow', 10, 60, loss=3.0, classes=CLASSES)
    fast = write_run(tmp_path / 'fast', 10, 60, loss=2.0, classes=CLASSES, miou=50.0)
    return {'slow': read_scalars([slow]), 'fast': read_scalars([fast])}


def count_pixels(path, color):
    return int((np.array(Image.open(path).convert('RGB')) == color).all(axis=-1).sum())


BLUE, RED = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)


def test_plot_runs__draws_each_in_its_color(runs, tmp_path):
    plot_runs(runs, tmp_path / 'both.png', title='two runs')
    plot_runs({'slow': runs['slow']}, tmp_path / 'one.png')
    assert min(count_pixels(tmp_path / 'both.png', color) for color in (BLUE, RED)) > 300
    assert count_pixels(tmp_path / 'one.png', RED) == 0


def test_plot_runs__whatever_a_run_lacks(runs, tmp_path):
    runs['no validation'] = {'loss': {5: 1.0, 9: 2.0}}
    runs['nothing'] = {}
    plot_runs(runs, tmp_path / 'curves.png')
    whole = Image.open(tmp_path / 'curves.png').height
    plot_runs({'a': {'loss': {5: 1.0}}, 'b': {'loss': {5: 1.0}}}, tmp_path / 'loss.png')
    assert Image.open(tmp_path / 'loss.png').height < whole / 2, (
        'a panel only where there are figures'
    )
    with pytest.raises(
        VisualizationError, match=r'no loss, mIoU, .* was found in the logs of a, b'
    ):
        plot_runs({'a': {}, 'b': {}}, tmp_path / 'none.png')


def test_plot_class_iou_of_runs__a_dot_for_each(runs, tmp_path):
    runs['without classes'] = {'mIoU': {5: 1.0}}
    plot_class_iou_of_runs(runs, tmp_path / 'classes.png', title='two runs')
    dots = [count_pixels(tmp_path / 'classes.png', color) for color in (BLUE, RED)]
    del runs['fast']['IoU/wall']
    plot_class_iou_of_runs(runs, tmp_path / 'fewer.png')
    fewer = [count_pixels(tmp_path / 'fewer.png', color) for color in (BLUE, RED)]
    assert fewer[0] == pytest.approx(dots[0], rel=0.1)
    assert fewer[1] < 0.85 * dots[1]


def test_plot_class_iou_of_runs__has_the_colors_of_the_curves(runs, tmp_path):
    plot_class_iou_of_runs({'without': {'mIoU': {5: 1.0}}, **runs}, tmp_path / 'classes.png')
    assert count_pixels(tmp_path / 'classes.png', BLUE) == 0
    assert count_pixels(tmp_path / 'classes.png', RED) > 100


def test_plot_class_iou_of_runs__takes_the_best_validation(tmp_path):
    found = {'mIoU': {10: 50.0, 20: 40.0}, 'IoU/wall': {10: 50.0, 20: 0.0}}
    best_only = {'mIoU': {10: 50.0}, 'IoU/wall': {10: 50.0}}
    plot_class_iou_of_runs({'run': found}, tmp_path / 'a.png')
    plot_class_iou_of_runs({'run': best_only}, tmp_path / 'b.png')
    assert (tmp_path / 'a.png').read_bytes() == (tmp_path / 'b.png').read_bytes()


def test_plot_class_iou_of_runs__none_has_classes(tmp_path):
    with pytest.raises(VisualizationError, match='no IoU per class was found in the logs of a'):
        plot_class_iou_of_runs({'a': {'mIoU': {5: 1.0}}}, tmp_path / 'none.png')
