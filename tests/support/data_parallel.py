"""What trainings by several processes are compared with: those of one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import distributed

from support import processes
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
env_cfg = dict(cudnn_benchmark=False, tf32=False)
"""


@dataclass(frozen=True)
class Backend:
    """What the processes of a test meet over, and how exact it is.

    Attributes:
        name: ``'gloo'`` on CPUs, or ``'nccl'`` on a GPU each.
    """

    name: str

    def run(
        self, function: Any, *arguments: Any, count: int, folder: Path
    ) -> list[processes.Outcome]:
        """Call a function in processes; see :func:`support.processes.run`."""
        return processes.run(function, *arguments, count=count, folder=folder, backend=self.name)

    def values(self, function: Any, *arguments: Any, count: int, folder: Path) -> list[Any]:
        """Call a function in processes and return what it returns in each."""
        return processes.values(self.run(function, *arguments, count=count, folder=folder))

    def alone(self, function: Any, *arguments: Any, folder: Path) -> Any:
        """Return what a function returns in a process of its own, on the device of the others."""
        (found,) = self.values(function, *arguments, count=1, folder=folder / 'alone')
        return found

    def assert_close(
        self, found: Any, expected: Any, *, rtol: float, atol: float, msg: str | None = None
    ) -> None:
        """Compare what is the same to rounding; a GPU's is coarser, for its kernels choose their order of sums."""
        factor = 1 if self.is_exact else 100
        torch.testing.assert_close(found, expected, rtol=factor * rtol, atol=factor * atol, msg=msg)

    def assert_same(self, found: Any, expected: Any, msg: str | None = None) -> None:
        """Compare what is the same bit by bit where sums have a fixed order."""
        if self.is_exact:
            torch.testing.assert_close(found, expected, rtol=0, atol=0, msg=msg)
        else:
            self.assert_close(found, expected, rtol=1e-5, atol=1e-6, msg=msg)

    @property
    def is_exact(self) -> bool:
        """Whether one computation gives the same bits each time."""
        return self.name == 'gloo'

    @property
    def score_tolerance(self) -> float:
        """Of metrics in percent, by which the label of a pixel may change."""
        return 1e-6 if self.is_exact else 0.5

    def require(self, count: int) -> None:
        """Skip the test where as many processes cannot be."""
        if self.name == 'nccl':
            processes.require_gpus(count)


BACKENDS = pytest.mark.parametrize(
    'backend', [Backend('gloo'), Backend('nccl')], ids=lambda b: b.name
)


def own_device() -> torch.device:
    """Return where this process computes: its GPU where it has joined others over nccl."""
    if distributed.is_initialized() and distributed.get_backend() == 'nccl':
        return torch.device('cuda', torch.cuda.current_device())
    return torch.device('cpu')


def build_model(cfg: Config, seed: int) -> torch.nn.Module:
    """Build a config's network in float64 on this process' device, its weights drawn by ``seed``, to train it."""
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(cfg.model).to(own_device()).double().train()


def draw_batch(count: int = 6) -> dict:
    """Draw images of noise, 48 x 48, with labels of noise, on this process' device."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for _ in range(count):
        labels = torch.randint(0, 10, (1, 48, 48), generator=generator)
        labels[:, :5] = 255
        samples.append(SegDataSample(gt_sem_seg=PixelData(data=labels.to(own_device()))))
    inputs = torch.randn(count, 3, 48, 48, generator=generator, dtype=torch.float64)
    return {'inputs': inputs.to(own_device()), 'data_samples': samples}


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


def train_alone(cfg: Config, folder: Path, resume: Path | None = None) -> float | None:
    """Train as one process and return the best score."""
    return train(cfg, work_dir=folder, resume=resume, seed=5, check=False).best_score
