"""Launch of a training of several processes: ranks, joining and leaving the group.

mmengine's ``init_dist`` selects a GPU without asking whether there is one, and takes nccl on a CPU; under
SLURM it cannot do with one visible GPU per task, and two jobs on a machine would take the same port.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

from swinseg.errors import ConfigError, UserError

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')

# Rank, number of processes, and rank on this machine, as each launcher tells them.
_VARIABLES = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': (
        'OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK',
    ),
}  # fmt: skip
_FAILED = 'swinseg/failed'
_PATIENCE_SECONDS = 5
_COMMANDS = {'pytorch': 'torchrun --nproc-per-node 2', 'slurm': 'srun', 'mpi': 'mpirun -np 2'}


class LaunchError(UserError):
    """The processes of a run were not started as they should be, or one of them is gone."""


@dataclass(frozen=True)
class ProcessRank:
    """Which of the processes of a run this one is."""

    rank: int
    world_size: int
    local_rank: int
    """Rank among the processes of this machine."""


def read_launch_variables(launcher: str) -> ProcessRank:
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
    process = ProcessRank(*(int(os.environ[name]) for name in _VARIABLES[launcher]))
    names = _VARIABLES['pytorch']
    values = (process.rank, process.world_size, process.local_rank)
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
    return process


class RankFailures:
    """What the processes of a run know of each other's failing; it works before they have met and after.

    Args:
        process: this one. Rank 0 may be the one that the others ask, so it must not end before they have.
    """

    def __init__(self, process: ProcessRank) -> None:
        self._process = process
        self._store, _, _ = next(distributed.rendezvous('env://', process.rank, process.world_size))

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
        if self._process.rank != 0:
            return
        deadline = time.monotonic() + _PATIENCE_SECONDS
        with contextlib.suppress(distributed.DistError):
            while (
                self._store.add(_FAILED, 0) < self._process.world_size
                and time.monotonic() < deadline
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
    process = read_launch_variables(launcher)
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        torch.cuda.set_device(_gpu_of(process, launcher))
    if backend is None or (backend == 'nccl' and not has_gpu):
        backend = 'nccl' if has_gpu else 'gloo'
    distributed.init_process_group(
        backend, timeout=None if timeout is None else timedelta(seconds=timeout)
    )


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


def _gpu_of(process: ProcessRank, launcher: str) -> int:
    count = torch.cuda.device_count()
    if count == 1 and launcher == 'slurm':
        return 0  # --gpus-per-task shows each task its own GPU only
    if process.local_rank >= count:
        raise LaunchError(
            f'process {process.local_rank + 1} of this machine has no GPU, for PyTorch sees {count}; start one '
            'process per GPU'
        )
    return process.local_rank


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
