"""Shared fixtures. swinseg comes first: it repairs the packages that the tests import after it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import swinseg  # noqa: F401

REPOSITORY = Path(__file__).parents[1]
TINY_CONFIG = """
_base_ = [
    '{configs}/_base_/models/upernet_swin.py',
    '{configs}/_base_/datasets/mini.py',
    '{configs}/_base_/schedules/schedule_160k.py',
    '{configs}/_base_/runtime.py',
]
model = dict(
    data_preprocessor=dict(size=(48, 48)),
    backbone=dict(embed_dims=16, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8], window_size=4),
    decode_head=dict(in_channels=[16, 32, 64, 128], channels=16, num_classes=10),
    auxiliary_head=dict(in_channels=64, channels=16, num_classes=10),
)
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadLabel'),
    dict(type='RandomResize', scale=(256, 64), ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(48, 48), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='Resize', scale=(256, 64), keep_ratio=True),
    dict(type='LoadLabel'),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='LoadImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=scale, keep_ratio=True) for scale in ((192, 48), (256, 64))],
            [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)],
            [dict(type='LoadLabel')],
            [dict(type='PackSegInputs')],
        ],
    ),
]
data_root = {root!r}
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False,
    dataset=dict(data_root=data_root, pipeline=train_pipeline, serialize_data=False),
)
val_dataloader = dict(
    num_workers=0, persistent_workers=False,
    dataset=dict(data_root=data_root, pipeline=test_pipeline, serialize_data=False),
)
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=50),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=50, end=900),
]
train_cfg = dict(max_iters=4, val_interval=2)
auto_scale_lr = dict(base_batch_size=2)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=2))
custom_hooks = [
    dict(type='NonFiniteGuardHook'),
    dict(type='ProgressHook', interval=1),
    dict(type='CurvesHook'),
]
"""


@pytest.fixture(scope='session')
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mini set of four training and two validation scenes, 64 pixels high; not to be changed."""
    from swinseg.datasets.synthetic import make_dataset

    root = tmp_path_factory.mktemp('tiny') / 'data'
    make_dataset(root, train=4, val=2, size=64)
    return root


@pytest.fixture
def write_tiny_config(tmp_path: Path, tiny_dataset: Path) -> Callable[..., Path]:
    """Write a config of a network of 0.4 million parameters on ``root`` and return its path.

    ``extra`` is Python that changes it, as a config with it as its base does.
    """

    def write(*, root: Path | None = None, extra: str = '', name: str = 'tiny.py') -> Path:
        path = tmp_path / name
        base = tmp_path / f'base_of_{name}'
        base.write_text(
            TINY_CONFIG.format(configs=REPOSITORY / 'configs', root=str(root or tiny_dataset))
        )
        path.write_text(f"_base_ = './{base.name}'\n{extra}\n")
        return path

    return write


@pytest.fixture(scope='session')
def tiny_run(tmp_path_factory: pytest.TempPathFactory, tiny_dataset: Path) -> Path:
    """The work directory of four iterations on the tiny set, with its config as ``tiny.py``; not to be changed."""
    from swinseg.engine import load_config, train

    work_dir = tmp_path_factory.mktemp('tiny_run')
    config = tmp_path_factory.mktemp('tiny_config') / 'tiny.py'
    config.write_text(TINY_CONFIG.format(configs=REPOSITORY / 'configs', root=str(tiny_dataset)))
    train(load_config(config), work_dir=work_dir, seed=0)
    return work_dir
