"""A training in a process of its own, to be killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.process import BaseProcess
from pathlib import Path

import mmengine
import torch

from swinseg.engine import load_config, train


def start_training(
    config: Path, work_dir: Path, *, workers: int, die_while_saving: bool = False
) -> BaseProcess:
    """Train in another process, or go on where an earlier one has left something.

    Args:
        config: path of the config.
        work_dir: where checkpoints are looked for and written.
        workers: number of data workers.
        die_while_saving: half of the second checkpoint is written, and then the process kills itself.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['swinseg.engine'])  # its import takes longer than the training
    process = context.Process(target=_train, args=(config, work_dir, workers, die_while_saving))
    process.start()
    return process


def _train(config: Path, work_dir: Path, workers: int, die_while_saving: bool) -> None:
    torch.set_num_threads(1)
    if die_while_saving:
        _die_while_saving()
    cfg = load_config(config, {'train_dataloader.num_workers': workers})
    train(cfg, work_dir=work_dir, resume='auto', seed=0, check=False)


def _die_while_saving() -> None:
    save = mmengine.runner.runner.save_checkpoint
    saved: list[str] = []

    def save_half_of_the_second(checkpoint, filename, **options):
        save(checkpoint, filename, **options)
        saved.append(filename)
        if len(saved) == 2:
            os.truncate(filename, os.path.getsize(filename) // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    mmengine.runner.runner.save_checkpoint = save_half_of_the_second
