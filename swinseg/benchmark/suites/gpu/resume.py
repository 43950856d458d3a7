"""A training that is killed and goes on, beside one that nothing disturbs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor

from swinseg.benchmark.parts import Part
from swinseg.benchmark.results import Row, Table
from swinseg.benchmark.suites.gpu.checks import TITLE, check, table_of
from swinseg.benchmark.suites.gpu.options import GpuOptions
from swinseg.checkpoints.reading import read_checkpoint, state_dict_of
from swinseg.config.shipped import shipped_folder
from swinseg.datasets.mini.dataset import make_dataset
from swinseg.engine import load_config, train

CASE = 'kill and resume'
ITERATIONS, SAVED, KILLED = 8, 4, 6
"""Steps in all, the step at which a checkpoint is written, and that after which the process is killed."""

CUDA_BOUND = 0.02
"""Of the distance of both results, as a share of how far the weights go after the checkpoint.

Sums by atomic operations differ by their order, from run to run; an optimizer that began anew would be off by some
tenths. On a processor the results are bit-equal.
"""

_EXPECTED_SECONDS = 30.0
_MOST_SECONDS = 120.0
_TINY: dict[str, Any] = {
    'crop_size': (64, 64),
    'image_scale': (384, 96),
    'model.backbone.embed_dims': 16,
    'model.backbone.depths': [1, 1, 2, 1],
    'model.backbone.num_heads': [1, 2, 4, 8],
    'model.backbone.window_size': 4,
    'model.decode_head.in_channels': [16, 32, 64, 128],
    'model.decode_head.channels': 16,
    'model.auxiliary_head.in_channels': 64,
    'model.auxiliary_head.channels': 16,
    'train_dataloader.batch_size': 2,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'val_dataloader.num_workers': 0,
    'val_dataloader.persistent_workers': False,
    'train_cfg.max_iters': ITERATIONS,
    'train_cfg.val_interval': ITERATIONS,
    'default_hooks.checkpoint.interval': SAVED,
    'training_hooks.curves': None,
    'training_hooks.sample_predictions': None,
    'training_hooks.expected_curve': None,
}


def part(options: GpuOptions) -> Part:
    """Return the check."""
    return Part(TITLE, CASE, _EXPECTED_SECONDS, partial(_measure, options))


def _measure(options: GpuOptions) -> Table:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_dataset(root / 'data', train=8, val=1, size=96)
        work_dirs = root / 'straight', root / 'resumed'
        straight, killed = (
            _start(options.device, root / 'data', work_dir, kill=kill)
            for work_dir, kill in zip(work_dirs, (False, True), strict=True)
        )
        _finish(straight, 0)
        _finish(killed, -_KILL)
        _finish(_start(options.device, root / 'data', work_dirs[1], kill=False), 0)
        start = _weights(work_dirs[0] / f'iter_{SAVED}.pth')
        ends = [_weights(each / f'iter_{ITERATIONS}.pth') for each in work_dirs]
    return table_of(
        rows_of(start, *ends, bound=CUDA_BOUND if options.is_on_gpu else 0.0),
        notes=(
            f'{CASE}: killed after step {KILLED}, resumed from step {SAVED}, compared at step {ITERATIONS}; '
            'distances of all weights, as a share of how far they went since the checkpoint.',
        ),
    )


def rows_of(
    start: dict[str, Tensor],
    straight: dict[str, Tensor],
    resumed: dict[str, Tensor],
    *,
    bound: float,
) -> list[Row]:
    """Return what is checked of the weights at the checkpoint and of both results.

    Args:
        start: by name.
        straight: of the training that was not disturbed.
        resumed: of the other one.
        bound: of the distance.
    """
    moved = _distance(start, straight)
    return [check(CASE, 'distance of the weights', _distance(straight, resumed) / moved, bound)]


def _distance(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    squares = [
        (value.double() - second[name].double()).square().sum() for name, value in first.items()
    ]
    return float(torch.stack(squares).sum().sqrt())


def _weights(path: Path) -> dict[str, Tensor]:
    return dict(state_dict_of(read_checkpoint(path)))


# Windows has only the ends that TerminateProcess makes.
_KILL = int(getattr(signal, 'SIGKILL', signal.SIGTERM))


class _KillHook(Hook):
    priority = 'LOWEST'

    def after_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        """End the process as a power failure would."""
        if runner.iter + 1 == KILLED:
            os.kill(os.getpid(), _KILL)


def _start(device: str, data_root: Path, work_dir: Path, *, kill: bool) -> BaseProcess:
    # A process that has used a GPU must not be forked.
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context('forkserver' if 'forkserver' in methods else 'spawn')
    if 'forkserver' in methods:
        context.set_forkserver_preload([__name__])  # its import takes longer than the training
    process: BaseProcess = context.Process(
        target=_train, args=(device, data_root, work_dir, kill), daemon=True
    )
    process.start()
    return process


def _train(device: str, data_root: Path, work_dir: Path, kill: bool) -> None:
    _show_only(device)
    torch.set_num_threads(1)
    output = os.open(os.devnull, os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    cfg = load_config(
        shipped_folder() / 'upernet_swin_t_mini.py', {**_TINY, 'data_root': str(data_root)}
    )
    if kill:
        cfg.custom_hooks = [*cfg.get('custom_hooks', ()), dict(type=_KillHook)]
    train(cfg, work_dir=work_dir, resume='auto', seed=0, check=False)


def _show_only(device: str) -> None:
    """Leave this process the one device, of which mmengine takes the first; PyTorch must not have looked yet."""
    where = torch.device(device)
    shown = os.environ.get('CUDA_VISIBLE_DEVICES')
    if where.type != 'cuda':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
    elif where.index is not None:
        os.environ['CUDA_VISIBLE_DEVICES'] = (
            shown.split(',')[where.index] if shown else str(where.index)
        )


def _finish(process: BaseProcess, expected: int) -> None:
    process.join(_MOST_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        raise TimeoutError(
            f'a training of {ITERATIONS} steps was not over in {_MOST_SECONDS:.0f} s'
        )
    if process.exitcode != expected:
        raise RuntimeError(
            f'a training of {ITERATIONS} steps ended with exit code {process.exitcode}, expected {expected}'
        )
