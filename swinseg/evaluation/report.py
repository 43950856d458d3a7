"""The result of an evaluation: figures per class, the headline, and the protocol that produced
them.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinseg import files
from swinseg.config.pipelines import pipeline_of
from swinseg.evaluation import confusion
from swinseg.evaluation.confusion import EvaluationError, Matrix, Rates
from swinseg.type_names import has_type
from swinseg.versions import installed_versions

METRICS = ('mIoU', 'mDice', 'mFscore')
"""What can be asked for; aAcc always comes with it, and mAcc, mPrecision, mRecall with theirs."""

PACKAGES = (
    'swinseg', 'torch', 'numpy', 'mmengine', 'mmcv', 'mmcv-lite', 'mmsegmentation', 'onedl-mmengine', 'onedl-mmcv',
    'onedl-mmsegmentation',
)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """Figures of one evaluation.

    Attributes:
        classes: K names.
        matrix: (K, K) int64 confusion matrix, ``[label, prediction]``.
        headline: aAcc, mIoU, mAcc, ... in percent, rounded to two decimals as mmseg does.
        per_class: column name (IoU, Acc, Dice, Fscore, Precision, Recall) -> (K,) float64 in [0, 1]
            or nan.
    """

    classes: tuple[str, ...]
    matrix: Matrix
    headline: dict[str, float]
    per_class: dict[str, Rates]

    @property
    def labeled_pixels(self) -> NDArray[np.int64]:
        """(K,) pixels of each class in the labels."""
        return self.matrix.sum(1)

    @property
    def predicted_pixels(self) -> NDArray[np.int64]:
        """(K,) pixels of each class in the predictions."""
        return self.matrix.sum(0)

    @property
    def right_pixels(self) -> NDArray[np.int64]:
        """(K,) pixels of each class in both."""
        return self.matrix.diagonal()

    @property
    def pixel_share(self) -> Rates:
        """(K,) each class's share of the labeled pixels."""
        of_label = self.labeled_pixels
        return of_label / max(int(of_label.sum()), 1)

    @property
    def remarks(self) -> list[str]:
        """Sentences below the table."""
        return []


class AnyReport(typing.Protocol):
    """What tables and files are made of: a :class:`Report`, or one of several classes at a pixel."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names."""

    @property
    def headline(self) -> dict[str, float]:
        """Figures in percent."""

    @property
    def per_class(self) -> dict[str, Rates]:
        """Figures of each class in [0, 1]."""

    @property
    def labeled_pixels(self) -> NDArray[np.int64]:
        """Of each class in the labels."""

    @property
    def predicted_pixels(self) -> NDArray[np.int64]:
        """Of each class in the predictions."""

    @property
    def right_pixels(self) -> NDArray[np.int64]:
        """Of each class in both."""

    @property
    def pixel_share(self) -> Rates:
        """Of each class in the pixels that count."""

    @property
    def remarks(self) -> list[str]:
        """Sentences below the table."""


@dataclass(frozen=True)
class Protocol:
    """How the predictions were made; an mIoU means nothing without it.

    Attributes:
        scale: the ``scale`` of the test pipeline's Resize, (long side, short side) or (width,
            height); None when images keep their own size.
        keep_ratio: whether ``scale`` bounds the image without distorting it.
        ratios: factors on ``scale`` that are averaged; (1.0,) for a single scale.
        flip: whether mirrored images are averaged in.
        window: (height, width) of the sliding window; None for whole images.
        stride: (height, width) step of the window; None for whole images.
    """

    scale: tuple[int, int] | None = None
    keep_ratio: bool = True
    ratios: tuple[float, ...] = (1.0,)
    flip: bool = False
    window: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None

    @classmethod
    def from_config(cls, cfg: Mapping[str, Any], *, tta: bool = False) -> Protocol:
        """Read the protocol from a config's test pipeline, ``model.test_cfg`` and, with ``tta``,
        ``tta_pipeline``.

        Raises:
            EvaluationError: ``tta`` is asked for and the config has no ``tta_pipeline``.
        """
        test_cfg = cfg['model'].get('test_cfg') or {}
        window, stride = None, None
        if test_cfg.get('mode', 'whole') == 'slide':
            window, stride = _pair(test_cfg['crop_size']), _pair(test_cfg['stride'])
        resize = next((step for step in pipeline_of(cfg) if has_type(step, 'Resize')), {})
        scale = _pair(resize['scale']) if resize.get('scale') is not None else None
        keep_ratio = bool(resize.get('keep_ratio', False))
        ratios: tuple[float, ...] = (float(resize.get('scale_factor') or 1.0),)
        flip = False
        if tta:
            scale, ratios, flip = _augmentation(cfg, scale)
        return cls(
            scale=scale,
            keep_ratio=keep_ratio,
            ratios=ratios,
            flip=flip,
            window=window,
            stride=stride,
        )

    def __str__(self) -> str:
        size = "the image's own size"
        if self.scale is not None:
            kept = 'ratio kept' if self.keep_ratio else 'distorted'
            size = f'{self.scale[0]} x {self.scale[1]} ({kept})'
        factors = ', '.join(f'{ratio:g}' for ratio in self.ratios)
        scales = f'single scale {size}' if factors == '1' else f'scales {factors} of {size}'
        inference = 'whole image'
        if self.window is not None and self.stride is not None:
            inference = (
                f'window {self.window[0]} x {self.window[1]}, '
                f'stride {self.stride[0]} x {self.stride[1]}'
            )
        flips = 'horizontal flip averaged' if self.flip else 'no flip'
        return f'{scales}; {inference}; {flips}'


