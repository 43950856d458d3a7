"""Training and evaluation of what a config describes: what ``swinseg train`` and ``swinseg test`` call."""

from __future__ import annotations

import copy
import itertools
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook

from swinseg.checkpoints import CheckpointError, checkpoint_meta
from swinseg.config.build_errors import refused_arguments
from swinseg.config.loading import load_config
from swinseg.config.pipelines import pipeline_of
from swinseg.config.references import fill_in_variables
from swinseg.config.registered_types import spell_types
from swinseg.config.training_length import check_schedulers, counts_epochs, settle_length
from swinseg.datasets.building import build_dataset, plain_messages
from swinseg.datasets.check import DatasetReport, summary
from swinseg.datasets.check.of_config import check_sample
from swinseg.engine.checkpoint.finding import checkpoints_in, has_checkpoint
from swinseg.engine.checkpoint.resumed_settings import check_choice
from swinseg.engine.checkpoint.saving import Best, bests_of
from swinseg.engine.checks.intervals import check_intervals
from swinseg.engine.distributed.launch import join
from swinseg.engine.hooks.validation_loss import ValidationLossHook
from swinseg.engine.optim.effective_batch import apply_effective_batch
from swinseg.engine.optim.parts import check_multipliers
from swinseg.engine.runner import SwinsegRunner
from swinseg.engine.visualizers import check_vis_backends
from swinseg.engine.work_dir_lock import WorkDirLockHook, locked_work_dir
from swinseg.errors import ConfigError
from swinseg.evaluation.report import METRICS_MARK, Protocol, Report, write_json
from swinseg.files import make_folder, require_own
from swinseg.inference.settings import check_inference_settings
from swinseg.report.metric import ReportMetric
from swinseg.report.page import SHOWN, check_shown, require_report_folder, write_report
from swinseg.runtimes.opening import is_exported
from swinseg.runtimes.protocol import check_steps
from swinseg.runtimes.segmentor import ExportedSegmentor
from swinseg.type_names import has_type, type_name

__all__ = ['Evaluation', 'SwinsegRunner', 'Training', 'evaluate', 'train']

_run_number = itertools.count()
# Which keep no more than labels and, where they are asked, the confidence.
_OURS = ('SwinSegmentor', 'ExportedSegmentor')


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


class Evaluation(dict[str, float]):
    """The metrics of an evaluation by name, aAcc, mIoU, mAcc, ... in percent, and what stands behind them.

    Attributes:
        report: figures per class; None when the config's metric is not ``MeanIoUMetric``.
        protocol: scales, flips, window and stride of the predictions.
        images: number of images.
        seconds: wall time of the predictions, loading of the images included.
        page: the report's page; None without a report, and on all processes but the first.
    """

    def __init__(
        self,
        metrics: Mapping[str, float],
        *,
        report: Report | None,
        protocol: Protocol,
        images: int,
        seconds: float,
        page: Path | None = None,
    ) -> None:
        super().__init__(metrics)
        self.report = report
        self.protocol = protocol
        self.images = images
        self.seconds = seconds
        self.page = page


