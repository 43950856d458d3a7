"""Optimizer and schedule of a resumed run: what differs is named, and taken from where it is wanted."""

from __future__ import annotations

import copy

import pytest

from support.schedules import scheduled_runner, step
from swinseg.checkpoints import CheckpointError
from swinseg.engine import ConfigError
from swinseg.engine.checkpoint.resumed_settings import check_choice, compare_settings

WARM_UP = dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=4)
POLY = dict(type='PolyLR', by_epoch=False, begin=4, end=12)


def saved(runner) -> dict:
    """Return what a checkpoint of a runner holds of its optimizer and schedules."""
    states = [copy.deepcopy(each.state_dict()) for each in runner.param_schedulers]
    return {
        'optimizer': copy.deepcopy(runner.optim_wrapper.state_dict()),
        'param_schedulers': states,
    }


def resume(runner, checkpoint, iteration: int, choice: str | None = None) -> None:
    """Take a checkpoint over as mmengine does."""
    if choice is not None:
        runner.cfg['resume_schedule'] = choice
    with compare_settings(runner, checkpoint, name='iter.pth'):
        runner.optim_wrapper.load_state_dict(copy.deepcopy(checkpoint['optimizer']))
        for each, state in zip(
            runner.param_schedulers, checkpoint['param_schedulers'], strict=False
        ):
            each.load_state_dict(copy.deepcopy(state))
        runner.train_loop.iter = iteration
        runner.train_loop.epoch = iteration // len(runner.train_loop.dataloader)


def trained(*schedule, steps: int = 6, **options):
    runner = scheduled_runner(*schedule, **options)
    step(runner, steps)
    return saved(runner)


OPTIONS = dict(rates=(1.0, 0.5), iterations=12, weight_decay=0.1)


@pytest.mark.parametrize('choice', [None, 'config', 'checkpoint'])
def test_settings__that_are_the_same_stay_as_the_checkpoint_has_them(choice, caplog):
    checkpoint = trained(WARM_UP, POLY, **OPTIONS)
    runner = scheduled_runner(WARM_UP, POLY, **OPTIONS)
    resume(runner, checkpoint, 6, choice)
    assert saved(runner) == checkpoint
    assert not caplog.records


def test_settings__of_the_config_are_taken_and_named(caplog):
    checkpoint = trained(WARM_UP, POLY, **OPTIONS)
    own = dict(rates=(2.0, 1.0), iterations=20, weight_decay=0.3, momentum=0.9)
    schedule = (WARM_UP, dict(POLY, end=20))
    runner = scheduled_runner(*schedule, **own)
    resume(runner, checkpoint, 6)
    for expected in (
        "the config's values are taken (--resume-schedule=config)",
        'lr (2 of 2 groups): 1.0 in the checkpoint, 2.0 in the config',
        'weight_decay (2 of 2 groups): 0.1 in the checkpoint, 0.3 in the config',
        'momentum (2 of 2 groups): 0 in the checkpoint, 0.9 in the config',
        'param_scheduler.1 (PolyLR) end: 12 in the checkpoint, 20 in the config',
    ):
        assert expected in caplog.text
    assert 'total_iters' not in caplog.text
    assert 'param_scheduler.0' not in caplog.text
    # From here on it is the run that has always had these values.
    whole = scheduled_runner(*schedule, **own)
    step(whole, 6)
    assert step(runner, 14) == step(whole, 14)
    assert saved(runner) == saved(whole)


def test_settings__of_the_checkpoint_are_taken_and_named(caplog):
    checkpoint = trained(WARM_UP, POLY, **OPTIONS)
    runner = scheduled_runner(WARM_UP, dict(POLY, power=2.0), **{**OPTIONS, 'weight_decay': 0.3})
    resume(runner, checkpoint, 6, 'checkpoint')
    assert "the checkpoint's values are taken (--resume-schedule=checkpoint)" in caplog.text
    assert 'power: 1.0 in the checkpoint, 2.0 in the config' in caplog.text
    assert saved(runner) == checkpoint


@pytest.mark.parametrize(
    'schedule',
    [
        (),
        (dict(type='CosineAnnealingLR', by_epoch=False, T_max=12),),
        (dict(type='MultiStepLR', milestones=[1, 2]),),
        (WARM_UP, dict(type='ExponentialLR', gamma=0.9)),
    ],
)
def test_settings__of_another_kind_of_schedule(schedule, caplog):
    checkpoint = trained(WARM_UP, POLY, epochs=3)
    runner = scheduled_runner(*schedule, epochs=3)
    resume(runner, checkpoint, 6)
    kinds = ', '.join(each['type'] for each in schedule) or 'none'
    assert f'param_scheduler: others in the checkpoint, {kinds} in the config' in caplog.text
    whole = scheduled_runner(*schedule, epochs=3)
    step(whole, 6)
    assert step(runner, 6) == step(whole, 6)
    other = scheduled_runner(*schedule, epochs=3)
    with pytest.raises(CheckpointError, match='of another kind or number than param_scheduler'):
        resume(other, checkpoint, 6, 'checkpoint')


def test_settings__of_a_schedule_that_goes_by_validations(caplog):
    plateau = dict(type='ReduceOnPlateauLR')
    checkpoint = trained(plateau, iterations=12)
    same = scheduled_runner(plateau, iterations=12)
    resume(same, checkpoint, 6)
    assert not caplog.records
    other = scheduled_runner(plateau, iterations=12, rates=(0.5,))
    with pytest.raises(
        ConfigError, match=r'goes by the figures of validations.*--resume-schedule=ch'
    ):
        resume(other, checkpoint, 6)


def test_settings__of_other_groups_or_another_optimizer():
    checkpoint = trained(POLY, **OPTIONS)
    with pytest.raises(CheckpointError, match=r'has 2 groups of parameters .* the config makes 1'):
        resume(scheduled_runner(POLY, iterations=12), checkpoint, 6)
    for group in checkpoint['optimizer']['param_groups']:
        group['betas'] = (0.9, 0.999)
        del group['momentum']
    expected = r'is of another optimizer .*\(it has no momentum; it has betas\)'
    with pytest.raises(CheckpointError, match=expected):
        resume(scheduled_runner(POLY, **OPTIONS), checkpoint, 6)


def test_check_choice__refuses():
    assert check_choice({}) == 'config'
    with pytest.raises(ConfigError, match='resume_schedule must be config or checkpoint, not yes'):
        check_choice({'resume_schedule': 'yes'})
