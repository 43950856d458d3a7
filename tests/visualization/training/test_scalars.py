"""Reading mmengine's scalar logs, joining resumed runs, and what is found in them."""

import math
import re

import pytest

from support.training_log import write_run
from swinseg.visualization.palette import VisualizationError
from swinseg.visualization.training.scalars import (
    best_of,
    class_iou_scalars,
    class_ious_in,
    find_scalars,
    iterations_per_epoch,
    losses_in,
    metric_in,
    read_scalars,
    scalars_of,
)


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


def test_scalars_of__a_work_directory_a_run_and_a_file(tmp_path):
    paths = [write_run(tmp_path / name, 10, 10) for name in ('20240101_000000', '20240102_000000')]
    assert scalars_of(tmp_path) == paths
    assert scalars_of(tmp_path / '20240101_000000') == paths[:1]
    assert scalars_of(str(paths[1])) == paths[1:]


@pytest.mark.parametrize('name', ['missing', 'empty'])
def test_scalars_of__nothing_there(tmp_path, name):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(
        VisualizationError, match=rf'no training log was found in .*{name}: give the work directory'
    ):
        scalars_of(tmp_path / name)


def test_losses_in__leaves_out_what_is_none():
    series = {name: {1: 1.0} for name in ('loss', 'decode.loss_ce', 'decode.acc_seg', 'lr')}
    assert list(losses_in(series)) == ['loss', 'decode.loss_ce']


@pytest.mark.parametrize('name', ['mIoU', 'val/mIoU'])
def test_metric_in__with_and_without_a_prefix(name):
    assert metric_in({'IoU/wall': {5: 1.0}, name: {5: 40.0}}, 'mIoU') == {5: 40.0}
    assert metric_in({'IoU/wall': {5: 1.0}}, 'mIoU') == {}


def test_best_of__passes_over_what_is_not_finite():
    assert best_of({1: 3.0, 2: math.nan, 3: 4.0, 4: 1.0}) == (3, 4.0)
    assert best_of({1: math.nan}) is None
    assert best_of({}) is None


def test_class_iou_scalars__come_back_from_a_log():
    scalars = class_iou_scalars(['wall', 'sky', 'Straße/Weg'], [0.123456, math.nan, 1.0])
    assert scalars == {'IoU/wall': 12.35, 'IoU/Straße/Weg': 100.0}
    series = {name: {20: value} for name, value in scalars.items()}
    assert class_ious_in({**series, 'mIoU': {20: 50.0}}) == {
        'wall': {20: 12.35},
        'Straße/Weg': {20: 100.0},
    }


def test_class_iou_scalars__names_that_mlflow_takes_and_that_differ():
    scalars = class_iou_scalars(['a;b', 'a,b', 'a(b)'], [0.1, 0.2, 0.3])
    assert scalars == {'IoU/a_b': 10.0, 'IoU/a_b 1': 20.0, 'IoU/a_b_': 30.0}
    # The rule of mlflow.utils.validation.
    assert all(re.fullmatch(r'[/\w.\- :]+', name) for name in scalars)


def test_iterations_per_epoch__only_of_a_training_that_counts_epochs():
    assert iterations_per_epoch({'loss': {10: 1.0}}) is None
    assert iterations_per_epoch({'epochs': {1: 0.25, 8: 2.0}}) == 4.0


def test_losses_in__leaves_those_of_validations_out():
    names = ('loss', 'decode.loss_ce', 'val_loss', 'val_decode.loss_ce', 'lr')
    assert list(losses_in({name: {1: 1.0} for name in names})) == ['loss', 'decode.loss_ce']
