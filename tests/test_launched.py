"""Failures in one of several processes: one sentence, no process left, and the exit code of a mistake."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from datetime import timedelta

import pytest
import torch
from torch import distributed

from support import processes, scripts
from swinseg import cli
from swinseg.engine import ConfigError
from swinseg.engine.distributed.launch import LaunchError, join
from swinseg.errors import Interrupted


def _lines(outcomes: list[processes.Outcome], beginning: str) -> list[str]:
    lines = [line for outcome in outcomes for line in outcome.err.splitlines()]
    return [line for line in lines if line.startswith(beginning)]


def _exit(main) -> None:
    raise SystemExit(cli.run(main))


def _tool(name: str, *arguments: object) -> None:
    raise SystemExit(scripts.run(name, *arguments))


@pytest.mark.parametrize(
    ('name', 'arguments', 'expected'),
    [
        ('train', ('gone.py', '--launcher', 'pytorch'), r'error: there is no config file gone\.py'),
        (
            'test',
            ('gone.py', 'x.pth', '--launcher', 'pytorch'),
            r'error: there is no config file gone\.py',
        ),
        ('train', ('gone.py',), 'error: torchrun started several processes.*--launcher pytorch'),
    ],
)
def test_launched__a_mistake_that_all_see_is_told_once(
    tmp_path, monkeypatch, name, arguments, expected
):
    monkeypatch.setenv('TORCHELASTIC_RUN_ID', 'none')
    outcomes = processes.run(_tool, name, *arguments, count=3, folder=tmp_path)
    assert [outcome.code for outcome in outcomes] == [2, 2, 2]
    (line,) = ''.join(outcome.err for outcome in outcomes).splitlines()
    assert re.match(expected, line)
    assert not any(outcome.out for outcome in outcomes)


def _fail_alone(failing: int, how: str) -> None:
    def main() -> None:
        with cli.launched('pytorch'):
            join('pytorch')
            distributed.barrier()  # they have all met
            if distributed.get_rank() == failing:
                if how == 'killed':
                    os.kill(os.getpid(), signal.SIGKILL)
                raise {'mistake': ConfigError('not so'), 'defect': ZeroDivisionError()}[how]
            distributed.all_reduce(torch.zeros(1))

    _exit(main)


@pytest.mark.slow
@pytest.mark.parametrize('failing', [0, 2])
@pytest.mark.parametrize(
    ('how', 'code', 'expected'),
    [
        ('mistake', 2, r'^error: not so$'),
        ('defect', 1, r'^ZeroDivisionError$'),
        ('killed', -9, r'^error: another process of this run is gone.*-9: killed.*--resume'),
    ],
)
def test_launched__a_process_that_fails_alone_ends_the_others(
    tmp_path, failing, how, code, expected
):
    outcomes = processes.run(_fail_alone, failing, how, count=3, folder=tmp_path)
    assert [outcome.code for outcome in outcomes] == [
        code if rank == failing else 2 for rank in range(3)
    ]
    told = [outcome for outcome in outcomes if outcome.err]
    if how != 'killed' or failing != 0:
        (only,) = told
        assert (only is outcomes[failing]) == (how != 'killed')
    for outcome in told:  # who could answer which process was first is rank 0, and it may be gone
        assert re.search(expected, outcome.err, re.MULTILINE), outcome.err
        assert ('Traceback' in outcome.err) == (how == 'defect')


def _interrupt(interruption: KeyboardInterrupt) -> None:
    def main() -> None:
        with cli.launched('pytorch'):
            raise interruption

    _exit(main)


@pytest.mark.parametrize(
    ('interruption', 'code', 'text'),
    [(Interrupted('saved', 15), 143, 'saved\n'), (KeyboardInterrupt(), 130, 'interrupted\n')],
)
def test_launched__a_signal_is_told_once(tmp_path, interruption, code, text):
    outcomes = processes.run(_interrupt, interruption, count=2, folder=tmp_path)
    assert [outcome.code for outcome in outcomes] == [code, code]
    assert [outcome.err for outcome in outcomes] == [text, '']


def _wait_for_ever() -> None:
    def main() -> None:
        with cli.launched('pytorch'):
            join('pytorch', timeout=1)
            if distributed.get_rank() == 0:
                distributed.all_reduce(torch.zeros(1))
            store, _, _ = next(distributed.rendezvous('env://'))
            store.wait(['swinseg/failed'], timedelta(seconds=60))
            raise LaunchError('the other process has failed')

    _exit(main)


@pytest.mark.slow
def test_launched__a_process_that_does_not_answer_is_not_waited_for_for_ever(tmp_path):
    outcomes = processes.run(_wait_for_ever, count=2, folder=tmp_path)
    assert [outcome.code for outcome in outcomes] == [2, 2]
    (line,) = _lines(outcomes, '')
    assert re.match('error: another process of this run .* did not answer in time .*imed out', line)


def _slurm(rank: int, world_size: int, port: int) -> dict[str, str]:
    names = ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID')
    values = dict(zip(names, (rank, world_size, rank), strict=True))
    return {name: str(value) for name, value in values.items()} | {
        'MASTER_PORT': str(port),
        'SLURM_JOB_ID': '7',
    }


def _mpi(rank: int, world_size: int, port: int) -> dict[str, str]:
    names = ('RANK', 'SIZE', 'LOCAL_RANK')
    values = dict(zip(names, (rank, world_size, rank), strict=True))
    return {f'OMPI_COMM_WORLD_{name}': str(value) for name, value in values.items()} | {
        'MASTER_PORT': str(port),
        'MASTER_ADDR': '127.0.0.1',
    }


def _sum_of_ranks(launcher: str) -> float:
    with cli.launched(launcher):
        join(launcher)
        total = torch.tensor(float(distributed.get_rank()))
        distributed.all_reduce(total)
    assert not distributed.is_initialized()
    return float(total)


@pytest.mark.parametrize(('launcher', 'environment'), [('slurm', _slurm), ('mpi', _mpi)])
def test_launched__other_launchers(tmp_path, launcher, environment):
    outcomes = processes.run(
        _sum_of_ranks, launcher, count=3, folder=tmp_path, environment=environment
    )
    assert processes.values(outcomes) == [3.0] * 3


@pytest.mark.parametrize(
    ('launcher', 'given', 'expected'),
    [
        ('pytorch', {}, 'variables RANK, WORLD_SIZE, LOCAL_RANK; put torchrun --nproc-per-node 2'),
        ('pytorch', {'RANK': 0, 'WORLD_SIZE': 1}, 'needs the variable LOCAL_RANK;'),
        ('slurm', {}, 'SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID; put srun before the command'),
        ('mpi', {'OMPI_COMM_WORLD_RANK': 0, 'OMPI_COMM_WORLD_SIZE': 1,
                 'OMPI_COMM_WORLD_LOCAL_RANK': 0}, 'the variable MASTER_ADDR: .* the machine of'),
        ('slurm', {'SLURM_PROCID': 0, 'SLURM_NTASKS': 2, 'SLURM_LOCALID': 0,
                   'SLURM_JOB_NUM_NODES': 2, 'SLURM_JOB_NODELIST': 'n[1-2]'},
         'scontrol show hostnames n.*set MASTER_ADDR'),
    ],
)  # fmt: skip
def test_train__says_what_the_launcher_did_not(monkeypatch, capsys, launcher, given, expected):
    names = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT')
    for name in names:  # those that are set below are taken back as well
        monkeypatch.setenv(name, '')
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, str(value))
    code = scripts.run('train', 'gone.py', '--launcher', launcher)
    scripts.assert_one_clear_line(code, capsys, expected)


def test_launched__one_process_is_left_alone():
    with pytest.raises(ConfigError, match='as it is'), cli.launched('none'):
        raise ConfigError('as it is')


@pytest.mark.parametrize(
    ('options', 'error', 'expected'),
    [
        ({'launcher': 'ssh'}, LaunchError, "one of none, pytorch, slurm, mpi, not 'ssh'"),
        ({'launcher': 'pytorch', 'timeout': 0}, ConfigError, 'seconds above 0, not 0'),
        ({'launcher': 'pytorch', 'timeout': '5m'}, ConfigError, "seconds above 0, not '5m'"),
    ],
)
def test_join__bad_arguments(options, error, expected):
    with pytest.raises(error, match=expected):
        join(**options)


@pytest.mark.slow
@pytest.mark.parametrize(
    'train',
    [
        (scripts.TOOLS / 'train.py',),
        pytest.param(('-m', 'swinseg', 'train'), marks=pytest.mark.full),
    ],
    ids=['script', 'module'],
)
def test_train__under_torchrun_a_mistake_is_told_once(tmp_path, train):
    command = [sys.executable, '-m', 'torch.distributed.run', '--nproc-per-node', '2',
               '--master-port', str(processes.free_port()),
               *train, tmp_path / 'gone.py', '--launcher', 'pytorch']  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode != 0
    told = [line for line in done.stderr.splitlines() if line.startswith('error:')]
    assert told == [told[0]]
    assert 'no config file' in told[0]
    assert str(scripts.TOOLS.parent / 'swinseg') not in done.stderr  # no traceback
