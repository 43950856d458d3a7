"""From a config to a training or an evaluation: what ``tools/train.py`` and ``tools/test.py`` call."""

from __future__ import annotations

import contextlib
import copy
import itertools
import logging
import re
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size, is_main_process
from mmengine.logging import MMLogger
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import DATASETS, RUNNERS
from torch import nn

from swinseg.checkpoints.errors import CheckpointError
from swinseg.checkpoints.loading import checkpoint_meta, load_weights, read_checkpoint
from swinseg.datasets.integrity import check_before_training
from swinseg.engine.config import ConfigError, check_num_classes
from swinseg.engine.hooks import CLEAR_LINE
from swinseg.errors import UserError
from swinseg.evaluation.report import Protocol, Report, write_json
from swinseg.files import atomic_path, make_folder

# Whose information reaches the terminal; the log file has everybody's.
_HEARD = ('swinseg.checkpoints', 'swinseg.datasets', 'swinseg.engine', 'swinseg.models')
_run_number = itertools.count()
# What mmengine warns of in every run, about its own insides.
_NOISE = (
    'The prefix is not set in metric class',
    '"FileClient" will be',
    '"HardDiskBackend" is the',
)
_BUILDER_PREFIX = re.compile(r'^(class `\w+` in [\w./]+: )+')