def train(
    config: str | os.PathLike[str] | Config,
    *,
    work_dir: str | os.PathLike[str] | None = None,
    resume: bool | str | os.PathLike[str] | None = None,
    amp: bool = False,
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
    cfg = _own_config(config)
    _require(cfg, ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper'), 'training')
    settle_length(cfg)
    check_intervals(cfg)
    check_vis_backends(cfg)
    check_schedulers(cfg)
    check_multipliers(cfg)
    if resume_schedule is not None:
        cfg.resume_schedule = resume_schedule
    check_choice(cfg)
    _join(cfg, launcher)
    folder = _set_work_dir(cfg, work_dir)
    with locked_work_dir(folder) as lock:
        if seed is not None:
            cfg.randomness = {**(cfg.get('randomness') or {}), 'seed': seed}
        _set_resume(cfg, resume, folder)
        _set_precision(cfg, amp)
        batch = apply_effective_batch(cfg, processes=get_world_size())
        with plain_messages():
            report = check_sample(cfg) if check else None
            runner = _build_runner(cfg)
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


def evaluate(
    config: str | os.PathLike[str] | Config,
    checkpoint: str | os.PathLike[str],
    *,
    tta: bool = False,
    out: str | os.PathLike[str] | None = None,
    report: str | os.PathLike[str] | None = None,
    shown: int = SHOWN,
    work_dir: str | os.PathLike[str] | None = None,
    device: str = 'auto',
    threads: int | None = None,
    providers: Sequence[str] | None = None,
    launcher: str = 'none',
) -> Evaluation:
    """Evaluate a checkpoint on a config's test set.

    Args:
        config: path of a config file, or what :func:`load_config` returned, which is not changed.
        checkpoint: path or http(s) address of a segmentor's weights in any known format, or path of a file that
            :func:`swinseg.export` wrote.
        tta: whether the scales and flips of the config's ``tta_pipeline`` are averaged.
        out: folder for ``metrics.json``; None takes the work directory.
        report: folder for a report to look at, which all processes can write to; None makes none.
        shown: how many of the worst and of the best images the report shows.
        work_dir: folder for the log; None takes the config's, or ``work_dirs/<name of the config>``.
        device: on which an exported file computes, ``'cpu'``, ``'gpu'``, or ``'auto'`` for a GPU where its runtime
            has one. A checkpoint is on a GPU where PyTorch has one, which ``'auto'`` says.
        threads: of the processor, of an exported file; None for as many as PyTorch has.
        providers: ONNX Runtime's execution providers or OpenVINO's devices, in the place of ``device``.
        launcher: as for :func:`train`.

    Returns:
        The metrics by name, in percent, such as ``{'aAcc': 83.1, 'mIoU': 44.5, 'mAcc': 55.9}``; as attributes the
        figures per class, the protocol, the number of images, the seconds and the report's page.

    Raises:
        UserError: a ``ValueError``: config, data or weights are not as they should be, a folder cannot be written,
            or a file of someone else is in the place of one of the results.
    """
    cfg = _own_config(config)
    checkpoint = os.fspath(checkpoint)
    _require(cfg, ('model', 'test_dataloader', 'test_cfg', 'test_evaluator'), 'testing')
    check_vis_backends(cfg)
    _join(cfg, launcher)
    folder = _set_work_dir(cfg, work_dir)
    target = folder if out is None else make_folder(out)
    require_own(target / 'metrics.json', METRICS_MARK)
    check_inference_settings(cfg.model.get('module', cfg.model).get('test_cfg') or {})
    protocol = Protocol.from_config(cfg, tta=tta)
    if is_exported(checkpoint):
        # mmengine would give it to the segmentor; one in the model's own settings comes first.
        common = {'data_preprocessor': cfg.pop('data_preprocessor', None)}
        cfg.model = {
            'type': 'ExportedSegmentor', 'source': checkpoint,
            'settings': {**common, **cfg.model.get('module', cfg.model)},
            'device': device, 'threads': threads, 'providers': providers,
        }  # fmt: skip
    elif device != 'auto' or providers:
        raise ConfigError(
            f'device and providers are chosen for exported files, not for the checkpoint {checkpoint}, which is '
            'evaluated on a GPU where there is one; hide it with CUDA_VISIBLE_DEVICES= instead'
        )
    if report is not None:
        require_report_folder(report)
        _set_report(cfg, report, shown)
    if tta:
        _set_test_time_augmentation(cfg)
    cfg.resume, cfg.load_from = False, None
    # The training set need not be here.
    cfg.train_dataloader = cfg.train_cfg = cfg.optim_wrapper = cfg.param_scheduler = None
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    with plain_messages():
        dataset = build_dataset(cfg, 'test_dataloader')
        runner = _build_runner(cfg)
        classes = _fill(runner, checkpoint, pipeline_of(cfg))
        _check_classes(classes, dataset.metainfo['classes'], checkpoint)
        started = time.perf_counter()
        with refused_arguments(cfg):
            metrics = runner.test()
        seconds = time.perf_counter() - started
    measured = runner.test_evaluator.metrics
    reports = [getattr(metric, 'last_report', None) for metric in measured]
    figures = next((found for found in reports if found is not None), None)
    if figures is not None and is_main_process():
        extra = {
            'config': str(cfg.filename),
            'checkpoint': checkpoint,
            'images': len(dataset),
            'seconds': round(seconds, 2),
        }
        write_json(target / 'metrics.json', figures, protocol=protocol, extra=extra)
    page = None
    if report is not None and is_main_process():
        record = next(m for m in measured if isinstance(m, ReportMetric)).record(
            config=str(cfg.filename),
            checkpoint=checkpoint,
            dataset=type(dataset).__name__,
            protocol=str(protocol),
            seconds=seconds,
        )
        page = write_report(record, report, shown=shown)
    return Evaluation(
        metrics,
        report=figures,
        protocol=protocol,
        images=len(dataset),
        seconds=seconds,
        page=page,
    )


class _LastValidation(Hook):
    """Keeps the metrics of the last validation."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        self.metrics = dict(metrics or {})


def _own_config(config: str | os.PathLike[str] | Config) -> Config:
    """Return a config that may be changed: from its file, or a copy of the one that was given."""
    if isinstance(config, str | os.PathLike):
        return load_config(config)
    if not isinstance(config, Config):
        raise ConfigError(
            f'a config is the path of a file or what load_config returns, got a {type(config).__name__}'
        )
    cfg = copy.deepcopy(config)
    spell_types(cfg)
    fill_in_variables(cfg)
    return cfg


def _join(cfg: Config, launcher: str) -> None:
    settings = (cfg.get('env_cfg') or {}).get('dist_cfg') or {}
    join(launcher, backend=settings.get('backend'), timeout=settings.get('timeout'))
    cfg.launcher = launcher


def _build_runner(cfg: Config) -> SwinsegRunner:
    # mmengine finds loggers and scalars by this name and a time in whole seconds: two runs of one config
    # within a second would share them.
    name = cfg.get('experiment_name') or Path(cfg.filename or 'unnamed').stem
    cfg.experiment_name = f'{name}_{next(_run_number)}'
    for key in ('env_cfg', 'log_level', 'randomness'):
        if cfg.get(key) is None:  # mmengine has defaults where they are not there
            cfg.pop(key, None)
    with refused_arguments(cfg):
        return SwinsegRunner.from_cfg(cfg)


def _log_check(report: DatasetReport, logger: logging.Logger) -> None:
    for split in report.splits.values():
        logger.info(summary(split))
    for finding in report.findings:
        logger.warning('%s set: %s', finding.split, finding.sentence)


def _require(cfg: Config, keys: Sequence[str], purpose: str) -> None:
    lacking = [key for key in keys if cfg.get(key) is None]
    if lacking:
        raise ConfigError(f'{purpose} needs {", ".join(lacking)} in {cfg.filename or "the config"}')


def _set_work_dir(cfg: Config, work_dir: str | os.PathLike[str] | None) -> Path:
    name = Path(cfg.filename).stem if cfg.filename else 'unnamed'
    folder = make_folder(work_dir or cfg.get('work_dir') or Path('work_dirs') / name)
    cfg.work_dir = str(folder)
    return folder


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


def _fill(
    runner: SwinsegRunner, checkpoint: str, steps: Sequence[Mapping[str, Any]]
) -> Sequence[str] | None:
    """Load the weights, which an exported file has inside, and return the class names that the file knows."""
    model = runner.bare_model
    if isinstance(model, ExportedSegmentor):
        check_steps(model.metadata, steps, name=checkpoint)
        return model.metadata.classes
    classes: Sequence[str] | None = checkpoint_meta(
        runner.load_checkpoint(checkpoint, strict=True)
    )['classes']
    return classes


def _set_test_time_augmentation(cfg: Config) -> None:
    if cfg.get('tta_model') is None:
        raise ConfigError(
            f"--tta needs tta_model=dict(type='SegTTAModel') in {cfg.filename or 'the config'}"
        )
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    wrapper = dict(cfg.tta_model)
    if has_type(cfg.model, *_OURS) and has_type(wrapper, 'SegTTAModel'):
        wrapper['type'] = 'SwinTTAModel'  # mmseg's keeps the scores of all views
    cfg.model = {**wrapper, 'module': cfg.model}


def _set_report(cfg: Config, folder: str | os.PathLike[str], shown: int) -> None:
    """Have the report's measurements taken beside those of the config's metric, by the same rules."""
    evaluators = (
        cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    )
    rules = {
        name: metric[name]
        for metric in evaluators
        for name in ('ignore_index', 'nan_to_num', 'beta')
        if name in metric
    }
    check_shown(shown)
    if any(metric.get('format_only') for metric in evaluators):
        raise ConfigError(
            'a report compares predictions with labels, but test_evaluator has format_only=True in '
            f'{cfg.filename or "the config"}; take it out, or leave --report out'
        )
    cfg.test_evaluator = [*evaluators, dict(type='ReportMetric', folder=str(folder), **rules)]
    if has_type(cfg.model, *_OURS):
        cfg.model.keep_confidence = True


def _check_classes(found: Sequence[str] | None, expected: Sequence[str], checkpoint: str) -> None:
    """Compare the class names of a checkpoint with those of the test set; same number is not same meaning."""
    if found is None or tuple(found) == tuple(expected):
        return
    example = next(
        (
            f'; class {index} is {ours} in it and {theirs} in the set'
            for index, (ours, theirs) in enumerate(zip(found, expected, strict=False))
            if ours != theirs
        ),
        '',
    )
    raise CheckpointError(
        f'{checkpoint} was trained on {len(found)} classes that differ from the {len(expected)} of the test set'
        f'{example}; use the config that it was trained with'
    )
