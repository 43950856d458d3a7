"""What trainings by several processes are compared with: those of one."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from swinseg.engine import train

# Nothing in the network is random, and the size of a step is not that of a rounding error, as AdamW makes it.
DETERMINISTIC = """
model = dict(
    backbone=dict(drop_path_rate=0.0),
    decode_head=dict(dropout_ratio=0.0),
    auxiliary_head=dict(dropout_ratio=0.0),
)
optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=0.02, weight_decay=0.01))
param_scheduler = None
auto_scale_lr = dict(base_batch_size=4)
"""


def build_model(cfg: Config, seed: int) -> torch.nn.Module:
    """Build a config's network in float64, with weights drawn by ``seed``, ready to train."""
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(cfg.model).double().train()


def draw_batch(count: int = 6) -> dict:
    """Draw images of noise, 48 x 48, with labels of noise."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for _ in range(count):
        labels = torch.randint(0, 10, (1, 48, 48), generator=generator)
        labels[:, :5] = 255
        samples.append(SegDataSample(gt_sem_seg=PixelData(data=labels)))
    inputs = torch.randn(count, 3, 48, 48, generator=generator, dtype=torch.float64)
    return {'inputs': inputs, 'data_samples': samples}


def gradients_of(model: torch.nn.Module, batch: dict) -> dict[str, torch.Tensor]:
    """Return the gradients of a batch by the parameters' names, and the statistics of batch norms."""
    losses = model(**batch, mode='loss')
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    bare = getattr(model, 'module', model)
    return {name: p.grad for name, p in bare.named_parameters() if p.grad is not None} | {
        name: buffer for name, buffer in bare.named_buffers() if 'running' in name
    }


def logged(work_dir: Path, name: str = 'loss') -> list[float]:
    """Return the values of a figure that a training has logged."""
    (scalars,) = work_dir.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    return [line[name] for line in lines if name in line]


def train_and_resume(cfg: Config, folder: Path) -> list[tuple]:
    """Train as one of several processes into ``whole``, and again from its second iteration into ``resumed``."""
    options = dict(seed=5, launcher='pytorch', check=False)
    whole = train(cfg, work_dir=folder / 'whole', **options)
    half = folder / 'whole' / 'iter_2.pth'
    resumed = train(cfg, work_dir=folder / 'resumed', resume=half, **options)
    return [(result.iterations, result.best_score) for result in (whole, resumed)]