@dataclass(frozen=True)
class Training:
    """What a training left behind.

    Attributes:
        work_dir: folder of checkpoints, logs and ``curves.png``.
        iterations: how many iterations the model has seen, earlier runs included.
        best: the checkpoint with the best validation mIoU, or None without validation.
        best_score: its mIoU in percent.
        last: the last checkpoint, from which the training can be resumed.
    """

    work_dir: Path
    iterations: int
    best: Path | None
    best_score: float | None
    last: Path | None


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        metrics: aAcc, mIoU, mAcc, ... in percent.
        report: figures per class; None when the config's metric is not ``MeanIoUMetric``.
        protocol: scales, flips, window and stride of the predictions.
        images: number of images.
        seconds: wall time of the predictions, loading of the images included.
    """

    metrics: dict[str, float]
    report: Report | None
    protocol: Protocol
    images: int
    seconds: float


@RUNNERS.register_module()
class SwinsegRunner(Runner):
    """mmengine's ``Runner`` with whole checkpoints, checked weights and a quiet terminal.

    A checkpoint gets its name when it is complete. Weights of any known format are loaded, with a receipt, and
    fail when they do not fit. On the terminal stand warnings and what swinseg itself has to say; the log file
    in the work directory has everything.
    """

    _resumed: dict[str, Any] | None = None
    _load_from: str | None
    _randomness_cfg: dict[str, Any]

    @property
    def is_training_run(self) -> bool:
        """Whether this run trains, so that a validation is one of many."""
        return self._train_loop is not None

    def build_logger(
        self, log_level: int | str = 'INFO', log_file: str | None = None, **kwargs: Any
    ) -> MMLogger:
        """Build mmengine's logger and keep the noise in its file."""
        logger = super().build_logger(log_level, log_file, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(_is_heard)
                handler.setFormatter(_TerminalFormatter())
        return logger

    def build_visualizer(self, visualizer: Any = None) -> Any:
        """Build the writer of scalars under a name of its own.

        With the usual ``name='visualizer'`` mmengine would hand the next run of this process the writer of the
        first, and its scalars would go into the first one's folder.
        """
        if isinstance(visualizer, dict):
            visualizer = {**visualizer, 'name': self.experiment_name}
        return super().build_visualizer(visualizer)

    def dump_config(self) -> None:
        """Write the config into the work directory, of a training only.

        An evaluation in the folder of a training would put its shortened config in the place of the whole one.
        """
        if self.is_training_run:
            super().dump_config()

    def scalar_files(self) -> list[Path]:
        """Return the ``scalars.json`` of this run, preceded by those of the runs that it resumed."""
        own = Path(self.log_dir) / 'vis_data' / 'scalars.json'
        if not self._resume:
            return [own]
        # mmengine names a run's folder by its start time.
        return sorted(path for path in Path(self.work_dir).glob('*/vis_data/scalars.json'))

    def _init_model_weights(self) -> None:
        # A resumed run overwrites every weight: no need for the network that ImageNet weights come from.
        if not self._resume:
            super()._init_model_weights()

    def train(self) -> nn.Module:
        """Train, or go on with a training."""
        if self._resume:
            self._load_from = self._load_from or str(last_checkpoint(self.work_dir))
            self._resumed = read_checkpoint(self._load_from)
            self._take_seed(self._resumed)
        return super().train()

    def _take_seed(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on with the random numbers of the earlier run.

        mmengine does so after the data loaders have been built with a new seed, and then skips the first images
        of an order that the earlier run never had.
        """
        seed = (checkpoint.get('meta') or {}).get('seed')
        wanted = self._randomness_cfg.get('seed')
        if seed is None:
            return
        if wanted is not None and wanted != seed:
            self.logger.warning(f'the seed is that of the resumed run, {seed}, not {wanted}')
        self._randomness_cfg = {**self._randomness_cfg, 'seed': seed}
        self.set_randomness(**self._randomness_cfg)

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Continue from a checkpoint of an earlier run.

        Raises:
            CheckpointError: the file cannot be read, does not fit, or holds weights only.
        """
        super().resume(filename, *args, **kwargs)
        self.logger.info(f'resumed from {filename} at iteration {self.iter}')

    def load_checkpoint(
        self,
        filename: str,
        map_location: Any = 'cpu',
        strict: bool = False,
        revise_keys: Sequence[tuple[str, str]] = (),
    ) -> dict[str, Any]:
        """Load a segmentor's weights and return what the file holds.

        Args:
            filename: path or http(s) address, any format that :func:`swinseg.checkpoints.load_weights` knows.
            map_location: where the returned tensors are put.
            strict: whether the decode head must be filled too. It always must be for resuming.
            revise_keys: must be empty; the format of the file is detected.

        Raises:
            CheckpointError: the file cannot be read or does not fit.
        """
        if revise_keys:
            raise ConfigError('revise_keys is not needed: the format of a checkpoint is detected')
        checkpoint = self._resumed or read_checkpoint(filename, map_location=map_location)
        self._resumed = None
        if self._resume:
            lacking = [key for key in ('optimizer', 'message_hub', 'meta') if key not in checkpoint]
            if lacking:
                raise CheckpointError(
                    f'{filename} has no {" and no ".join(lacking)}, so training cannot go on from it; resume '
                    f'from an iter_*.pth file, or start a new run from its weights with load_from={filename!r}'
                )
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        load_weights(self.bare_model, checkpoint, strict=strict or self._resume, name=filename)
        self._has_loaded = True
        return checkpoint

    @property
    def bare_model(self) -> nn.Module:
        """The segmentor, without the wrappers for several processes and for test-time augmentation."""
        model = self.model
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        return model

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """Write a checkpoint under a temporary name and rename it when it is complete.

        Raises:
            OutputError: the file cannot be written; an older file of that name is still there.
        """
        if not is_main_process():
            return
        if '://' in out_dir:  # a storage service, whose uploads appear when they are complete
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        with atomic_path(Path(out_dir) / filename) as temporary:
            super().save_checkpoint(out_dir, temporary.name, *args, **kwargs)


def train(
    cfg: Config,
    *,
    work_dir: str | Path | None = None,
    resume: bool | str | Path = False,
    amp: bool = False,
    seed: int | None = None,
    launcher: str = 'none',
    check: bool = True,
) -> Training:
    """Train what a config describes.

    Args:
        cfg: as :func:`swinseg.engine.config.load_config` returns it; it is not changed.
        work_dir: folder for checkpoints, logs and curves; None takes the config's, or
            ``work_dirs/<name of the config>``.
        resume: True continues from the last checkpoint in the work directory, a path from that file.
        amp: mixed precision: bfloat16 on a CPU, float16 with loss scaling on a GPU.
        seed: of the random numbers; None draws one, which the log and the checkpoints name.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``, how this process was started.
        check: whether the files of the training and validation sets are checked first.

    Raises:
        UserError: config, data, weights or the work directory are not as they should be, or the loss
            became nan; the message says what to change.
    """
    cfg = copy.deepcopy(cfg)
    _require(cfg, ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper'), 'training')
    folder = _set_work_dir(cfg, work_dir)
    cfg.launcher = launcher
    if seed is not None:
        cfg.randomness = {**cfg.get('randomness', {}), 'seed': seed}
    if resume:
        cfg.resume = True
        cfg.load_from = str(last_checkpoint(folder) if resume is True else resume)
    _set_precision(cfg, amp)
    if launcher != 'none' and torch.cuda.is_available():
        # BatchNorm over 2 images is noise; over all processes' images it is the published setting.
        cfg.setdefault('sync_bn', 'torch')
    with _plain_messages():
        summaries = []
        for what in ('train', 'val') if check else ():
            if cfg.get(f'{what}_dataloader') is not None:
                summary = check_before_training(_build_dataset(cfg, f'{what}_dataloader'))
                summaries.append(f'{what} set: {str(summary).splitlines()[0]}')
        runner = _build_runner(cfg)
        for line in summaries:
            runner.logger.info(line)
        _tell_batch_size(runner)
        runner.train()
    info = runner.message_hub.runtime_info
    return Training(
        work_dir=folder,
        iterations=runner.iter,
        best=_path_or_none(info.get('best_ckpt')),
        best_score=info.get('best_score'),
        last=_path_or_none(info.get('last_ckpt')),
    )


def evaluate(
    cfg: Config,
    checkpoint: str | Path,
    *,
    tta: bool = False,
    out: str | Path | None = None,
    work_dir: str | Path | None = None,
    launcher: str = 'none',
) -> dict[str, float]:
    """Evaluate a checkpoint on a config's test set and return aAcc, mIoU, mAcc, ... in percent.

    The arguments are those of :func:`evaluate_in_full`, which returns the figures per class as well.
    """
    result = evaluate_in_full(
        cfg, checkpoint, tta=tta, out=out, work_dir=work_dir, launcher=launcher
    )
    return result.metrics


def evaluate_in_full(
    cfg: Config,
    checkpoint: str | Path,
    *,
    tta: bool = False,
    out: str | Path | None = None,
    work_dir: str | Path | None = None,
    launcher: str = 'none',
) -> Evaluation:
    """Evaluate a checkpoint on a config's test set.

    Args:
        cfg: as :func:`swinseg.engine.config.load_config` returns it; it is not changed.
        checkpoint: path or http(s) address of a segmentor's weights in any known format.
        tta: whether the scales and flips of the config's ``tta_pipeline`` are averaged.
        out: folder for ``metrics.json``; None takes the work directory.
        work_dir: folder for the log; None takes the config's, or ``work_dirs/<name of the config>``.
        launcher: as for :func:`train`.

    Raises:
        UserError: config, data or weights are not as they should be, or a folder cannot be written.
    """
    cfg = copy.deepcopy(cfg)
    _require(cfg, ('model', 'test_dataloader', 'test_cfg', 'test_evaluator'), 'testing')
    folder = _set_work_dir(cfg, work_dir)
    target = folder if out is None else make_folder(out)
    protocol = Protocol.from_config(cfg, tta=tta)
    if tta:
        _set_test_time_augmentation(cfg)
    cfg.launcher = launcher
    cfg.resume, cfg.load_from = False, None
    # The training set need not be here.
    cfg.train_dataloader = cfg.train_cfg = cfg.optim_wrapper = cfg.param_scheduler = None
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    with _plain_messages():
        dataset = _build_dataset(cfg, 'test_dataloader')
        runner = _build_runner(cfg)
        content = runner.load_checkpoint(str(checkpoint), strict=True)
        _check_classes(checkpoint_meta(content)['classes'], dataset.metainfo['classes'], checkpoint)
        del content
        started = time.perf_counter()
        metrics = runner.test()
        seconds = time.perf_counter() - started
    reports = [getattr(metric, 'last_report', None) for metric in runner.test_evaluator.metrics]
    report = next((found for found in reports if found is not None), None)
    if report is not None and is_main_process():
        extra = {
            'config': str(cfg.filename),
            'checkpoint': str(checkpoint),
            'images': len(dataset),
            'seconds': round(seconds, 2),
        }
        write_json(target / 'metrics.json', report, protocol=protocol, extra=extra)
    return Evaluation(dict(metrics), report, protocol, len(dataset), seconds)


def last_checkpoint(work_dir: str | Path) -> Path:
    """Return the checkpoint that a training in ``work_dir`` can be resumed from.

    Raises:
        CheckpointError: there is none.
    """
    folder = Path(work_dir)
    with contextlib.suppress(OSError):
        # The file names an absolute path, which is wrong when the folder was moved, and is empty after a
        # kill at the wrong moment.
        named = Path((folder / 'last_checkpoint').read_text(encoding='utf-8').strip() or '.').name
        if named and (folder / named).is_file():
            return folder / named
    numbered = [
        (int(match[1]), path)
        for path in folder.glob('iter_*.pth')
        if (match := re.fullmatch(r'iter_(\d+)\.pth', path.name))
    ]
    if not numbered:
        raise CheckpointError(
            f'there is no checkpoint to resume from in {folder}; leave --resume out, or name a file'
        )
    return max(numbered)[1]


def _build_runner(cfg: Config) -> SwinsegRunner:
    if cfg.launcher != 'none' and not torch.cuda.is_available():
        raise ConfigError(
            f'--launcher {cfg.launcher} starts one process per GPU, but PyTorch sees none; leave --launcher out'
        )
    # mmengine finds loggers and scalars by this name and a time in whole seconds: two runs of one config
    # within a second would share them.
    name = cfg.get('experiment_name') or Path(cfg.filename or 'unnamed').stem
    cfg.experiment_name = f'{name}_{next(_run_number)}'
    return SwinsegRunner.from_cfg(cfg)


def _require(cfg: Config, keys: Sequence[str], purpose: str) -> None:
    lacking = [key for key in keys if cfg.get(key) is None]
    if lacking:
        raise ConfigError(f'{purpose} needs {", ".join(lacking)} in {cfg.filename or "the config"}')


def _set_work_dir(cfg: Config, work_dir: str | Path | None) -> Path:
    name = Path(cfg.filename).stem if cfg.filename else 'unnamed'
    folder = make_folder(work_dir or cfg.get('work_dir') or Path('work_dirs') / name)
    cfg.work_dir = str(folder)
    return folder


def _set_precision(cfg: Config, amp: bool) -> None:
    """Choose the optimiser wrapper: mmengine's for mixed precision refuses to run on a CPU."""
    wrapper = cfg.optim_wrapper
    on_gpu = torch.cuda.is_available()
    kind = wrapper.get('type', 'OptimWrapper')
    if amp and kind == 'OptimWrapper':
        kind = 'AmpOptimWrapper'
        if on_gpu:
            wrapper.loss_scale = 'dynamic'
    elif amp and kind not in ('AmpOptimWrapper', 'AutocastOptimWrapper'):
        raise ConfigError(
            f'--amp works with optim_wrapper.type=OptimWrapper, the config has {kind}; leave --amp out'
        )
    if kind == 'AmpOptimWrapper' and not on_gpu:
        kind = 'AutocastOptimWrapper'
        wrapper.pop('loss_scale', None)
        wrapper.pop('use_fsdp', None)
        wrapper.dtype = 'bfloat16'
    wrapper.type = kind


def _set_test_time_augmentation(cfg: Config) -> None:
    if cfg.get('tta_model') is None:
        raise ConfigError(
            f"--tta needs tta_model=dict(type='SegTTAModel') in {cfg.filename or 'the config'}"
        )
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    if cfg.model.type == 'SwinSegmentor':
        cfg.model.keep_scores = True  # they are what is averaged
    cfg.model = {**cfg.tta_model, 'module': cfg.model}


def _build_dataset(cfg: Config, loader: str) -> Any:
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    dataset = DATASETS.build(cfg[loader]['dataset'])
    model = cfg.model.get('module', cfg.model)
    check_num_classes(model, dataset.metainfo['classes'], name=cfg.filename or 'the config')
    return dataset


def _check_classes(
    found: Sequence[str] | None, expected: Sequence[str], checkpoint: str | Path
) -> None:
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


def _tell_batch_size(runner: SwinsegRunner) -> None:
    expected = (runner.cfg.get('auto_scale_lr') or {}).get('base_batch_size')
    per_process = runner.cfg.train_dataloader.get('batch_size')
    if expected is None or per_process is None:
        return
    total = per_process * get_world_size()
    if total != expected and not runner.cfg.auto_scale_lr.get('enable', False):
        runner.logger.warning(
            f'the learning rate of this config is meant for a batch of {expected}, this run has {total}; set '
            f'train_dataloader.batch_size={expected // get_world_size() or 1} or auto_scale_lr.enable=True'
        )


def _path_or_none(path: str | None) -> Path | None:
    return None if path is None else Path(path)


@contextlib.contextmanager
def _plain_messages() -> Iterator[None]:
    """Take mmengine's "class `ADE20K` in swinseg/datasets/ade20k.py: " off the message of a user's error.

    Warnings of the mm packages about each other's old names are left out too.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', module=r'(mmseg|mmcv|mmengine)\.')
            yield
    except UserError as error:
        text = _BUILDER_PREFIX.sub('', str(error))
        if text == str(error):
            raise
        raise type(error)(text) from error


def _is_heard(record: logging.LogRecord) -> bool:
    if record.levelno >= logging.WARNING:
        return not record.getMessage().startswith(_NOISE)
    frame = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get('__name__', '')
        if module != 'logging' and not module.startswith('mmengine.logging'):
            return module.startswith(_HEARD)
        frame = frame.f_back  # type: ignore[assignment]
    return False


class _TerminalFormatter(logging.Formatter):
    """The bare message, with ``warning:`` before one, in a line of its own beside a live progress line."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if record.levelno >= logging.WARNING:
            text = f'{record.levelname.lower()}: {text}'
        return f'{CLEAR_LINE}{text}' if sys.stdout.isatty() else text
