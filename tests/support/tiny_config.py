"""A config that trains in seconds: a network of 0.4 million parameters on drawn scenes."""

from __future__ import annotations

from pathlib import Path

CONFIGS = Path(__file__).parents[2] / 'configs'

# What makes the backbone one of timm's, of half a million parameters.
TIMM = """
model = dict(
    backbone=dict(_delete_=True, type='TimmBackbone', model_name='test_convnext.r160_in1k'),
    decode_head=dict(in_channels=[24, 32, 48, 64]),
    auxiliary_head=dict(in_channels=48),
)
"""
CURVES = 'training_hooks = dict(curves=dict(_delete_=True))\n'
_TINY_CONFIG = """
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
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=50, end=9000),
]
train_cfg = dict(max_iters=4, val_interval=2)
auto_scale_lr = dict(base_batch_size=2)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=2))
training_hooks = dict(
    first_batch=None, progress=dict(interval=1), {curves}sample_predictions=None,
)
"""


def tiny_config(root: Path | str, *, curves: bool = False) -> str:
    """Return the text of the config, whose data lie under ``root``.

    Unless ``curves`` it draws none, for they take longer than its steps; a config that inherits it and draws adds
    :data:`CURVES`.
    """
    without = '' if curves else 'curves=None, '
    return _TINY_CONFIG.format(configs=CONFIGS, root=str(root), curves=without)
