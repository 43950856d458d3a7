"""Curves of a training, drawn while it goes on."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from support.tiny_config import CURVES
from swinseg.datasets.mini.dataset import CLASSES
from swinseg.engine import load_config, train
from swinseg.engine.hooks import curves
from swinseg.visualization.training.scalars import class_ious_in, read_scalars


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
    monkeypatch.setattr(curves, 'scalar_files', lambda runner: [tmp_path / 'nonsense.json'])
    (tmp_path / 'nonsense.json').write_text('{}')
    cfg = load_config(write_tiny_config(extra=CURVES))
    train(cfg, work_dir=tmp_path / 'work', check=False)
    assert (tmp_path / 'work' / 'iter_4.pth').is_file()
    assert not (tmp_path / 'work' / 'curves.png').exists()
