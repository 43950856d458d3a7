"""Intervals and lengths that a training cannot be made of."""

import pytest
from mmengine.config import Config

from swinseg.engine import ConfigError
from swinseg.engine.checks.intervals import check_intervals


@pytest.mark.parametrize(
    'cfg',
    [
        {},
        dict(train_cfg=dict(max_iters=4, val_interval=2, val_begin=0, dynamic_intervals=[(2, 1)])),
        dict(train_cfg=dict(by_epoch=True, max_epochs=2.0)),
        dict(
            train_cfg=dict(by_epoch=True, max_epochs=2, val_interval=2),
            default_hooks=dict(checkpoint=dict(by_epoch=False, interval=16000)),
        ),
        dict(train_cfg=dict(by_epoch=False, max_iters=4, val_interval=16000)),
        dict(default_hooks=dict(checkpoint=dict(interval=-1), logger=None, timer=dict(type='X'))),
        dict(custom_hooks=[dict(type='ProgressHook', interval=1)]),
    ],
)
def test_check_intervals__accepts(cfg):
    check_intervals(Config(cfg))


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        (
            dict(train_cfg=dict(max_iters=0)),
            r'train_cfg\.max_iters must be a whole number from 1 on, not 0$',
        ),
        (dict(train_cfg=dict(max_iters=float('inf'))), 'not inf'),
        (dict(train_cfg=dict(max_iters=float('nan'))), 'not nan'),
        (dict(train_cfg=dict(max_epochs=-1)), 'max_epochs must be'),
        (
            dict(train_cfg=dict(val_interval=0)),
            'not 0; to train without validation set val_dataloader',
        ),
        (dict(train_cfg=dict(val_interval=True)), 'not True'),
        (dict(train_cfg=dict(val_begin=-2)), 'val_begin must be a whole number from 0 on'),
        (dict(train_cfg=dict(dynamic_intervals=5)), r'must be pairs \(iteration, val_interval'),
        (dict(train_cfg=dict(dynamic_intervals=[(1, 2), (3, 0)])), 'the interval of train_cfg'),
        (
            dict(train_cfg=dict(by_epoch=True, max_epochs=20, val_interval=16000)),
            r'val_interval=16000 counts epochs in a training of 20, .*; set train_cfg\.val_interval=1 ',
        ),
        (
            dict(
                train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=20),
                default_hooks=dict(checkpoint=dict(by_epoch=True, interval=16000)),
            ),
            r'checkpoint\.interval=16000 counts epochs',
        ),
        (dict(default_hooks=dict(checkpoint=dict(interval=-2))), 'from -1 on, not -2'),
        (dict(default_hooks=dict(visualization=dict(interval=0))), r'visualization\.interval must'),
        (
            dict(custom_hooks=[{}, dict(interval=[1])]),
            r'custom_hooks\.1\.interval must .*, not \[1\]',
        ),
    ],
)
def test_check_intervals__refuses(cfg, message):
    with pytest.raises(ConfigError, match=message):
        check_intervals(Config(cfg))