def _pair(value: Any) -> tuple[int, int]:
    first, second = (value, value) if isinstance(value, int) else value
    return int(first), int(second)


def _augmentation(
    cfg: Mapping[str, Any], scale: tuple[int, int] | None
) -> tuple[tuple[int, int] | None, tuple[float, ...], bool]:
    """Return (base scale, factors on it, whether flips are averaged) of ``tta_pipeline``."""
    groups = [
        group
        for step in cfg.get('tta_pipeline') or ()
        if has_type(step, 'TestTimeAug')
        for group in step['transforms']
    ]
    if not groups:
        raise EvaluationError(
            'test-time augmentation needs a tta_pipeline with a TestTimeAug step, '
            'but the config has none; add one as in the ADE20K base config'
        )
    steps = [step for group in groups for step in group]
    resizes = [step for step in steps if has_type(step, 'Resize')]
    flip = any(has_type(step, 'RandomFlip') and step.get('prob') == 1 for step in steps)
    sizes = [_pair(step['scale']) for step in resizes if step.get('scale') is not None]
    if sizes:
        base = scale or sizes[0]
        return base, tuple(round(size[1] / base[1], 3) for size in sizes), flip
    # A Resize with only a factor multiplies the image's own size, not the test pipeline's scale.
    factors = tuple(float(step.get('scale_factor', 1.0)) for step in resizes)
    return (None, factors, flip) if factors else (scale, (1.0,), flip)


def make_report(
    matrix: Matrix,
    classes: Sequence[str],
    *,
    metrics: Sequence[str] = ('mIoU',),
    nan_to_num: float | None = None,
    beta: float = 1.0,
) -> Report:
    """Compute the figures of a confusion matrix with mmseg's names, rounding and rule for absent
    classes.

    Args:
        matrix: (K, K) int64, ``[label, prediction]``.
        classes: K names.
        metrics: some of ``mIoU`` (with mAcc), ``mDice`` (with mAcc), ``mFscore`` (with mPrecision,
            mRecall).
        nan_to_num: replaces undefined rates before the means are taken; None leaves them out of the
            means. With 0 the mIoU is that of the ADE20K authors' evaluation, which counts a class
            that occurs nowhere as 0.
        beta: weight of recall in the F-score.

    Raises:
        EvaluationError: a metric's name is unknown, or the names do not match the matrix.
    """
    check_metrics(metrics)
    if len(classes) != len(matrix):
        raise EvaluationError(
            f'{len(matrix)} classes were counted, but {len(classes)} class names were given; '
            'give one name per class'
        )
    per_class: dict[str, Rates] = {}
    for name in metrics:
        if name == 'mIoU':
            per_class |= {'IoU': confusion.iou(matrix), 'Acc': confusion.accuracy(matrix)}
        elif name == 'mDice':
            per_class |= {'Dice': confusion.dice(matrix), 'Acc': confusion.accuracy(matrix)}
        else:
            per_class |= {
                'Fscore': confusion.f_score(matrix, beta=beta),
                'Precision': confusion.precision(matrix),
                'Recall': confusion.recall(matrix),
            }
    total = confusion.pixel_accuracy(matrix)
    if nan_to_num is not None:
        per_class = {k: np.nan_to_num(rates, nan=nan_to_num) for k, rates in per_class.items()}
        total = nan_to_num if math.isnan(total) else total
    headline = {'aAcc': percent(total)}
    headline |= {f'm{k}': percent(confusion.mean_over_classes(v)) for k, v in per_class.items()}
    return Report(tuple(classes), matrix, headline, per_class)


