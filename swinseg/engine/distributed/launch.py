"""Several processes that train or evaluate as one: how they meet, and how they tell of an error once.

mmengine's ``init_dist`` selects a GPU without asking whether there is one, and takes nccl on a CPU; under
SLURM it cannot do with one visible GPU per task, and two jobs on a machine would take the same port.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from mmengine.dist import broadcast
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel
from torch import Tensor, distributed, nn

from swinseg.engine.distributed.fsdp import ShardedModel, mean_over_processes
from swinseg.errors import ConfigError, UserError
from swinseg.models.ops.sync_batch_norm import synchronise
from swinseg.type_names import type_name

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')
DATA_PARALLEL, SHARDED = 'MMDistributedDataParallel', 'MMFullyShardedDataParallel'
WRAPPERS = (DATA_PARALLEL, SHARDED)
"""Values of ``model_wrapper_cfg.type``, by mmengine's names."""

# Rank, number of processes, and rank on this machine, as each launcher tells them.
_VARIABLES = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': (
        'OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK',
    ),
}  # fmt: skip
_FAILED = 'swinseg/failed'
# PyTorch says so in the step after one that left a gradient out.
_UNFINISHED = 'Expected to have finished reduction in the prior iteration'
_PATIENCE_SECONDS = 5
_COMMANDS = {'pytorch': 'torchrun --nproc-per-node 2', 'slurm': 'srun', 'mpi': 'mpirun -np 2'}


class LaunchError(UserError):
    """The processes of a run were not started as they should be, or one of them is gone."""


@dataclass(frozen=True)
class Place:
    """Which of the processes of a run this one is."""

    rank: int
    world_size: int
    local_rank: int
    """Rank among the processes of this machine."""


def take_place(launcher: str) -> Place:
    """Read the launcher's variables and set those by which PyTorch's processes meet.

    Args:
        launcher: one of ``LAUNCHERS`` but ``'none'``.

    Raises:
        LaunchError: a variable is not there.
    """
    lacking = [name for name in _VARIABLES[launcher] if name not in os.environ]
    if lacking:
        raise LaunchError(
            f'--launcher {launcher} needs the variable{"s" if len(lacking) > 1 else ""} {", ".join(lacking)}; '
            f'put {_COMMANDS[launcher]} before the command, or leave --launcher out for one process'
        )
    place = Place(*(int(os.environ[name]) for name in _VARIABLES[launcher]))
    names = _VARIABLES['pytorch']
    values = (place.rank, place.world_size, place.local_rank)
    os.environ.update({name: str(value) for name, value in zip(names, values, strict=True)})
    if launcher == 'slurm':
        os.environ.setdefault('MASTER_ADDR', _first_machine_of_job())
        # Ports of their own for the jobs of one machine, below those that systems hand out.
        job = int(os.environ.get('SLURM_JOB_ID', 0))
        os.environ.setdefault('MASTER_PORT', str(12_000 + job % 20_000))
    for name in ('MASTER_ADDR', 'MASTER_PORT'):
        if name not in os.environ:
            raise LaunchError(
                f'--launcher {launcher} needs the variable {name}: MASTER_ADDR is the machine of rank 0, '
                'MASTER_PORT a free port of it, the same for all processes'
            )
    return place


class Failures:
    """What the processes of a run know of each other's failing; it works before they have met and after.

    Args:
        place: of this process. Rank 0 may be the one that the others ask, so it must not end before they have.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._store, _, _ = next(distributed.rendezvous('env://', place.rank, place.world_size))

    def is_first(self) -> bool:
        """Count this process among those that failed; whether it is the first, or cannot know."""
        try:
            return self._store.add(_FAILED, 1) == 1
        except distributed.DistError:
            return True

    def end_the_others(self) -> None:
        """Let processes that wait for this one fail as well, and as rank 0 answer their question who was first."""
        if distributed.is_initialized() and distributed.get_backend() == 'gloo':
            distributed.destroy_process_group()  # with nccl this may wait for them
        if self._place.rank != 0:
            return
        deadline = time.monotonic() + _PATIENCE_SECONDS
        with contextlib.suppress(distributed.DistError):
            while (
                self._store.add(_FAILED, 0) < self._place.world_size and time.monotonic() < deadline
            ):
                time.sleep(0.05)


def join(launcher: str, *, backend: str | None = None, timeout: float | None = None) -> None:
    """Meet the other processes, and take the GPU of this one.

    Does nothing for ``'none'``, and when the processes have met.

    Args:
        launcher: one of ``LAUNCHERS``.
        backend: of PyTorch; None takes nccl with GPUs and gloo without. ``'nccl'`` without GPUs is gloo too,
            for mmseg's configs all say nccl.
        timeout: seconds after which a process gives up waiting for another one; None is PyTorch's: 600 with
            nccl, 1,800 with gloo.

    Raises:
        LaunchError: the launcher's variables are not there, or there are more processes than GPUs.
        ConfigError: the timeout is no positive number.
    """
    if launcher == 'none' or distributed.is_initialized():
        return
    if launcher not in LAUNCHERS:
        raise LaunchError(f'launcher must be one of {", ".join(LAUNCHERS)}, not {launcher!r}')
    if timeout is not None and not (isinstance(timeout, (int, float)) and timeout > 0):
        raise ConfigError(f'env_cfg.dist_cfg.timeout takes seconds above 0, not {timeout!r}')
    place = take_place(launcher)
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        torch.cuda.set_device(_gpu_of(place, launcher))
    if backend is None or (backend == 'nccl' and not has_gpu):
        backend = 'nccl' if has_gpu else 'gloo'
    distributed.init_process_group(
        backend, timeout=None if timeout is None else timedelta(seconds=timeout)
    )


class _DataParallel(MMDistributedDataParallel):
    """mmengine's wrapper, which logs the losses of all processes and not those of the first one's images."""

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, Tensor]:
        try:
            return mean_over_processes(super().train_step(data, optim_wrapper))
        except RuntimeError as error:
            if _UNFINISHED not in str(error):
                raise
            raise ConfigError(self._unused_parameters(str(error))) from error

    def _unused_parameters(self, message: str) -> str:
        """Name the parameters that PyTorch's message gives the numbers of."""
        trained = [name for name, weight in self.module.named_parameters() if weight.requires_grad]
        found = re.search(r'did not receive grad for rank \d+: ([\d ]+)', message)
        numbers = [int(number) for number in found[1].split()] if found else []
        names = [trained[number] for number in numbers if number < len(trained)]
        shown = ', '.join(names[:5]) + (f' and {len(names) - 5} more' if len(names) > 5 else '')
        return (
            f'the loss does not depend on all weights that are trained ({shown or "PyTorch names none"}), and '
            'several processes wait for the gradient of each: set find_unused_parameters=True, or take those '
            'layers out of the model or freeze them'
        )


