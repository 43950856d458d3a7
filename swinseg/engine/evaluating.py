"""Evaluation of what a config describes: what ``swinseg test`` calls."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process

from swinseg.checkpoints import CheckpointError, checkpoint_meta
from swinseg.config.build_errors import refused_arguments
from swinseg.config.pipelines import pipeline_of
from swinseg.datasets.building import build_dataset, plain_messages
from swinseg.engine.run import build_runner, join_launcher, own_config, require, set_work_dir
from swinseg.engine.runner import SwinsegRunner
from swinseg.engine.visualizers import check_vis_backends
from swinseg.errors import ConfigError
from swinseg.evaluation.report import METRICS_MARK, AnyReport, Protocol, write_json
from swinseg.files import make_folder, require_own
from swinseg.inference.settings import check_inference_settings
from swinseg.models.multi_label import take_thresholds
from swinseg.report.metric import ReportMetric
from swinseg.report.page import SHOWN, check_shown, require_report_folder, write_report
from swinseg.runtimes.opening import is_exported
from swinseg.runtimes.protocol import check_steps
from swinseg.runtimes.segmentor import ExportedSegmentor
from swinseg.type_names import has_type

# Which keep no more than labels and, where they are asked, the confidence.
_OURS = ('SwinSegmentor', 'ExportedSegmentor')


class Evaluation(dict[str, float]):
    """The metrics of an evaluation by name, aAcc, mIoU, mAcc, ... in percent, and what stands behind them.

    Attributes:
        report: figures per class; None when the config's metric is neither ``MeanIoUMetric`` nor
            ``MultiLabelMetric``.
        protocol: scales, flips, window and stride of the predictions.
        images: number of images.
        seconds: wall time of the predictions, loading of the images included.
        page: the report's page; None without a report, and on all processes but the first.
    """

    def __init__(
        self,
        metrics: Mapping[str, float],
        *,
        report: AnyReport | None,
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
    cfg = own_config(config)
    checkpoint = os.fspath(checkpoint)
    require(cfg, ('model', 'test_dataloader', 'test_cfg', 'test_evaluator'), 'testing')
    check_vis_backends(cfg)
    join_launcher(cfg, launcher)
    folder = set_work_dir(cfg, work_dir)
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
        runner = build_runner(cfg)
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


def _fill(
    runner: SwinsegRunner, checkpoint: str, steps: Sequence[Mapping[str, Any]]
) -> Sequence[str] | None:
    """Load the weights, which an exported file has inside, and return the class names that the file knows."""
    model = runner.bare_model
    if isinstance(model, ExportedSegmentor):
        check_steps(model.metadata, steps, name=checkpoint)
        return model.metadata.classes
    meta = checkpoint_meta(runner.load_checkpoint(checkpoint, strict=True))
    take_thresholds(model, meta['config'])
    classes: Sequence[str] | None = meta['classes']
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
    if cfg.model.get('multi_label'):
        raise ConfigError(
            'a report shows models that give each pixel one class, but the model of '
            f'{cfg.filename or "the config"} has multi_label=True; leave --report out'
        )
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
