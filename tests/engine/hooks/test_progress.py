"""The progress line and the curves."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from support.tiny_config import CURVES
from swinseg.datasets.mini.dataset import CLASSES
from swinseg.engine import load_config, train
from swinseg.engine.hooks import progress as hooks
from swinseg.terminal import LiveLine, format_duration
from swinseg.visualization.training.scalars import class_ious_in, read_scalars


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


@pytest.mark.parametrize(
    ('seconds', 'expected'),
    [(0, '0:00:00'), (59.6, '0:01:00'), (3725.2, '1:02:05'), (360000, '100:00:00')],
)
def test_format_duration__cases(seconds, expected):
    assert format_duration(seconds) == expected


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


def test_curves__have_the_iou_of_each_class(tiny_run):
    (log,) = tiny_run.glob('*/vis_data/scalars.json')
    series = read_scalars([log])
    ious = class_ious_in(series)
    assert set(ious) <= set(CLASSES)
    assert {step for of_class in ious.values() for step in of_class} == {2, 4}
    for step, miou in series['mIoU'].items():
        present = [of_class[step] for of_class in ious.values() if step in of_class]
        assert np.mean(present) == pytest.approx(miou, abs=0.011)  # both are rounded
    assert Image.open(tiny_run / 'curves.png').width == 960
    assert Image.open(tiny_run / 'class_iou.png').width == 960


def test_curves__are_figures_of_tensorboard(tiny_run):
    (folder,) = tiny_run.glob('*/vis_data')
    events = EventAccumulator(str(folder)).Reload()
    assert [event.step for event in events.Scalars('mIoU')] == [2, 4]
    names = set(class_ious_in(read_scalars([folder / 'scalars.json'])))
    assert names
    tags = {f'IoU/{name}' for name in names} | {'images_per_second'}
    assert tags <= set(events.Tags()['scalars'])


def test_curves__a_broken_log_does_not_stop_training(write_tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(hooks, 'scalar_files', lambda runner: [tmp_path / 'nonsense.json'])
    (tmp_path / 'nonsense.json').write_text('{}')
    cfg = load_config(write_tiny_config(extra=CURVES))
    train(cfg, work_dir=tmp_path / 'work', check=False)
    assert (tmp_path / 'work' / 'iter_4.pth').is_file()
    assert not (tmp_path / 'work' / 'curves.png').exists()