def wrap(model: nn.Module, cfg: Any) -> nn.Module:
    """Wrap a model for training by several processes.

    Batch normalisation takes the statistics of all processes, unless the config says ``sync_bn=None``.

    Args:
        model: on the device that it trains on; it becomes part of the result.
        cfg: the config: ``sync_bn``, ``find_unused_parameters``, and ``model_wrapper_cfg``: a ``type``, one of
            ``WRAPPERS``, and for the first more options of ``torch.nn.parallel.DistributedDataParallel``.

    Returns:
        With the first type a model that each process holds whole; with the second one that is to be divided with
        :meth:`swinseg.engine.distributed.fsdp.ShardedModel.shard` when its weights are loaded.

    Raises:
        ConfigError: ``model_wrapper_cfg`` names another wrapper or an option that it does not have.
    """
    options = dict(cfg.get('model_wrapper_cfg') or {})
    kind = type_name(options.pop('type', DATA_PARALLEL))
    if kind not in WRAPPERS:
        raise ConfigError(
            f'model_wrapper_cfg.type={kind!r} is not supported: take {DATA_PARALLEL!r}, in which each process '
            f'holds the whole model, or {SHARDED!r}, in which it holds a share'
        )
    if kind == SHARDED:
        _check_sharded(options, cfg.get('optim_wrapper') or {})
    device = next(model.parameters()).device
    if cfg.get('sync_bn', 'torch') is not None:
        model = synchronise(model, device)
    if kind == SHARDED:
        return ShardedModel(model)
    options.setdefault('broadcast_buffers', False)
    options.setdefault('find_unused_parameters', cfg.get('find_unused_parameters', False))
    return _DataParallel(
        model, device_ids=[device.index] if device.type == 'cuda' else None, **options
    )


def _check_sharded(options: Mapping[str, Any], optim_wrapper: Mapping[str, Any]) -> None:
    if options:
        raise ConfigError(
            f'model_wrapper_cfg.{next(iter(options))} is no option of {SHARDED!r} here: it takes none, and shards '
            "with PyTorch's fully_shard"
        )
    # Its loss scaler would look for overflows in the share of each process alone.
    if optim_wrapper.get('type') == 'AmpOptimWrapper' and optim_wrapper.get('dtype') != 'bfloat16':
        raise ConfigError(
            f'{SHARDED!r} trains in float32 or bfloat16, and --amp takes float16 on a GPU: set '
            "optim_wrapper.type='AmpOptimWrapper' and optim_wrapper.dtype='bfloat16' instead of --amp"
        )


class CommonBuffersHook(Hook):
    """Validate with the buffers of the main process, which are those of the checkpoints.

    With ``sync_bn=None`` each process has counted running statistics of its own.
    """

    def before_val(self, runner: Any) -> None:
        """Send them to the other processes."""
        for buffer in runner.model.buffers():
            broadcast(buffer)


def _first_machine_of_job() -> str:
    if os.environ.get('SLURM_JOB_NUM_NODES', '1') == '1':
        return '127.0.0.1'
    command = ['scontrol', 'show', 'hostnames', os.environ.get('SLURM_JOB_NODELIST', '')]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        return found.stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise LaunchError(
            f'"{" ".join(command)}" does not tell the machines of this job ({error}); set MASTER_ADDR to the '
            'first of them'
        ) from error


def _gpu_of(place: Place, launcher: str) -> int:
    count = torch.cuda.device_count()
    if count == 1 and launcher == 'slurm':
        return 0  # --gpus-per-task shows each task its own GPU only
    if place.local_rank >= count:
        raise LaunchError(
            f'process {place.local_rank + 1} of this machine has no GPU, for PyTorch sees {count}; start one '
            'process per GPU'
        )
    return place.local_rank


def leave() -> None:
    """Part from the other processes, when all have done their work."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def is_under_torchrun() -> bool:
    """Whether torchrun started this process as one of several."""
    return 'TORCHELASTIC_RUN_ID' in os.environ and os.environ.get('WORLD_SIZE', '1') != '1'


def is_loss_of_a_process(error: Exception) -> bool:
    """Whether an error means that another process ended, or did not answer in time."""
    # gloo raises a plain RuntimeError whose message begins with its source file.
    is_gloo = isinstance(error, RuntimeError) and '/gloo/' in str(error)
    return is_gloo or isinstance(error, distributed.DistError)
