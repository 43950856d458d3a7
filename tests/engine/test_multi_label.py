"""Training and evaluation of classes that overlap, on drawn images."""

import json

import pytest
import torch

from support.multi_label import CLASSES, draw, write_config
from swinseg.checkpoints import checkpoint_meta, read_checkpoint
from swinseg.engine import ConfigError, evaluate, load_config, train
from swinseg.errors import UserError


@pytest.fixture
def run(multi_label_run):
    """The config and the result of a training."""
    return multi_label_run[1:]


def test_train__learns_classes_that_overlap(run):
    _, result = run
    assert result.best_score > 60
    log = ''.join(path.read_text() for path in result.work_dir.glob('*/vis_data/scalars.json'))
    names = set().union(*(json.loads(line) for line in log.splitlines()))
    assert {'decode.loss_bce', 'decode.loss_dice', 'aux.loss_focal', 'decode.acc_seg'} <= names
    assert {'mIoU', 'mFscore', 'microIoU', 'imageIoU'} <= names


@pytest.mark.parametrize('which', ['last', 'best'])
def test_train__checkpoints_keep_the_chosen_thresholds(run, which):
    _, result = run
    meta = checkpoint_meta(read_checkpoint(getattr(result, which)))
    thresholds = meta['config']['model']['thresholds']
    assert len(thresholds) == len(CLASSES)
    assert all(256 * each == int(256 * each) and 0 < each < 1 for each in thresholds)
    assert thresholds != [0.5] * 3


@pytest.mark.parametrize('options', [{}, {'model.test_cfg.mode': 'slide'}], ids=['whole', 'slide'])
def test_evaluate__takes_the_thresholds_of_the_checkpoint(run, options, tmp_path):
    config, result = run
    if options:
        options |= {'model.test_cfg.crop_size': (48, 48), 'model.test_cfg.stride': (32, 32)}
    cfg = load_config(config, options)
    found = evaluate(cfg, result.last, work_dir=tmp_path)
    thresholds = checkpoint_meta(read_checkpoint(result.last))['config']['model']['thresholds']
    assert found.report.thresholds == tuple(thresholds)
    if not options:
        assert found['mIoU'] == result.best_score
    written = json.loads((tmp_path / 'metrics.json').read_text())
    assert [each['threshold'] for each in written['per_class']] == thresholds
    assert written['headline']['imageIoU'] == found['imageIoU']


def test_evaluate__thresholds_of_the_config_come_first(run, tmp_path):
    config, result = run
    cfg = load_config(config, {'model.thresholds': [0.25, 0.5, 0.75]})
    assert evaluate(cfg, result.last, work_dir=tmp_path).report.thresholds == (0.25, 0.5, 0.75)


def test_evaluate__flips(run, tmp_path):
    config, result = run
    found = evaluate(load_config(config), result.last, tta=True, work_dir=tmp_path)
    assert found['mIoU'] > 60


def test_evaluate__has_no_page(run, tmp_path):
    config, result = run
    with pytest.raises(ConfigError, match='leave --report out'):
        evaluate(load_config(config), result.last, report=tmp_path / 'page', work_dir=tmp_path)


def test_train__averaged_weights_are_in_both_checkpoints(run, tmp_path):
    config, _ = run
    cfg = load_config(config, {'train_cfg.max_iters': 3, 'train_cfg.val_interval': 3})
    cfg.default_hooks.checkpoint.interval = 3
    cfg.custom_hooks = [dict(type='ResumableEMAHook', momentum=0.1)]
    result = train(cfg, work_dir=tmp_path)
    last, best = (read_checkpoint(path) for path in (result.last, result.best))
    name = 'decode_head.conv_seg.weight'
    assert torch.equal(last['state_dict'][name], best['state_dict'][name])
    assert not torch.equal(last['state_dict'][name], last['ema_state_dict'][f'module.{name}'])
    assert (
        checkpoint_meta(last)['config']['model']['thresholds']
        == (checkpoint_meta(best)['config']['model']['thresholds'])
    )


def test_train__loss_of_the_validation_set(run, tmp_path):
    config, _ = run
    cfg = load_config(config, {'train_cfg.max_iters': 1, 'validation_loss': True})
    train(cfg, work_dir=tmp_path)
    log = ''.join(path.read_text() for path in tmp_path.glob('*/vis_data/scalars.json'))
    assert next(json.loads(line) for line in log.splitlines() if 'val_loss' in line)['val_loss'] > 0


def test_train__goes_on_with_thresholds(run, tmp_path):
    config, result = run
    cfg = load_config(config, {'train_cfg.max_iters': 61})
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.save_best = None
    again = train(cfg, work_dir=tmp_path, resume=result.last)
    kept, before = (
        checkpoint_meta(read_checkpoint(path))['config']['model']['thresholds']
        for path in (again.last, result.last)
    )
    assert kept == before


@pytest.mark.parametrize(
    ('extra', 'message'),
    [
        (
            'train_dataloader = dict(dataset=dict(multi_label=None, label_map={0: 0, 1: 1}))',
            'has one class at each pixel, but the model',
        ),
        ('model = dict(multi_label=False)', 'set multi_label=True of SwinSegmentor'),
        (
            "val_evaluator = dict(_delete_=True, type='MeanIoUMetric')",
            'are not measured by MeanIoUMetric',
        ),
        (
            "default_hooks = dict(checkpoint=dict(save_best='aAcc'))",
            'a validation gives mIoU, mFscore',
        ),
    ],
)
def test_train__mistakes_in_one_sentence(extra, message, tmp_path):
    root = draw(tmp_path / 'data', count=2)
    config = write_config(tmp_path / 'base.py', root, iterations=1)
    changed = tmp_path / 'config.py'
    changed.write_text(f"_base_ = './{config.name}'\n{extra}\n")
    with pytest.raises(UserError, match=message):
        train(load_config(changed), work_dir=tmp_path / 'work')
