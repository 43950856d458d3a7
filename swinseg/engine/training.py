"""Training of what a config describes: what ``swinseg train`` calls."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.hooks import Hook

from swinseg.config.build_errors import refused_arguments
from swinseg.config.training_length import check_schedulers, counts_epochs, settle_length
from swinseg.datasets.building import plain_messages
from swinseg.datasets.check import DatasetReport, summary
from swinseg.datasets.check.of_config import check_sample
from swinseg.engine.checkpoint.finding import checkpoints_in, has_checkpoint
from swinseg.engine.checkpoint.resumed_settings import check_choice
from swinseg.engine.checkpoint.saving import Best, bests_of
from swinseg.engine.checks.intervals import check_intervals
from swinseg.engine.hooks.validation_loss import ValidationLossHook
from swinseg.engine.optim.effective_batch import apply_effective_batch
from swinseg.engine.optim.parts import check_multipliers
from swinseg.engine.run import build_runner, join_launcher, own_config, require, set_work_dir
from swinseg.engine.visualizers import check_vis_backends
from swinseg.engine.work_dir_lock import WorkDirLockHook, locked_work_dir
from swinseg.errors import ConfigError
from swinseg.type_names import type_name


@dataclass(frozen=True)
class Training:
    """What a training left behind.

    Attributes:
        work_dir: folder of checkpoints, logs and ``curves.png``.
        iterations: how many iterations the model has seen, earlier runs included.
        epochs: how many whole passes over the training set; None where the training counts iterations.
        bests: for each metric of ``save_best`` the checkpoint of its best value; empty without validation.
        last: the last checkpoint, from which the training can be resumed.
        metrics: aAcc, mIoU, mAcc, ... in percent of the last validation of this call; empty without one.
    """

    work_dir: Path
    iterations: int
    epochs: int | None
    bests: tuple[Best, ...]
    last: Path | None
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def best(self) -> Path | None:
        """The checkpoint that is best by the first metric of ``save_best``, or None."""
        return self.bests[0].checkpoint if self.bests else None

    @property
    def best_score(self) -> float | None:
        """The value of that metric, a validation's mIoU in percent unless ``save_best`` names another one."""
        return self.bests[0].score if self.bests else None


def train(
    config: str | os.PathLike[str] | Config,
    *,
    work_dir: str | os.PathLike[str] | None = None,
    resume: bool | str | os.PathLike[str] | None = None,
    amp: bool = False,
    compile: bool = False,
    seed: int | None = None,
    launcher: str = 'none',
    check: bool = True,
    resume_schedule: str | None = None,
) -> Training:
    """Train what a config describes.

    Args:
        config: path of a config file, or what :func:`load_config` returned, which is not changed.
        work_dir: folder for checkpoints, logs and curves; None takes the config's, or
            ``work_dirs/<name of the config>``.
        resume: True continues from the newest whole checkpoint in the work directory, ``'auto'`` does so where
            there is one, and a path continues from that file; None does as the config's ``resume`` says, which
            as a rule is to begin anew.
        amp: mixed precision: bfloat16 on a CPU, float16 with loss scaling on a GPU.
        compile: whether ``torch.compile`` compiles backbone and heads, as ``compile=True`` of the config has it;
            False leaves it to the config.
        seed: of the random numbers; None draws one, which the log and the checkpoints name.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``, how this process was started. With
            several, the returned figures are the same in all of them; only the first one writes files.
        check: whether a sample of the training and validation sets is checked first, by the rules of
            ``swinseg check``.
        resume_schedule: whose learning rate, other values of the optimizer and schedule a resumed run takes where
            they differ: ``'config'`` or ``'checkpoint'``; None takes the config's ``resume_schedule``, or
            ``'config'``.

    Returns:
        The folder, the checkpoints in it and the metrics of the last validation.

    Raises:
        UserError: a ``ValueError``: config, data, weights or the work directory are not as they should be, another
            training runs in that, or the loss became nan; the message says what to change.
    """
    cfg = own_config(config)
    require(cfg, ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper'), 'training')
    settle_length(cfg)
    check_intervals(cfg)
    check_vis_backends(cfg)
    check_schedulers(cfg)
    check_multipliers(cfg)
    if resume_schedule is not None:
        cfg.resume_schedule = resume_schedule
    check_choice(cfg)
    join_launcher(cfg, launcher)
    folder = set_work_dir(cfg, work_dir)
    with locked_work_dir(folder) as lock:
        if seed is not None:
            cfg.randomness = {**(cfg.get('randomness') or {}), 'seed': seed}
        _set_resume(cfg, resume, folder)
        _set_precision(cfg, amp)
        if compile:
            cfg.compile = cfg.get('compile') or True
        batch = apply_effective_batch(cfg, processes=get_world_size())
        with plain_messages():
            report = check_sample(cfg) if check else None
            runner = build_runner(cfg)
            if report is not None:
                _log_check(report, runner.logger)
            if batch is not None:
                batch.log(runner.logger)
            if lock is not None:
                runner.register_hook(WorkDirLockHook(lock))
            if cfg.get('validation_loss', False):
                runner.register_hook(ValidationLossHook())
            validation = _LastValidation()
            runner.register_hook(validation)
            with refused_arguments(cfg):
                runner.train()
    last = runner.message_hub.runtime_info.get('last_ckpt')
    return Training(
        work_dir=folder,
        iterations=runner.iter,
        epochs=runner.epoch if counts_epochs(cfg.train_cfg) else None,
        bests=bests_of(runner),
        last=None if last is None else Path(last),
        metrics=validation.metrics,
    )


class _LastValidation(Hook):
    """Keeps the metrics of the last validation."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        self.metrics = dict(metrics or {})


def _log_check(report: DatasetReport, logger: logging.Logger) -> None:
    for split in report.splits.values():
        logger.info(summary(split))
    for finding in report.findings:
        logger.warning('%s set: %s', finding.split, finding.sentence)


def _set_resume(cfg: Config, resume: bool | str | os.PathLike[str] | None, work_dir: Path) -> None:
    if resume == 'auto':
        resume = has_checkpoint(work_dir)
    if resume is True:
        checkpoints_in(work_dir)  # says so when there is none
        cfg.load_from = None  # the runner looks for the newest that is whole
    elif resume:
        cfg.load_from = os.fspath(resume)
    cfg.resume = bool(resume) or cfg.get('resume', False)


def _set_precision(cfg: Config, amp: bool) -> None:
    """Choose the optimizer wrapper: mmengine's for mixed precision refuses to run on a CPU."""
    wrapper = cfg.optim_wrapper
    on_gpu = torch.cuda.is_available()
    kind = type_name(wrapper.get('type', 'OptimWrapper'))
    if amp and kind == 'OptimWrapper':
        kind = wrapper.type = 'AmpOptimWrapper'
        if on_gpu:
            wrapper.loss_scale = 'dynamic'
    elif amp and kind not in ('AmpOptimWrapper', 'AutocastOptimWrapper'):
        raise ConfigError(
            f'--amp works with optim_wrapper.type=OptimWrapper, the config has {kind}; leave --amp out'
        )
    if kind == 'AmpOptimWrapper' and not on_gpu:
        wrapper.type = 'AutocastOptimWrapper'
        wrapper.pop('loss_scale', None)
        wrapper.pop('use_fsdp', None)
        wrapper.dtype = 'bfloat16'
