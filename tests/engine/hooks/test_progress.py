"""The progress line and the curves."""

from __future__ import annotations

import io

from swinseg.engine import load_config, train
from swinseg.terminal import LiveLine


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def test_progress__into_a_pipe_goes_a_line_every_interval(write_tiny_config, tmp_path, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(LiveLine, '_out', stream)
    cfg = load_config(write_tiny_config())
    cfg.training_hooks.progress.interval = 3
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
    cfg.training_hooks.progress = {}
    train(cfg, work_dir=tmp_path / 'work', check=False)
    text = stream.getvalue()
    assert '\r\x1b[Kiteration 1/4' in text
    live = [part for part in text.split('\r\x1b[K') if part.startswith(('iteration', 'validating'))]
    assert all(len(part.rstrip('\n')) <= 59 for part in live)
    # Only the last iteration leaves its line behind.
    assert [part.split()[1] for part in live if part.endswith('\n')] == ['4/4']
