"""Multipliers of the optimizer's values that have nothing to multiply."""

import pytest
from mmengine.config import Config

from swinseg.engine import ConfigError
from swinseg.engine.optim.parts import check_multipliers

NORM = dict(custom_keys={'norm': dict(decay_mult=0.0)})


def _config(rules, **optimizer):
    return Config(
        dict(optim_wrapper=dict(optimizer=dict(type='SGD', **optimizer), paramwise_cfg=rules))
    )


@pytest.mark.parametrize(
    ('rules', 'optimizer', 'message'),
    [
        (
            NORM,
            dict(lr=0.1),
            r'custom_keys\.norm multiplies the weight_decay .*set optim_wrapper\.optimizer\.we',
        ),
        (dict(norm_decay_mult=0.0), dict(lr=0.1), r'norm_decay_mult multiplies the weight_decay'),
        (dict(flat_decay_mult=0.0), dict(lr=0.1), r'flat_decay_mult multiplies the weight_decay'),
        (
            NORM,
            dict(weight_decay=0.1),
            r'custom_keys\.norm multiplies the lr .*optimizer\.lr \(0\.01\)',
        ),
    ],
)
def test_check_multipliers__refuses(rules, optimizer, message):
    with pytest.raises(ConfigError, match=message):
        check_multipliers(_config(rules, **optimizer))


@pytest.mark.parametrize(
    ('rules', 'optimizer'),
    [
        (NORM, dict(lr=0.1, weight_decay=0.0)),
        (dict(custom_keys={'head': dict(lr_mult=10.0)}), dict(lr=0.1)),
        (None, dict(lr=0.1)),
        (dict(decay_rate=0.9), dict(lr=0.1)),
    ],
)
def test_check_multipliers__accepts(rules, optimizer):
    check_multipliers(_config(rules, **optimizer))
