"""Length of a training: epochs or iterations, and schedules that follow it."""

from __future__ import annotations

import pytest
from mmengine.config import Config
from mmengine.runner import EpochBasedTrainLoop

from swinseg.config.training_length import (
    check_schedulers,
    counts_epochs,
    follow_length,
    length_of,
    settle_length,
    with_end,
)
from swinseg.engine import ConfigError, load_config

BY_ITERATION = dict(by_epoch=False, max_iters=100, val_interval=10)


@pytest.mark.parametrize(
    ('own', 'expected'),
    [
        (dict(max_iters=7), dict(BY_ITERATION, max_iters=7)),
        (
            dict(by_epoch=True, max_epochs=3),
            dict(by_epoch=True, max_epochs=3, val_interval=10),
        ),
        (
            dict(type='EpochBasedTrainLoop', max_epochs=3),
            dict(type='EpochBasedTrainLoop', max_epochs=3, val_interval=10),
        ),
        (
            dict(type=EpochBasedTrainLoop, max_epochs=3),
            dict(type=EpochBasedTrainLoop, max_epochs=3, val_interval=10),
        ),
        (
            dict(type='IterBasedTrainLoop'),
            dict(type='IterBasedTrainLoop', max_iters=100, val_interval=10),
        ),
        (
            dict(type='IterBasedTrainLoop', by_epoch=True, max_epochs=3),
            dict(by_epoch=True, max_epochs=3, val_interval=10),
        ),
        (dict(type='MyLoop'), dict(BY_ITERATION, type='MyLoop')),
    ],
)
def test_settle_length__takes_out_what_was_inherited_of_the_other_kind(own, expected):
    cfg = Config(dict(train_cfg={**BY_ITERATION, **own}))
    settle_length(cfg)
    assert dict(cfg.train_cfg) == expected
    assert counts_epochs(cfg.train_cfg) is ('max_epochs' in expected)


@pytest.mark.parametrize(
    ('own', 'message'),
    [
        (dict(max_epochs=3), r'max_epochs=3 is not read .*add train_cfg\.by_epoch=True'),
        (dict(by_epoch=True), r'does not say how many: set train_cfg\.max_epochs'),
        (dict(type='EpochBasedTrainLoop'), r'set train_cfg\.max_epochs'),
    ],
)
def test_settle_length__refuses(own, message):
    with pytest.raises(ConfigError, match=message):
        settle_length(Config(dict(train_cfg={**BY_ITERATION, **own})))


def _following(planned, loop, *schedulers, options=('train_cfg.max_iters',)):
    cfg = Config(dict(train_cfg=loop, param_scheduler=list(schedulers)))
    follow_length(cfg, planned=planned, options=options)
    return [dict(each) for each in cfg.param_scheduler]


WARM_UP = dict(type='LinearLR', by_epoch=False, begin=0, end=5)
POLY = dict(type='PolyLR', by_epoch=False, begin=5, end=100)
LONGER = dict(by_epoch=False, max_iters=300)


def test_follow_length__the_end_that_was_that_of_the_training_follows():
    left = _following(('max_iters', 100), LONGER, WARM_UP, POLY)
    assert left == [WARM_UP, dict(type='PolyLR', by_epoch=False, begin=5)]


@pytest.mark.parametrize(
    ('scheduler', 'expected'),
    [
        (dict(type='CosineAnnealingLR', by_epoch=False, begin=5, T_max=95), {'begin': 5}),
        (dict(type='CosineAnnealingLR', by_epoch=False, T_max=100), {}),
        (dict(type='OneCycleLR', by_epoch=False, total_steps=100, eta_max=1), {'eta_max': 1}),
        # What ended elsewhere, or counts what the training does not, stays.
        (dict(type='PolyLR', by_epoch=False, end=90), {'end': 90}),
        (dict(type='PolyLR', end=100), {'end': 100}),
    ],
)
def test_follow_length__relatives(scheduler, expected):
    (left,) = _following(('max_iters', 100), LONGER, scheduler)
    assert {k: v for k, v in left.items() if k not in ('type', 'by_epoch')} == expected


@pytest.mark.parametrize(
    'option', ['param_scheduler', 'param_scheduler.1', 'param_scheduler.1.end']
)
def test_follow_length__not_where_an_option_says_where_it_ends(option):
    options = ('train_cfg.max_iters', option)
    assert _following(('max_iters', 100), LONGER, POLY, options=options) == [POLY]


def test_follow_length__from_iterations_to_epochs():
    loop = dict(by_epoch=True, max_epochs=3)
    assert length_of(loop) == ('max_epochs', 3)
    (left,) = _following(('max_iters', 100), loop, POLY)
    assert 'end' not in left


def test_load_config__an_option_moves_the_end(write_tiny_config):
    path = write_tiny_config(extra=f'param_scheduler = [{POLY}]\ntrain_cfg = dict(max_iters=100)')
    assert load_config(path).param_scheduler[0].end == 100
    cfg = load_config(path, ['train_cfg.max_iters=12'])
    assert 'end' not in cfg.param_scheduler[0]
    cfg = load_config(path, ['train_cfg.max_iters=12', 'param_scheduler.PolyLR.end=50'])
    assert cfg.param_scheduler[0].end == 50
    cfg = load_config(path, ['train_cfg.by_epoch=True', 'train_cfg.max_epochs=2'])
    assert dict(cfg.train_cfg) == dict(by_epoch=True, max_epochs=2, val_interval=2)


@pytest.mark.parametrize(
    ('scheduler', 'end'),
    [
        (dict(by_epoch=False, begin=5), 100),
        (dict(by_epoch=False, begin=200), 201),
        (dict(begin=1), 3),
        (dict(by_epoch=False, end=50), 50),
    ],
)
def test_with_end__cases(scheduler, end):
    assert with_end(scheduler, iterations=100, epochs=3)['end'] == end


def test_check_schedulers__epochs_in_a_training_that_has_none():
    schedule = [WARM_UP, dict(type='PolyLR', end=100)]
    with pytest.raises(ConfigError, match=r'PolyLR of param_scheduler counts epochs \(by_epoch'):
        check_schedulers(Config(dict(train_cfg=BY_ITERATION, param_scheduler=schedule)))
    by_epoch = dict(by_epoch=True, max_epochs=3)
    check_schedulers(Config(dict(train_cfg=by_epoch, param_scheduler=schedule)))
    fine = [
        WARM_UP,
        dict(type='ReduceOnPlateauLR'),
        dict(type='PolyLR', end=3, convert_to_iter_based=True),
    ]
    check_schedulers(Config(dict(train_cfg=BY_ITERATION, param_scheduler=fine)))
    check_schedulers(Config(dict(train_cfg=BY_ITERATION, param_scheduler=None)))
