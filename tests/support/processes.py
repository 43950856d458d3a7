"""Running a function in several processes that meet over gloo or nccl, as ``torchrun`` would start them."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import multiprocessing
import os
import pickle
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return server.getsockname()[1]


def variables(rank: int, world_size: int, port: int) -> dict[str, str]:
    """Return what ``torchrun`` tells the process ``rank``."""
    values = dict(RANK=rank, WORLD_SIZE=world_size, LOCAL_RANK=rank, MASTER_PORT=port)
    return {'MASTER_ADDR': '127.0.0.1', **{name: str(value) for name, value in values.items()}}


class Outcome:
    """How a process ended.

    Attributes:
        code: its exit code, negative for a signal.
        value: what the function returned.
        out: what it wrote to stdout.
        err: what it wrote to stderr.
    """

    def __init__(self, code: int | None, folder: Path) -> None:
        self.code = code
        result = folder / 'value'
        self.value: Any = pickle.loads(result.read_bytes()) if result.exists() else None
        self.out = (folder / 'out').read_text()
        self.err = (folder / 'err').read_text()


def require_gpus(count: int) -> None:
    """Skip the test where there are fewer GPUs."""
    found = torch.cuda.device_count()
    if found < count:
        pytest.skip(f'nccl needs a GPU for each of {count} processes, and PyTorch sees {found}')


def run(
    function: Callable[..., Any],
    *arguments: Any,
    count: int,
    folder: Path,
    environment: Callable[[int, int, int], dict[str, str]] = variables,
    timeout: float = 240,
    backend: str = 'gloo',
) -> list[Outcome]:
    """Call ``function(*arguments)`` in ``count`` processes and return how each ended.

    Args:
        function: of a module; returns what can be pickled.
        *arguments: of the function; with nccl they can be pickled.
        count: number of processes.
        folder: for what they leave behind.
        environment: rank, number and port to the variables of a process.
        timeout: seconds after which what still runs is killed.
        backend: ``'gloo'`` for forked processes that see no GPU, ``'nccl'`` for new ones with a GPU each; without
            as many the test is skipped.
    """
    is_nccl = backend == 'nccl'
    if is_nccl:
        require_gpus(count)
    work: Callable[..., None] = _import_and_work if is_nccl else _work
    called: Any = (inspect.getfile(function), function.__name__) if is_nccl else function
    context: Any = multiprocessing.get_context('spawn' if is_nccl else 'fork')
    port = free_port()
    folders = [folder / f'process_{rank}' for rank in range(count)]
    processes = []
    for rank, own in enumerate(folders):
        own.mkdir(parents=True)
        given = environment(rank, count, port)
        if not is_nccl:
            given = {**given, 'CUDA_VISIBLE_DEVICES': ''}
        processes.append(context.Process(target=work, args=(called, arguments, given, own)))
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join(timeout)
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
                process.join()
    return [Outcome(p.exitcode, own) for p, own in zip(processes, folders, strict=True)]


def values(outcomes: list[Outcome]) -> list[Any]:
    """Return what the processes returned; all must have ended well."""
    assert [outcome.code for outcome in outcomes] == [0] * len(outcomes), outcomes[0].err + ''.join(
        outcome.err for outcome in outcomes[1:]
    )
    return [outcome.value for outcome in outcomes]


def _import_and_work(called: tuple[str, str], *others: Any) -> None:
    """Do ``_work`` in a new process, for which pytest's names of test modules mean nothing."""
    import swinseg  # noqa: F401 - before what it repairs

    path, name = called
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # what the function returns may be of its classes
    spec.loader.exec_module(module)
    _work(getattr(module, name), *others)


def _work(
    function: Callable[..., Any], arguments: tuple, environment: dict[str, str], folder: Path
) -> None:
    for name, descriptor in (('out', 1), ('err', 2)):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), descriptor)
    sys.stdout, sys.stderr = os.fdopen(1, 'w', closefd=False), os.fdopen(2, 'w', closefd=False)
    # A forked process has none of the threads that its parent computes with.
    torch.set_num_threads(1)
    os.environ.update(environment)
    code: Any = 0
    try:
        value = function(*arguments)
        (folder / 'value').write_bytes(pickle.dumps(value))
    except SystemExit as error:
        code = error.code
    except BaseException:
        traceback.print_exc()
        code = 1
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code or 0)
