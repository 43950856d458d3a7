"""A training that is killed and goes on, beside one that nothing disturbs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from swinseg.benchmark.killable_training import EXIT_CODE_OF_KILLED, KILLED, SAVED, STEPS
from swinseg.benchmark.parts import Part
from swinseg.benchmark.results import Row, Table
from swinseg.benchmark.suites.gpu.checks import TITLE, check, table_of
from swinseg.benchmark.suites.gpu.options import GpuOptions
from swinseg.checkpoints.reading import read_checkpoint, state_dict_of
from swinseg.datasets.mini.dataset import make_dataset

CASE = 'kill and resume'

CUDA_BOUND = 0.02
"""Of the distance of both results, as a share of how far the weights go after the checkpoint.

Sums by atomic operations differ by their order, from run to run; an optimizer that began anew would be off by some
tenths. On a processor the results are bit-equal.
"""

_EXPECTED_SECONDS = 30.0
_MOST_SECONDS = 120.0
_SHOWN = 'CUDA_VISIBLE_DEVICES'


def part(options: GpuOptions) -> Part:
    """Return the check."""
    return Part(TITLE, CASE, _EXPECTED_SECONDS, partial(_measure, options))


def _measure(options: GpuOptions) -> Table:
    environment = {**os.environ, **visible_devices(options.device, os.environ.get(_SHOWN))}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_dataset(root / 'data', train=8, val=1, size=96)
        work_dirs = root / 'straight', root / 'resumed'
        _train(root / 'data', work_dirs[0], kill_in=work_dirs[1], environment=environment)
        _train(root / 'data', work_dirs[1], environment=environment)
        start = _weights(work_dirs[0] / f'iter_{SAVED}.pth')
        ends = [_weights(each / f'iter_{STEPS}.pth') for each in work_dirs]
    return table_of(
        rows_of(start, *ends, bound=CUDA_BOUND if options.is_on_gpu else 0.0),
        notes=(
            f'{CASE}: killed after step {KILLED}, resumed from step {SAVED}, compared at step {STEPS}; distances '
            'of all weights, as a share of how far they went since the checkpoint.',
        ),
    )


def rows_of(
    start: Mapping[str, Tensor],
    straight: Mapping[str, Tensor],
    resumed: Mapping[str, Tensor],
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


def _distance(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    squares = [
        (value.double() - second[name].double()).square().sum() for name, value in first.items()
    ]
    return float(torch.stack(squares).sum().sqrt())


def _weights(path: Path) -> Mapping[str, Tensor]:
    return state_dict_of(read_checkpoint(path))


def visible_devices(device: str, shown: str | None) -> dict[str, str]:
    """Return the variable that leaves a process one device alone, of which it takes the first.

    Args:
        device: as PyTorch names it here.
        shown: the variable of this process.
    """
    where = torch.device(device)
    if where.type != 'cuda':
        return {_SHOWN: ''}
    if where.index is None:
        return {}
    return {_SHOWN: shown.split(',')[where.index] if shown else str(where.index)}


def _train(
    data_root: Path,
    work_dir: Path,
    *,
    environment: Mapping[str, str],
    kill_in: Path | None = None,
) -> None:
    """Train in a process of its own, which may be killed, and must not be forked from one that has used a GPU."""
    module = 'swinseg.benchmark.killable_training'
    command = [sys.executable, '-m', module, str(data_root), str(work_dir)]
    done = subprocess.run(
        command if kill_in is None else [*command, '--kill-in', str(kill_in)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_MOST_SECONDS,
        check=False,
    )
    expected = 0 if kill_in is None else EXIT_CODE_OF_KILLED
    if done.returncode != expected:
        lines = done.stdout.decode(errors='replace').strip().splitlines()
        raise RuntimeError(
            f'a training of {STEPS} steps ended with exit code {done.returncode}, expected {expected}: '
            f'{lines[-1] if lines else "it said nothing"}'
        )
