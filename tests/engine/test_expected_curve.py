"""When the alarm rings."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from swinseg.engine import ConfigError, ExpectedCurveHook

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
        iter=iteration, is_training_run=is_training, logger=SimpleNamespace(warning=warnings.append)
    )
    ExpectedCurveHook(POINTS).after_val_epoch(runner, {'mIoU': miou, 'aAcc': 90.0})
    assert len(warnings) == rings
    ExpectedCurveHook(POINTS).after_val_epoch(runner, {'aAcc': 90.0})
    assert len(warnings) == rings


@pytest.mark.parametrize('points', [[], [(1, 2, 3)], [(600, 70.0), (200, 40.0)]])
def test_hook__refuses_what_is_no_curve(points):
    with pytest.raises(ConfigError, match='pairs of iteration and mIoU in percent'):
        ExpectedCurveHook(points)
