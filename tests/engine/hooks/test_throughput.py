"""Images per second and memory of the training steps."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub

from swinseg.engine.hooks.throughput import ThroughputHook, ThroughputMeter, images_in
from swinseg.visualization.training.scalars import read_scalars


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_speed__is_the_mean_of_the_window_without_pauses():
    clock = Clock()
    speed = ThroughputMeter(window=2, clock=clock)
    assert speed.images_per_second == 0
    for seconds in (100, 1, 3):
        clock.now += seconds
        speed.step(8)
    assert speed.images_per_second == 4
    clock.now += 1000
    speed.restart()
    clock.now += 3
    speed.step(8)
    assert speed.images_per_second == pytest.approx(16 / 6)


@pytest.mark.parametrize(
    ('batch', 'expected'),
    [({'inputs': torch.zeros(3, 1)}, 3), ({'inputs': [0, 1]}, 2), ({}, 0), (None, 0)],
)
def test_images_in__cases(batch, expected):
    assert images_in(batch) == expected


@pytest.mark.parametrize('pause', ['validation', 'checkpoint', None])
def test_step_figures__leave_out_validations_and_checkpoints(pause):
    clock, hook = Clock(), ThroughputHook()
    hook._speed = ThroughputMeter(clock=clock)
    runner = SimpleNamespace(
        train_loop=None, message_hub=MessageHub.get_instance(f'step figures {pause}')
    )
    clock.now += 50  # the first images of a resumed run are looked for
    for _ in range(2):
        hook.before_train_iter(runner, 0)
        clock.now += 2
        hook.after_train_iter(runner, 0, data_batch={'inputs': [None] * 6})
        if pause == 'validation':
            hook.before_val(runner)
        elif pause == 'checkpoint':
            hook.before_save_checkpoint(runner, {})
        clock.now += 10
    found = runner.message_hub.get_scalar('train/images_per_second').current()
    assert found == pytest.approx(3 if pause else 12 / 14)


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='only Linux tells the memory')
def test_step_figures__are_in_the_log_of_a_training(tiny_run):
    (log,) = tiny_run.glob('*/vis_data/scalars.json')
    series = read_scalars([log])
    assert list(series['images_per_second']) == list(series['memory']) == [1, 2, 3, 4]
    assert all(value > 0 for value in series['images_per_second'].values())
    assert all(50 < value < 100_000 for value in series['memory'].values()), 'MiB of a process'
