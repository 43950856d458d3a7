"""A segmentor of a second's size, saved as mmengine's Runner saves one, with images to run it
on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from PIL import Image
from torch import nn

from support.mmseg_pairs import TINY, randomize

CLASSES = ('sky', 'tree', 'road', 'car')
PALETTE = [[70, 130, 180], [0, 120, 0], [120, 120, 120], [200, 0, 0]]


def config(data_root: Path, *, stock: bool = False, **test_cfg) -> Config:
    """Return a config for tools/test.py: the model, a test set of three images, scales and
    flips.
    """
    norm_cfg = dict(type='BN')
    load = [dict(type='LoadImage'), dict(type='Resize', scale=(256, 64), keep_ratio=True)]
    model = dict(
        type='EncoderDecoder' if stock else 'SwinSegmentor',
        data_preprocessor=dict(
            type='SegDataPreProcessor', mean=[120.0, 110, 100], std=[60.0, 55, 50], bgr_to_rgb=True
        ),
        backbone=dict(type='SwinTransformer' if stock else 'SwinBackbone', **TINY),
        decode_head=dict(
            type='UPerHead' if stock else 'UPerNetHead',
            in_channels=[16, 32, 64, 128],
            in_index=[0, 1, 2, 3],
            pool_scales=(1, 2, 3, 6),
            channels=16,
            num_classes=len(CLASSES),
            norm_cfg=norm_cfg,
            align_corners=False,
        ),
        test_cfg=test_cfg or dict(mode='whole'),
    )
    dataset = dict(
        type='FolderDataset',
        data_root=str(data_root),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        classes=list(CLASSES),
        palette=PALETTE,
        pipeline=[*load, dict(type='LoadLabel'), dict(type='PackSegInputs')],
        test_mode=True,
    )
    augmentations = [
        [dict(type='Resize', scale_factor=ratio, keep_ratio=True) for ratio in (0.75, 1.25)],
        [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)],
        [dict(type='LoadLabel')],
        [dict(type='PackSegInputs')],
    ]
    return Config(
        dict(
            default_scope='mmseg',
            model=model,
            test_dataloader=dict(
                batch_size=1, num_workers=0, dataset=dataset,
                sampler=dict(type='DefaultSampler', shuffle=False),
            ),
            test_cfg=dict(type='TestLoop'),
            test_evaluator=dict(type='MeanIoUMetric'),
            tta_pipeline=[
                dict(type='LoadImage'), dict(type='TestTimeAug', transforms=augmentations),
            ],
            tta_model=dict(type='SegTTAModel'),
        )
    )  # fmt: skip


def build(cfg: Config) -> nn.Module:
    """Build the config's model with random weights that make several classes win."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = randomize(MODELS.build(cfg.model), seed=1)
    # Zero bias: the scores of all classes have the same size, so no class wins everywhere.
    torch.nn.init.zeros_(model.decode_head.conv_seg.bias)
    return model


def save(path: Path, cfg: Config, *, with_config: bool = True, with_classes: bool = True) -> Path:
    """Save the model of :func:`build` with its meta and return the path."""
    model = build(cfg)
    meta: dict = {'epoch': 0, 'iter': 900}
    if with_config:
        meta['cfg'] = cfg.pretty_text
    if with_classes:
        meta['dataset_meta'] = {'classes': CLASSES, 'palette': PALETTE}
    torch.save({'meta': meta, 'state_dict': model.state_dict()}, path)
    return path


def make_images(root: Path, sizes=((50, 70), (97, 61), (64, 64))) -> list[Path]:
    """Write images of colored noise (height, width) and labels of their sizes under ``root``."""
    rng = np.random.default_rng(3)
    paths = []
    for folder in ('images', 'labels'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number, (height, width) in enumerate(sizes):
        coarse = rng.integers(0, 256, (height // 12 + 1, width // 12 + 1, 3))
        pixels = np.kron(coarse, np.ones((12, 12, 1)))[:height, :width].astype(np.uint8)
        path = root / 'images' / f'{number}.png'
        Image.fromarray(pixels).save(path)
        labels = rng.integers(0, len(CLASSES), (height, width), dtype=np.uint8)
        Image.fromarray(labels).save(root / 'labels' / f'{number}.png')
        paths.append(path)
    return paths


def make_folder(root: Path) -> Path:
    """Write those images and ``tiny.pth``, a checkpoint for them, and return the folder."""
    make_images(root)
    save(root / 'tiny.pth', config(root))
    return root
