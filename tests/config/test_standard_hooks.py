"""The hooks that every run has, whatever its config says of its own ones."""

from __future__ import annotations

from collections import Counter

import pytest
from mmengine.hooks import EMAHook, LoggerHook

from swinseg.config.standard_hooks import (
    TRAINING_HOOKS,
    hooks_in,
    stock_hooks,
    tolerant_hook,
    training_hooks,
)
from swinseg.engine import ConfigError, CurvesHook, load_config
from swinseg.engine.hooks.progress import ProgressHook
from swinseg.engine.run import build_runner

ALL = list(TRAINING_HOOKS.values())


def _types(given, custom=()):
    return [hook['type'] for hook in training_hooks(given, custom=custom)]


class _OwnProgress(ProgressHook):
    """A user's."""


@pytest.mark.parametrize('given', [None, {}])
@pytest.mark.parametrize(
    'custom',
    [
        [],
        [dict(type='EMAHook', momentum=0.01)],
        [dict(type=EMAHook), EMAHook()],
        [dict(type='mmengine.hooks.EMAHook')],
    ],
)
def test_training_hooks__all_stay_beside_others(given, custom):
    assert _types(given, custom) == ALL


@pytest.mark.parametrize(
    ('custom', 'replaced'),
    [
        ([dict(type='CurvesHook')], 'CurvesHook'),
        ([dict(type='mmseg.CurvesHook')], 'CurvesHook'),
        ([dict(type=CurvesHook)], 'CurvesHook'),
        ([CurvesHook()], 'CurvesHook'),
        ([_OwnProgress()], 'ProgressHook'),
        ([dict(type='EMAHook'), dict(type='SamplePredictionsHook', count=9)], 'SamplePredictionsHook'),
    ],
)  # fmt: skip
def test_training_hooks__one_that_a_config_lists_is_not_there_twice(custom, replaced):
    assert _types(None, custom) == [name for name in ALL if name != replaced]


def test_training_hooks__are_changed_left_out_and_added_by_name():
    given = dict(progress=dict(interval=3), curves=None, mine=dict(type='EMAHook'), gone=None)
    found = training_hooks(given, custom=())
    assert dict(type='ProgressHook', interval=3) in found
    assert found[-1] == dict(type='EMAHook')
    assert [hook['type'] for hook in found[:-1]] == [name for name in ALL if name != 'CurvesHook']
    assert given['progress'] == dict(interval=3)


@pytest.mark.parametrize(
    ('given', 'sentence'),
    [
        (['CurvesHook'], r"training_hooks must be a dict such as .*, not \['CurvesHook'\]"),
        (dict(curves=False), r'training_hooks\.curves must be a dict of arguments, or None for no'),
        (dict(mine=dict(interval=3)), r'training_hooks\.mine must be a dict with the type of a hook'),
    ],
)  # fmt: skip
def test_training_hooks__refuses_what_is_none(given, sentence):
    with pytest.raises(ConfigError, match=sentence):
        training_hooks(given, custom=())


def test_training_hooks__compare_with_the_published_figure_where_there_is_no_other_curve():
    final = dict(type='ExpectedCurveHook', final=44.51)
    own = dict(type='ExpectedCurveHook', points=[(2, 9.0)])
    assert training_hooks(None, custom=(), published_miou=44.51)[-1] == final
    assert training_hooks(dict(expected_curve=own), custom=(), published_miou=44.51)[-1] == own
    for given, custom in ((dict(expected_curve=None), ()), (None, [own])):
        assert final not in training_hooks(given, custom=custom, published_miou=44.51)
    assert len(training_hooks(None, custom=())) == len(ALL)


@pytest.mark.parametrize('figure', [0, 101, '44.51', True, [44.51]])
def test_training_hooks__refuses_what_is_no_published_figure(figure):
    with pytest.raises(ConfigError, match='published_miou must be an mIoU in percent, such as'):
        training_hooks(None, custom=(), published_miou=figure)


