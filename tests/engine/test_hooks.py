"""The progress line, the guard against nan, and the order in which checkpoints come and go."""

from __future__ import annotations

import io

import mmengine
import pytest
import torch
from mmengine.hooks import CheckpointHook

from swinseg.engine import TrainingError, load_config, train
from swinseg.engine.hooks import SafeCheckpointHook, Speed, format_duration
from swinseg.engine.safe_runner import SwinsegRunner
from swinseg.engine.terminal import LiveLine


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.mark.parametrize(
    ('seconds', 'expected'),
    [(0, '0:00:00'), (59.6, '0:01:00'), (3725.2, '1:02:05'), (360000, '100:00:00')],
)
def test_format_duration__cases(seconds, expected):
    assert format_duration(seconds) == expected


def test_speed__is_the_mean_of_the_window_without_pauses():
    clock = Clock()
    speed = Speed(window=2, clock=clock)
    assert speed.images_per_second == 0
    for seconds in (100, 1, 3):
        clock.now += seconds
        speed.step(8)
    assert speed.seconds_per_step == 2
    assert speed.images_per_second == 4
    clock.now += 1000
    speed.restart()
    clock.now += 1
    speed.step(8)
    assert speed.seconds_per_step == 2


def test_progress__into_a_pipe_goes_a_line_every_interval(write_tiny_config, tmp_path, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(LiveLine, '_out', stream)
    cfg = load_config(write_tiny_config())
    cfg.custom_hooks = [dict(type='ProgressHook', interval=3)]
    train(cfg, work_dir=tmp_path / 'work', check=False)
    lines = stream.getvalue().splitlines()
    steps = [line.split()[1] for line in lines if line.startswith('iteration ')]
    assert steps == ['3/4', '4/4']
    assert all(part in lines[-3] for part in ('loss', 'lr', 'images/s', 'left 0:00:00')), lines
    assert sum(line.startswith('validation at iteration') and 'mIoU' in line for line in lines) == 2
    assert '\x1b' not in stream.getvalue()


def test_progress__on_a_terminal_one_line_is_rewritten(write_tiny_config, tmp_path, monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(LiveLine, '_out', stream)
    monkeypatch.setenv('COLUMNS', '60')
    cfg = load_config(write_tiny_config())
    cfg.custom_hooks = [dict(type='ProgressHook')]
    train(cfg, work_dir=tmp_path / 'work', check=False)
    text = stream.getvalue()
    assert '\r\x1b[Kiteration 1/4' in text
    live = [part for part in text.split('\r\x1b[K') if part.startswith(('iteration', 'validating'))]
    assert all(len(part.rstrip('\n')) <= 59 for part in live)
    # Only the last iteration leaves its line behind.
    assert [part.split()[1] for part in live if part.endswith('\n')] == ['4/4']


def test_non_finite_guard__stops_before_the_step_and_names_the_images(write_tiny_config, tmp_path):
    cfg = load_config(
        write_tiny_config(),
        {'optim_wrapper.optimizer.lr': 1e30, 'param_scheduler': None, 'train_cfg.max_iters': 20},
    )
    with pytest.raises(TrainingError) as caught:
        train(cfg, work_dir=tmp_path, check=False)
    message = str(caught.value)
    assert '\n' not in message
    for part in (
        'the loss became',
        'at iteration',
        'learning rate 1.00e+30',
        '.jpg',
        'optimizer.lr',
    ):
        assert part in message
    # No checkpoint was written with what that step would have left.
    assert not list(tmp_path.glob('iter_1[0-9].pth'))


def test_non_finite_guard__leaves_a_sound_run_alone(tiny_run):
    assert (tiny_run / 'iter_4.pth').is_file()


class KilledError(Exception):
    """Stands for the kill of the process."""


@pytest.mark.parametrize(
    ('hook', 'survives'), [('SafeCheckpointHook', True), ('CheckpointHook', False)]
)
def test_safe_checkpoint__a_kill_while_saving_leaves_the_old_checkpoint(
    write_tiny_config, tmp_path, monkeypatch, hook, survives
):
    cfg = load_config(
        write_tiny_config(),
        {'default_hooks.checkpoint.max_keep_ckpts': 1, 'default_hooks.checkpoint.save_best': None},
    )
    cfg.default_hooks.checkpoint.type = hook
    save = mmengine.runner.runner.save_checkpoint
    saved = []

    def dies_the_second_time(checkpoint, filename, **kwargs):
        saved.append(filename)
        if len(saved) == 2:
            with open(filename, 'wb') as file:
                file.write(b'half a check')
            raise KilledError
        save(checkpoint, filename, **kwargs)

    monkeypatch.setattr(mmengine.runner.runner, 'save_checkpoint', dies_the_second_time)
    with pytest.raises(KilledError):
        train(cfg, work_dir=tmp_path, check=False)
    assert (tmp_path / 'iter_2.pth').is_file() is survives
    assert not (tmp_path / 'iter_4.pth').exists()


def test_safe_checkpoint__keeps_as_many_as_it_should(write_tiny_config, tmp_path):
    cfg = load_config(
        write_tiny_config(),
        {'default_hooks.checkpoint.max_keep_ckpts': 2, 'default_hooks.checkpoint.interval': 1},
    )
    result = train(cfg, work_dir=tmp_path, check=False)
    assert sorted(path.name for path in tmp_path.glob('iter_*.pth')) == ['iter_3.pth', 'iter_4.pth']
    assert list(tmp_path.glob('best_*.pth')) == [result.best]
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_4.pth')


def test_safe_checkpoint__a_run_resumed_elsewhere_leaves_the_first_folder_alone(
    write_tiny_config, tmp_path
):
    first = train(load_config(write_tiny_config()), work_dir=tmp_path / 'first', check=False)
    cfg = load_config(write_tiny_config(), {'train_cfg.max_iters': 6})
    cfg.optim_wrapper.optimizer.lr = 0.1
    before = sorted(path.name for path in (tmp_path / 'first').iterdir())
    message = torch.load(first.last, weights_only=True)
    message['message_hub']['runtime_info']['best_score'] = -1.0  # whatever comes is better
    torch.save(message, first.last)
    second = train(cfg, work_dir=tmp_path / 'second', resume=first.last, check=False)
    assert second.best.parent == tmp_path / 'second'
    assert sorted(path.name for path in (tmp_path / 'first').iterdir()) == before


def test_safe_checkpoint__takes_the_arguments_of_mmengine():
    assert issubclass(SafeCheckpointHook, CheckpointHook)
    assert '__init__' not in vars(SafeCheckpointHook)


def test_curves__are_drawn_and_a_broken_log_does_not_stop_training(
    write_tiny_config, tmp_path, monkeypatch
):
    monkeypatch.setattr(SwinsegRunner, 'scalar_files', lambda self: [tmp_path / 'nonsense.json'])
    (tmp_path / 'nonsense.json').write_text('{}')
    train(load_config(write_tiny_config()), work_dir=tmp_path / 'work', check=False)
    assert (tmp_path / 'work' / 'iter_4.pth').is_file()
    assert not (tmp_path / 'work' / 'curves.png').exists()
