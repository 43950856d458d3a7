"""The first step: it is measured and explained, and leaves the training as it would have been."""

from __future__ import annotations

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from swinseg.checkpoints import read_checkpoint
from swinseg.engine import ConfigError, TrainingError, load_config, train
from swinseg.engine.hooks.first_batch import check_labels

HOOKS = """
training_hooks = dict(
    first_batch=dict(_delete_=True),
    expected_curve=dict(type='ExpectedCurveHook', points=[(2, 100.0)]),
)
train_cfg = dict(max_iters=2)
default_hooks = dict(checkpoint=dict(interval=2))
"""


def _sample(label, path='label.png'):
    sample = SegDataSample(metainfo=dict(seg_map_path=path))
    sample.gt_sem_seg = PixelData(data=torch.tensor(label)[None])
    return sample


def test_hook__says_the_memory_and_changes_nothing(write_tiny_config, tmp_path, capsys):
    cfg = load_config(write_tiny_config(extra=HOOKS))
    train(cfg, work_dir=tmp_path / 'with', seed=0, check=False)
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if line.startswith('memory: ')]
    assert len(lines) == 1
    for part in ('weights 1', 'gradients 1', 'optimizer state 3', 'activations', 'together'):
        assert part in lines[0], lines[0]
    assert 'is far below the 100 that this config has reached by then' in out
    cfg.training_hooks.first_batch = cfg.training_hooks.expected_curve = None
    train(cfg, work_dir=tmp_path / 'without', seed=0, check=False)
    states = [
        read_checkpoint(tmp_path / name / 'iter_2.pth')['state_dict']
        for name in ('with', 'without')
    ]
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key


def test_hook__explains_batch_norm_over_one_image(write_tiny_config, tmp_path):
    options = {'train_dataloader.batch_size': 1, 'effective_batch': 'accumulation'}
    cfg = load_config(write_tiny_config(extra=HOOKS), options)
    with pytest.raises(
        ConfigError, match=r'two images in each forward pass, .* train_dataloader\.batch_size=2,'
    ):
        train(cfg, work_dir=tmp_path, check=False)


def test_check_labels__cases():
    options = dict(num_classes=3, ignore_index=255)
    assert not check_labels([_sample([[255, 255]]), _sample([[0, 2]])], **options)
    assert check_labels([_sample([[255, 255]])], **options)
    assert not check_labels([], **options)
    with pytest.raises(
        TrainingError, match=r'label of b\.png has the value 3 after loading, .* 0 to 2'
    ):
        check_labels([_sample([[0, 1]]), _sample([[0, 3]], 'b.png')], **options)
