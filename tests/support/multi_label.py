"""Drawn images of three classes that overlap, each of which brightens a channel, and a config for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from support.tiny_config import tiny_config

CLASSES = ('road', 'marking', 'shadow')
PALETTE = [[0, 114, 178], [240, 228, 66], [204, 121, 167]]

_EXTRA = """
classes, palette = {classes!r}, {palette!r}
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadLabel'),
    dict(type='RandomResizeCrop', scale=(96, 64), ratio_range=(0.75, 1.5), keep_ratio=True,
         crop_size=(48, 48), cat_max_ratio=0.95),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackPlanes'),
]
test_pipeline = [*_base_.test_pipeline[:-1], dict(type='PackPlanes')]
tta_pipeline = [
    _base_.tta_pipeline[0],
    dict(
        type='TestTimeAug',
        transforms=[*_base_.tta_pipeline[1].transforms[:-1], [dict(type='PackPlanes')]],
    ),
]
dataset = dict(
    _delete_=True, type='FolderDataset', data_root={root!r}, classes=classes, palette=palette,
    data_prefix=dict(img_path='images', seg_map_path='masks'), multi_label='bits',
)
train_dataloader = dict(batch_size=4, dataset=dict(dataset, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(dataset, pipeline=test_pipeline, test_mode=True))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='MultiLabelMetric', choose_thresholds=True)
test_evaluator = dict(_delete_=True, type='MultiLabelMetric')
loss_decode = [dict(type='SigmoidCrossEntropyLoss'), dict(type='SigmoidDiceLoss')]
model = dict(
    multi_label=True,
    decode_head=dict(num_classes=3, loss_decode=loss_decode),
    auxiliary_head=dict(
        num_classes=3, loss_decode=dict(_delete_=True, type='SigmoidFocalLoss', loss_weight=0.4)
    ),
)
param_scheduler = []
optim_wrapper = dict(optimizer=dict(lr=3e-3))
train_cfg = dict(max_iters={iterations}, val_interval={iterations})
default_hooks = dict(checkpoint=dict(interval={iterations}))
{extra}
"""


def draw(root: Path, *, count: int = 6, size: tuple[int, int] = (64, 96)) -> Path:
    """Write images and bit masks, in which each class has a rectangle in each image, under ``root``."""
    rng = np.random.default_rng(0)
    for folder in ('images', 'masks'):
        (root / folder).mkdir(parents=True)
    height, width = size
    for index in range(count):
        bits = np.zeros(size, np.uint8)
        for bit in range(3):
            top, left = rng.integers(0, height // 2), rng.integers(0, width // 2)
            bits[top : top + height // 2, left : left + width // 2] |= np.uint8(1 << bit)
        image = np.stack([40 + 160 * (bits >> bit & 1) for bit in range(3)], axis=2)
        image = image + rng.integers(0, 30, image.shape)
        Image.fromarray(image.astype(np.uint8)).save(root / 'images' / f'{index}.png')
        Image.fromarray(bits).save(root / 'masks' / f'{index}.png')
    return root


def write_config(path: Path, root: Path, *, iterations: int = 60, extra: str = '') -> Path:
    """Write a config of a tiny network on what :func:`draw` has drawn."""
    base = path.with_name(f'base_of_{path.name}')
    base.write_text(tiny_config(root))
    text = _EXTRA.format(
        classes=list(CLASSES), palette=PALETTE, root=str(root), iterations=iterations, extra=extra
    )
    path.write_text(f"_base_ = './{base.name}'\n{text}")
    return path
