"""The figures that a validation gives, so that hooks that watch one of them can be checked before training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from swinseg.errors import ConfigError, quoted
from swinseg.evaluation.iou_metric import MeanIoUMetric
from swinseg.evaluation.multi_label import HEADLINE, MultiLabelMetric
from swinseg.evaluation.report import make_report
from swinseg.visualization.training.scalars import VALIDATION_LOSS


def validation_metrics(runner: Any) -> tuple[str, ...] | None:
    """Return the names of the figures, None where a metric of another package does not tell before it is used."""
    if runner.val_loop is None:
        return ()
    names: list[str] = []
    for metric in runner.val_evaluator.metrics:
        if type(metric) is MultiLabelMetric:
            headline: tuple[str, ...] = HEADLINE
        elif type(metric) is MeanIoUMetric:
            matrix = np.eye(2, dtype=np.int64)
            headline = tuple(make_report(matrix, ('a', 'b'), metrics=metric.metrics).headline)
        else:
            return None
        names += [f'{metric.prefix}/{name}' if metric.prefix else name for name in headline]
    if runner.cfg.get('validation_loss', False):
        names.append(VALIDATION_LOSS)
    return tuple(dict.fromkeys(names))


def require_metric(name: str, known: Iterable[str], *, setting: str) -> None:
    """Compare the figure that a setting names with those that a validation gives.

    Raises:
        ConfigError: it is none of them.
    """
    known = tuple(known)
    if name in known:
        return
    hint = ''
    if name in ('mIoU', 'mDice', 'mFscore'):
        hint = f'; for {name} add it to val_evaluator.iou_metrics'
    elif name == VALIDATION_LOSS:
        hint = '; for val_loss set validation_loss=True'
    raise ConfigError(
        f'{setting} names {quoted(name)}, but a validation gives {", ".join(known) or "nothing"}{hint}'
    )
