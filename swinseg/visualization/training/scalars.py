"""The figures of a training, as mmengine's ``LocalVisBackend`` writes them into ``scalars.json``.

That file has one JSON object per line. Training lines hold ``loss``, its parts (``decode.loss_ce``, ...),
``lr``, ``images_per_second``, ``memory`` and ``step``, and, of a training that counts epochs, ``epochs``, the
passes over the training set so far; validation lines hold ``mIoU``, ``aAcc``, ``val_loss``, ... or
``IoU/<class>``, and ``step``, the iteration at which they were taken.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from swinseg.visualization.palette import VisualizationError

Series = dict[int, float]
"""Value at each iteration."""

VALIDATION_LOSS = 'val_loss'
"""Name of the loss of a validation, in logs and among its figures."""
_IOU_OF_CLASS = 'IoU/'


def find_scalars(work_dir: str | os.PathLike[str]) -> list[Path]:
    """Return the ``scalars.json`` of every run in a work folder, the oldest first."""
    # mmengine names a run's folder by its start, YYYYMMDD_HHMMSS, so names sort by time.
    # Path.glob raises for a name that is too long for any folder.
    folder = Path(work_dir)
    return sorted(folder.glob('*/vis_data/scalars.json')) if os.path.isdir(folder) else []


def scalars_of(run: str | os.PathLike[str]) -> list[Path]:
    """Return the logs of what a user names as a run, the oldest first.

    Args:
        run: a work directory, the folder of one of its runs, or a ``scalars.json``.

    Raises:
        VisualizationError: no log is there.
    """
    path = Path(run)
    own = path / 'vis_data' / 'scalars.json'
    found = [path] if os.path.isfile(path) else [own] if os.path.isfile(own) else find_scalars(path)
    if not found:
        raise VisualizationError(
            f'no training log was found in {path}: give the work directory of swinseg train, or the '
            'scalars.json of a run (WORK_DIR/TIMESTAMP/vis_data/scalars.json)'
        )
    return found


def read_scalars(paths: Sequence[str | os.PathLike[str]]) -> dict[str, Series]:
    """Read and join the logs of one training and its resumptions.

    A resumed run repeats the iterations since its checkpoint: from its first iteration on it
    replaces what the earlier files say. Where only one file is given nothing is dropped.

    Args:
        paths: ``scalars.json`` files, in the order of the runs.

    Returns:
        Name -> {iteration: value}, iterations ascending, for every number in the files. A line that
        a kill cut short is left out.

    Raises:
        VisualizationError: a file cannot be read.
    """
    joined: dict[str, Series] = {}
    for path in paths:
        run = _read_run(path)
        if not run:
            continue
        first = min(min(series) for series in run.values())
        for name in list(joined):
            joined[name] = {step: value for step, value in joined[name].items() if step < first}
        for name, series in run.items():
            joined.setdefault(name, {}).update(series)
    return {name: dict(sorted(series.items())) for name, series in joined.items() if series}


def _read_run(path: str | os.PathLike[str]) -> dict[str, Series]:
    try:
        lines = Path(path).read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise VisualizationError(
            f'cannot read the training log {os.fspath(path)}: {error}; '
            'give the scalars.json of a run (WORK_DIR/TIMESTAMP/vis_data/scalars.json)'
        ) from error
    run: dict[str, Series] = {}
    for line in lines:
        record = _parse(line)
        step = record.pop('step', None)
        # A validation outside of training is logged at iteration 0.
        if isinstance(step, int) and step > 0:
            for name, value in record.items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    run.setdefault(name, {})[step] = float(value)
    return run


def _parse(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return record if isinstance(record, dict) else {}


def losses_in(series: Mapping[str, Series]) -> dict[str, Series]:
    """Return ``loss`` and its parts."""
    return {
        name: values
        for name, values in series.items()
        if name == 'loss'
        or (name.split('.')[-1].startswith('loss_') and not name.startswith('val_'))
    }


def metric_in(series: Mapping[str, Series], name: str) -> Series:
    """Return a figure of the validations, such as ``'mIoU'``, whatever the metric's prefix; empty without any."""
    return next(
        (values for key, values in series.items() if key == name or key.endswith(f'/{name}')), {}
    )


def iterations_per_epoch(series: Mapping[str, Series]) -> float | None:
    """Return how long an epoch is in a training that counts epochs, None in one that counts iterations.

    Where a resumed run has epochs of another length, it is the mean over the training.
    """
    epochs = series.get('epochs')
    if not epochs:
        return None
    step, passes = list(epochs.items())[-1]
    return step / passes if passes > 0 else None


def best_of(metric: Series) -> tuple[int, float] | None:
    """Return iteration and value of the highest finite value; None without any."""
    finite = [(step, value) for step, value in metric.items() if math.isfinite(value)]
    return max(finite, key=lambda pair: pair[1], default=None)


def class_iou_scalars(classes: Sequence[str], ious: Iterable[float]) -> dict[str, float]:
    """Return the IoU of each class under the name that logs have for it.

    Args:
        classes: K names. What MLflow refuses in the name of a figure becomes ``_``.
        ious: K values in [0, 1]; nan of an absent class is left out.

    Returns:
        ``IoU/<class>`` -> percent, rounded to two decimals as mIoU is.
    """
    scalars: dict[str, float] = {}
    for index, (name, iou) in enumerate(zip(classes, ious, strict=True)):
        key = _IOU_OF_CLASS + re.sub(r'[^\w.\- :/]', '_', name)
        if math.isfinite(iou):
            scalars[f'{key} {index}' if key in scalars else key] = round(100 * float(iou), 2)
    return scalars


def class_ious_in(series: Mapping[str, Series]) -> dict[str, Series]:
    """Return the IoU of each class in percent at the validations, by the classes' names."""
    return {
        name.removeprefix(_IOU_OF_CLASS): values
        for name, values in series.items()
        if name.startswith(_IOU_OF_CLASS)
    }
