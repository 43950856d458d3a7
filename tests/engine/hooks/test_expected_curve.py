"""When the alarm rings."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from support.tiny_config import CONFIGS
from swinseg.engine import ConfigError, ExpectedCurveHook, load_config

POINTS = [(200, 40.0), (600, 70.0)]


@pytest.mark.parametrize(
    ('iteration', 'miou', 'is_training', 'rings'),
    [
        (100, 0.0, True, False),  # before the first point
        (200, 19.9, True, True),
        (200, 20.1, True, False),
        (599, 19.9, True, True),
        (600, 34.9, True, True),
        (900, 35.1, True, False),
        (600, 1.0, False, False),  # an evaluation
    ],
)
def test_hook__rings_below_half_of_the_last_point(iteration, miou, is_training, rings):
    warnings = []
    runner = SimpleNamespace(
        iter=iteration,
        _train_loop='a loop' if is_training else None,
        logger=SimpleNamespace(warning=warnings.append),
    )
    ExpectedCurveHook(POINTS).after_val_epoch(runner, {'mIoU': miou, 'aAcc': 90.0})
    assert len(warnings) == rings
    ExpectedCurveHook(POINTS).after_val_epoch(runner, {'aAcc': 90.0})
    assert len(warnings) == rings


@pytest.mark.parametrize('points', [[], [(1, 2, 3)], [(600, 70.0), (200, 40.0)]])
def test_hook__refuses_what_is_no_curve(points):
    with pytest.raises(ConfigError, match='pairs of iteration and mIoU in percent'):
        ExpectedCurveHook(points)


@pytest.mark.parametrize(
    ('iteration', 'miou', 'rings'), [(99, 1.0, False), (100, 21.9, True), (100, 22.1, False)]
)
def test_hook__rings_below_half_of_the_published_end_from_a_tenth_on(iteration, miou, rings):
    warnings = []
    runner = SimpleNamespace(
        iter=iteration,
        max_iters=1000,
        _train_loop='a loop',
        logger=SimpleNamespace(warning=warnings.append),
    )
    ExpectedCurveHook(final=44.0).after_val_epoch(runner, {'mIoU': miou})
    assert len(warnings) == rings
    assert all('the 44 that is published' in warning for warning in warnings)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(), 'points or final, one of the two'),
        (dict(points=POINTS, final=44.0), 'points or final, one of the two'),
        (dict(final=0), 'must be an mIoU in percent, found 0'),
    ],
)
def test_hook__refuses_no_figure_and_two(options, message):
    with pytest.raises(ConfigError, match=message):
        ExpectedCurveHook(**options)


def test_ade20k_configs__know_what_is_published():
    finals = {}
    for path in sorted(CONFIGS.glob('upernet_swin_*_ade20k*.py')):
        finals[path.stem] = published = load_config(path).published_miou
        said = path.read_text().partition('_base_')[0]
        assert published is None or str(published) in said or '_8gb' in path.stem
    assert finals.pop('upernet_swin_l_ade20k') is None
    assert None not in finals.values()