def check_metrics(metrics: Sequence[str]) -> None:
    """Raise EvaluationError when ``metrics`` names one that does not exist."""
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or not metrics:
        raise EvaluationError(
            f'iou_metrics must name some of {", ".join(METRICS)}, but {list(metrics)} was given'
        )


def percent(rate: float) -> float:
    """Return a rate in [0, 1] as percent with two decimals."""
    return float(np.round(rate * 100, 2))


def format_metrics(metrics: Mapping[str, Any]) -> str:
    """Return a metric's numbers in one line, ``aAcc 16.24  mIoU 2.99``; what else it returns is left out.

    mmseg's rounds in float32, whose 0.01 is 0.009999999776482582.
    """
    return '  '.join(
        f'{name} {value:.2f}'
        for name, value in metrics.items()
        if isinstance(value, float | np.floating)
    )


def format_table(
    report: AnyReport,
    classes: Sequence[str] | None = None,
    *,
    protocol: Protocol | str | None = None,
) -> str:
    """Lay out a report as text: one line per class, the headline, the rule for absent classes, the
    protocol.

    Args:
        report: what :func:`make_report` gave.
        classes: other names to print, K of them; None prints the report's own.
        protocol: printed beside the headline when given.

    Returns:
        Several lines without a trailing newline. Rates are in percent, ``-`` where undefined;
        "Pixels" is the class's share of the labeled pixels.
    """
    names = report.classes if classes is None else tuple(classes)
    share = report.pixel_share
    header = ['Class', *report.per_class, 'Pixels']
    rows = [
        [name, *(_cell(rates[i]) for rates in report.per_class.values()), f'{100 * share[i]:.2f}%']
        for i, name in enumerate(names)
    ]
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        numbers = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        return '  '.join([cells[0].ljust(widths[0]), *numbers]).rstrip()

    rule = '-' * len(line(['', *('' for _ in header[1:-1]), 'x' * widths[-1]]))
    text = [line(header), rule, *(line(row) for row in rows), rule]
    text.append('  '.join(f'{name} {_number(value)}' for name, value in report.headline.items()))
    absent = [np.isnan(rates).sum() for name, rates in report.per_class.items() if name == 'IoU']
    if absent and absent[0]:
        text.append(
            f'{absent[0]} of {len(names)} classes occur in neither labels nor predictions '
            'and are left out of mIoU'
        )
    text += report.remarks
    if protocol is not None:
        text.append(f'protocol: {protocol}')
    return '\n'.join(text)


def _cell(rate: float) -> str:
    return '-' if math.isnan(rate) else f'{percent(rate):.2f}'


def _number(value: float) -> str:
    return 'undefined' if math.isnan(value) else f'{value:.2f}'


def to_dict(report: AnyReport, *, protocol: Protocol | str | None = None) -> dict[str, Any]:
    """Return a report as plain values that JSON can hold: protocol, headline, per class, versions.

    Headline figures and class rates are in percent; an undefined one is None. Pixels are counts.
    """
    thresholds = getattr(report, 'thresholds', None)
    per_class = [
        {
            'class': name,
            **{column: _json_percent(rates[i]) for column, rates in report.per_class.items()},
            'labeled_pixels': int(report.labeled_pixels[i]),
            'predicted_pixels': int(report.predicted_pixels[i]),
            'right_pixels': int(report.right_pixels[i]),
            **({} if thresholds is None else {'threshold': thresholds[i]}),
        }
        for i, name in enumerate(report.classes)
    ]
    return {
        'protocol': _protocol_dict(protocol),
        'headline': {k: None if math.isnan(v) else v for k, v in report.headline.items()},
        'per_class': per_class,
        'versions': versions(),
    }


def _json_percent(rate: float) -> float | None:
    return None if math.isnan(rate) else round(100 * float(rate), 4)


def _protocol_dict(protocol: Protocol | str | None) -> dict[str, Any] | None:
    if protocol is None:
        return None
    fields = dataclasses.asdict(protocol) if isinstance(protocol, Protocol) else {}
    return {'text': str(protocol), **fields}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a figure may depend on, where
    installed.
    """
    return {'python': platform.python_version(), **installed_versions(PACKAGES)}


METRICS_MARK = '"headline": {'
"""Stands near the beginning of what :func:`write_json` writes."""


def write_json(
    path: str | os.PathLike[str],
    report: AnyReport,
    *,
    protocol: Protocol | str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write :func:`to_dict` to ``path``, with the entries of ``extra`` (config, checkpoint, ...)
    put first.

    Raises:
        OutputError: the file cannot be written.
    """
    content = {**(extra or {}), **to_dict(report, protocol=protocol)}
    files.write_text(path, json.dumps(content, indent=2, allow_nan=False) + '\n')