@pytest.mark.parametrize('kind', ['EMAHook', 'mmengine.hooks.EMAHook', EMAHook])
def test_tolerant_hook__of_mmengines_that_fail_in_an_evaluation(kind):
    assert tolerant_hook(dict(type=kind, momentum=0.1)) == dict(
        type='ResumableEMAHook', momentum=0.1
    )
    stopping = dict(type='EarlyStoppingHook', monitor='loss')
    # mmengine finds out by the name of the figure whether it must rise.
    assert tolerant_hook(stopping) == dict(
        type='ResumableEarlyStoppingHook', monitor='loss', rule=None
    )
    own = EMAHook()
    assert tolerant_hook(own) is own
    assert tolerant_hook(dict(type='LoggerHook')) == dict(type='LoggerHook')


ITERATIONS = dict(type='IterBasedTrainLoop', max_iters=9, val_interval=3)


@pytest.mark.parametrize('given', [None, {}, dict(timer=dict(type='IterTimerHook'))])
@pytest.mark.parametrize(
    'train_cfg', [ITERATIONS, dict(by_epoch=False, max_iters=9, val_interval=3)]
)
def test_stock_hooks__count_iterations_where_the_training_does(given, train_cfg):
    assert stock_hooks(given, train_cfg=train_cfg) == {
        **(given or {}),
        'logger': dict(type='LoggerHook', log_metric_by_epoch=False),
        'checkpoint': dict(type='AtomicCheckpointHook', by_epoch=False, interval=3),
    }


def test_stock_hooks__what_a_config_says_stays():
    given = dict(logger=None, checkpoint=dict(type='CheckpointHook', by_epoch=True, interval=1))
    assert stock_hooks(given, train_cfg=ITERATIONS) == given
    given = dict(checkpoint=dict(type='CheckpointHook', interval=500), logger=LoggerHook())
    checkpoint = stock_hooks(given, train_cfg=ITERATIONS)['checkpoint']
    assert checkpoint == dict(type='CheckpointHook', by_epoch=False, interval=500)


@pytest.mark.parametrize(
    'train_cfg',
    [None, dict(type='EpochBasedTrainLoop', max_epochs=2), dict(by_epoch=True, max_epochs=2)],
)
def test_stock_hooks__of_other_runs_are_those_of_mmengine(train_cfg):
    assert stock_hooks(None, train_cfg=train_cfg) is None


def test_hooks_in__has_the_places_of_all_groups():
    cfg = dict(
        default_hooks=dict(timer=dict(type='A'), logger=None),
        training_hooks=dict(curves=dict()),
        custom_hooks=[dict(type='B'), EMAHook()],
    )
    places = [place for place, _ in hooks_in(cfg)]
    assert places == ['default_hooks.timer', 'training_hooks.curves', 'custom_hooks.0']
    assert list(hooks_in(dict(default_hooks=None, custom_hooks=None))) == []


def test_runner__keeps_them_where_a_config_brings_its_own(write_tiny_config, tmp_path):
    """A child's ``custom_hooks`` and ``default_hooks`` replace what stands in its base, and lose nothing."""
    extra = """
custom_hooks = [dict(type='EMAHook', momentum=0.01), dict(type='FirstBatchHook')]
default_hooks = dict(_delete_=True, checkpoint=dict(type='AtomicCheckpointHook', interval=4))
env_cfg = log_level = randomness = None
training_hooks = dict(_delete_=True, progress=dict(interval=7))
vis_backends = [dict(type='TensorboardVisBackend')]
visualizer = dict(vis_backends=vis_backends)
"""
    cfg = load_config(write_tiny_config(extra=extra), ['training_hooks.sample_predictions=None'])
    cfg.work_dir = str(tmp_path / 'work')
    runner = build_runner(cfg)
    counts = Counter(type(hook).__name__ for hook in runner.hooks)
    for name in (*ALL, 'ResumableEMAHook', 'LoggerHook', 'RuntimeInfoHook', 'AtomicCheckpointHook'):
        assert counts[name] == (name != 'SamplePredictionsHook'), name
    (progress,) = (hook for hook in runner.hooks if isinstance(hook, ProgressHook))
    assert progress.interval == 7
    for name, counts_epochs in (
        ('LoggerHook', 'log_metric_by_epoch'),
        ('AtomicCheckpointHook', 'by_epoch'),
    ):
        (hook,) = (hook for hook in runner.hooks if type(hook).__name__ == name)
        assert getattr(hook, counts_epochs) is False
    # The curves are drawn from what this backend writes.
    assert list(runner.visualizer._vis_backends) == ['LocalVisBackend', 'TensorboardVisBackend']
