"""Our hooks, metric and segmentor under mmengine's own ``Runner``, as mmseg's scripts use it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

from swinseg.engine import evaluate, load_config
from swinseg.visualization.training.scalars import read_scalars

ALL_HOOKS = """
custom_hooks = [
    dict(type='NonFiniteGuardHook'),
    dict(type='FirstBatchHook'),
    dict(type='ProgressHook', interval=1),
    dict(type='CurvesHook'),
    dict(type='SamplePredictionsHook', count=1),
    dict(type='ResumableEMAHook'),
    dict(type='ResumableEarlyStoppingHook', patience=9),
    dict(type='ExpectedCurveHook', final=40.0),
]
train_cfg = dict(max_iters=2)
"""


def _as_in_a_fresh_process(config: Path, work_dir: Path) -> Config:
    """Read a config as mmengine does, with names that keep the logs and pictures of two runs apart."""
    cfg = Config.fromfile(config)
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = cfg.visualizer.name = work_dir.name
    return cfg


def test_runner__trains_and_validates_with_all_hooks(write_tiny_config, tmp_path):
    cfg = _as_in_a_fresh_process(write_tiny_config(extra=ALL_HOOKS), tmp_path / 'trained')
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 2
    assert {'iter_2.pth', 'best_mIoU_iter_2.pth', 'curves.png', 'class_iou.png'} <= {
        path.name for path in (tmp_path / 'trained').iterdir()
    }
    (scalars,) = (tmp_path / 'trained').glob('*/vis_data/scalars.json')
    assert 'mIoU' in read_scalars([scalars])
    assert list((tmp_path / 'trained').glob('*/vis_data/vis_image/samples_*.png'))


def _evaluated(cfg: Config, checkpoint: Path) -> dict[str, float]:
    cfg.load_from = str(checkpoint)
    return Runner.from_cfg(cfg).test()


def test_runner__tests_as_mmsegs_script(write_tiny_config, tmp_path, tiny_run):
    """``--out`` of mmseg's ``tools/test.py`` gives the evaluator two arguments, ``--tta`` wraps the model."""
    config, checkpoint = write_tiny_config(), tiny_run / 'iter_4.pth'
    expected = evaluate(load_config(config), checkpoint, work_dir=tmp_path / 'ours')
    cfg = _as_in_a_fresh_process(config, tmp_path / 'out')
    cfg.test_evaluator['output_dir'] = str(tmp_path / 'labels')
    cfg.test_evaluator['keep_results'] = True
    assert _evaluated(cfg, checkpoint) == pytest.approx(expected, abs=0.02)
    written = sorted((tmp_path / 'labels').glob('*.png'))
    assert len(written) == 2
    # Raw values of the set: 0 is unlabeled.
    assert np.array(Image.open(written[0])).min() >= 1

    expected = evaluate(load_config(config), checkpoint, tta=True, work_dir=tmp_path / 'ours')
    cfg = _as_in_a_fresh_process(config, tmp_path / 'tta')
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.tta_model.module = cfg.model
    cfg.model = cfg.tta_model
    assert _evaluated(cfg, checkpoint) == pytest.approx(expected, abs=0.1)
