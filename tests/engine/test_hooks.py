"""The progress line and the curves."""

from __future__ import annotations

import io

import pytest

from swinseg.engine import load_config, train
from swinseg.engine.hooks import Speed, format_duration
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


def test_curves__are_drawn_and_a_broken_log_does_not_stop_training(
    write_tiny_config, tmp_path, monkeypatch
):
    monkeypatch.setattr(SwinsegRunner, 'scalar_files', lambda self: [tmp_path / 'nonsense.json'])
    (tmp_path / 'nonsense.json').write_text('{}')
    train(load_config(write_tiny_config()), work_dir=tmp_path / 'work', check=False)
    assert (tmp_path / 'work' / 'iter_4.pth').is_file()
    assert not (tmp_path / 'work' / 'curves.png').exists()
