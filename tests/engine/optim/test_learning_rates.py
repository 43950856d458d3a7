"""The learning rates to come: those that a training has, and trainings that have none."""

from __future__ import annotations

import pytest

from support.schedules import scheduled_runner, step
from swinseg.engine import ConfigError
from swinseg.engine.optim.learning_rates import Rates, check_rates, describe_schedule, rates_to_come

WARM_UP = dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=4)


def poly(end: int, *, begin: int = 0, by_epoch: bool = False, **options) -> dict:
    return dict(type='PolyLR', by_epoch=by_epoch, begin=begin, end=end, **options)


@pytest.mark.parametrize(
    ('schedule', 'length'),
    [
        ((), dict(iterations=10)),
        ((WARM_UP, poly(10, begin=4)), dict(iterations=10)),
        ((poly(6),), dict(iterations=10)),
        ((dict(type='CosineAnnealingLR', by_epoch=False, T_max=5),), dict(iterations=9)),
        ((dict(type='MultiStepLR', milestones=[1, 2]),), dict(epochs=3)),
        ((WARM_UP, poly(3, by_epoch=True, eta_min=0.1)), dict(epochs=3)),
        ((poly(3, by_epoch=True, convert_to_iter_based=True),), dict(epochs=3)),
    ],
)
@pytest.mark.parametrize('before', [0, 5])
def test_rates_to_come__are_those_of_the_training(schedule, length, before):
    runner = scheduled_runner(*schedule, rates=(0.5, 1.0, 0.2), **length)
    step(runner, before)
    if hasattr(runner.train_loop, 'iterations_of_epoch'):
        runner.train_loop.iterations_of_epoch = before % len(runner.train_loop.dataloader)
    state = [dict(vars(each)) for each in runner.param_schedulers]
    found = rates_to_come(runner)
    assert state == [dict(vars(each)) for each in runner.param_schedulers]
    rates = step(runner, runner.train_loop.max_iters - before)
    assert found == Rates(
        begin=before,
        first=pytest.approx(rates[0]),
        highest=pytest.approx(max(rates)),
        highest_at=before + 1 + rates.index(max(rates)),
        last=pytest.approx(rates[-1]),
        zero_at=next((n for n, rate in enumerate(rates, before + 1) if rate == 0 and n > 1), None),
    )


def test_rates_to_come__of_a_training_that_has_ended():
    runner = scheduled_runner(poly(4), iterations=4)
    step(runner, 4)
    assert rates_to_come(runner) is None
    check_rates(runner, None)


@pytest.mark.parametrize(
    ('runner', 'message'),
    [
        (
            lambda: scheduled_runner(poly(6), iterations=12),
            r'^iterations 6 to 12 would train with a learning rate of 0, because of PolyLR, which ends at '
            r'iteration 6: .*\(train_cfg\.max_iters=12\), by leaving its end out',
        ),
        (
            lambda: scheduled_runner(poly(2, by_epoch=True), epochs=3),
            r'^iterations 5 to 12 .* PolyLR, which ends at epoch 2: .*max_epochs=3',
        ),
        (lambda: scheduled_runner(rates=(0.0, 0.0), iterations=3), r'set optim_wrapper\.optimizer\.lr above 0'),
        (
            lambda: scheduled_runner(dict(type='ConstantLR', factor=0.0, by_epoch=False, end=90), iterations=9),
            r'^iterations 2 to 9 .*because of param_scheduler',
        ),
    ],
)  # fmt: skip
def test_check_rates__refuses(runner, message):
    built = runner()
    with pytest.raises(ConfigError, match=message):
        check_rates(built, rates_to_come(built))


def test_check_rates__names_the_way_out_of_a_checkpoints_schedule():
    runner = scheduled_runner(poly(6), iterations=12)
    runner.cfg = {'resume_schedule': 'checkpoint'}
    with pytest.raises(ConfigError, match='with --resume-schedule=config, which takes'):
        check_rates(runner, rates_to_come(runner))


@pytest.mark.parametrize(
    'runner',
    [
        # At the last step of a polynomial schedule, in the first of a warm-up, and for some groups only.
        lambda: scheduled_runner(poly(6), iterations=6),
        lambda: scheduled_runner(dict(WARM_UP, start_factor=1e-300), iterations=6),
        lambda: scheduled_runner(rates=(0.0, 0.1), iterations=6),
        lambda: scheduled_runner(rates=(0.0,), iterations=1),
        lambda: scheduled_runner(dict(type='ReduceOnPlateauLR'), iterations=6),
    ],
)
def test_check_rates__accepts(runner, caplog):
    built = runner()
    check_rates(built, rates_to_come(built))
    assert not caplog.records


def test_check_rates__warns_of_a_last_epoch_at_zero(caplog):
    runner = scheduled_runner(poly(3, by_epoch=True), epochs=3)
    check_rates(runner, rates_to_come(runner))
    assert 'the last epoch trains with a learning rate of 0' in caplog.text


def test_describe_schedule__names_ends_and_rates():
    runner = scheduled_runner(
        WARM_UP, poly(10, begin=4), poly(30, begin=20), poly(90), iterations=10
    )
    text = describe_schedule(runner, rates_to_come(runner))
    assert text.startswith(
        'schedule: LinearLR from iteration 0 to 4; PolyLR from iteration 4 to the end; PolyLR from iteration 20 '
        'on, which is not reached; PolyLR from iteration 0 to 90, beyond the end of the training; learning rate '
    )
    constant = scheduled_runner(iterations=10)
    assert describe_schedule(constant, rates_to_come(constant)) == (
        'schedule: constant; learning rate 1.00e+00 at iteration 1, highest 1.00e+00 at 1, 1.00e+00 at 10'
    )
