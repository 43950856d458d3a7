"""The loss of the validation set: what it is, where it is logged, and who may watch it."""

from __future__ import annotations

import json

import pytest
import torch

from support.tiny_config import CURVES
from swinseg.engine import ConfigError, load_config, train
from swinseg.engine.checks.metrics import require_metric
from swinseg.engine.hooks.validation_loss import _losses_of, _windows
from swinseg.engine.runner import SwinsegRunner

WATCHED = """
validation_loss = True
default_hooks = dict(checkpoint=dict(save_best='val_loss', rule='less'))
"""


def test_validation_loss__is_logged_watched_and_leaves_the_training_alone(
    write_tiny_config, tmp_path, capsys
):
    early = (
        "custom_hooks = [dict(type='ResumableEarlyStoppingHook', monitor='val_loss', patience=9)]\n"
    )
    extra = WATCHED + CURVES + early
    cfg = load_config(write_tiny_config(extra=extra), {'train_cfg.max_iters': 2})
    done = train(cfg, work_dir=tmp_path / 'w', seed=0, check=False)
    (best,) = done.bests
    assert best.metric == 'val_loss'
    assert best.checkpoint.name == 'best_val_loss_iter_2.pth'
    assert f'val_loss {best.score:.2f}  (best so far)' in capsys.readouterr().out
    log = next((tmp_path / 'w').glob('*/vis_data/scalars.json')).read_text().splitlines()
    (line,) = [found for found in map(json.loads, log) if 'mIoU' in found]
    assert line['val_loss'] == pytest.approx(best.score)
    parts = line['val_decode.loss_ce'] + line['val_aux.loss_ce']
    assert parts == pytest.approx(line['val_loss'], rel=1e-5)
    assert (tmp_path / 'w' / 'curves.png').is_file()


@pytest.fixture
def runner(write_tiny_config, tmp_path):
    """A runner whose model and validation set are built."""
    cfg = load_config(write_tiny_config())
    cfg.work_dir, cfg.experiment_name = str(tmp_path / 'w'), tmp_path.name
    return SwinsegRunner.from_cfg(cfg)


def test_losses_of__are_those_of_the_training_on_the_image_that_the_network_sees(runner):
    model = runner.model.eval()
    data = next(iter(runner.val_dataloader))
    image, sample = data['inputs'][0], data['data_samples'][0]
    with torch.no_grad():
        found = _losses_of(model, image, sample)
        stacked = model.data_preprocessor({'inputs': [image], 'data_samples': [sample]}, True)
        total, logs = model.parse_losses(model.loss(**stacked))
    assert stacked['inputs'].shape[2:] == image.shape[1:]
    assert found.keys() == logs.keys()
    assert found['loss'] == pytest.approx(float(total), rel=1e-5)
    # In windows: the mean over the pixels.
    model.test_cfg = dict(mode='slide', crop_size=image.shape[1:], stride=(9, 9))
    with torch.no_grad():
        assert _losses_of(model, image, sample) == pytest.approx(found)
    model.test_cfg = dict(mode='slide', crop_size=(48, 48), stride=(9, 9))
    with torch.no_grad():
        assert 0 < _losses_of(model, image, sample)['loss'] != pytest.approx(found['loss'])


def test_losses_of__labels_of_another_size_and_ignored_ones(runner):
    model = runner.model.eval()
    data = next(iter(runner.val_dataloader))
    image, sample = data['inputs'][0], data['data_samples'][0]
    with torch.no_grad():
        found = _losses_of(model, image, sample)
        label = sample.gt_sem_seg.data
        larger = label.repeat_interleave(2, 1).repeat_interleave(2, 2)
        sample.gt_sem_seg.pop('data')
        sample.gt_sem_seg.data = larger
        assert _losses_of(model, image, sample) == pytest.approx(found)
        sample.gt_sem_seg.data = torch.full_like(larger, 255)
        assert _losses_of(model, image, sample)['loss'] == 0


def test_windows__cover_the_image():
    seen = torch.zeros(10, 13)
    for rows, columns in _windows((10, 13), dict(mode='slide', crop_size=(4, 5))):
        seen[rows, columns] += 1
    assert (seen > 0).all()
    assert list(_windows((10, 13), dict(mode='whole'))) == [(slice(0, 10), slice(0, 13))]


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        (
            'mDice',
            r"names 'mDice', but a validation gives aAcc, mIoU; for mDice add it to val_evaluator",
        ),
        ('val_loss', r'for val_loss set validation_loss=True'),
        ('miou', r"names 'miou', but a validation gives aAcc, mIoU$"),
    ],
)
def test_require_figure__refuses(name, message):
    require_metric('mIoU', ('aAcc', 'mIoU'), setting='save_best')
    with pytest.raises(ConfigError, match=message):
        require_metric(name, ('aAcc', 'mIoU'), setting='save_best')
