"""From logs of trainings to pictures: what ``swinseg plot`` calls."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from swinseg.files import make_folder, require_own
from swinseg.visualization.palette import VisualizationError
from swinseg.visualization.png_files import PLOT_MARK
from swinseg.visualization.training.class_iou import plot_class_iou
from swinseg.visualization.training.curves import plot_curves
from swinseg.visualization.training.run_comparison import plot_class_iou_of_runs, plot_runs
from swinseg.visualization.training.scalars import class_ious_in, read_scalars, scalars_of


def draw_logs(
    runs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    names: Sequence[str] | None = None,
) -> list[Path]:
    """Draw one training, or compare several.

    Args:
        runs: work directories, folders of single runs, or ``scalars.json`` files.
        out: folder for ``curves.png`` and, where the logs have the IoU of classes, ``class_iou.png``.
        names: of the runs in the pictures, as many as runs; None takes the folders' names.

    Returns:
        The files that were written.

    Raises:
        VisualizationError: a log is missing or holds nothing to draw, or the names do not fit.
        OutputError: a file cannot be written, or is there and no plot of swinseg.
    """
    titles = _names(runs, names)
    logs = dict(zip(titles, map(scalars_of, runs), strict=True))
    series = {name: read_scalars(paths) for name, paths in logs.items()}
    curves, classes = (make_folder(out) / name for name in ('curves.png', 'class_iou.png'))
    for path in (curves, classes):
        require_own(path, PLOT_MARK)
    if len(logs) == 1:
        (name,) = logs
        plot_curves(logs[name], curves, title=name)
    else:
        plot_runs(series, curves)
    ious = {name: found for name, of_run in series.items() if (found := class_ious_in(of_run))}
    if not ious:
        return [curves]
    if len(logs) == 1:
        plot_class_iou(ious[name], classes, title=name)
    else:
        plot_class_iou_of_runs(series, classes)
    return [curves, classes]


def _names(runs: Sequence[str | os.PathLike[str]], names: Sequence[str] | None) -> list[str]:
    if names is not None:
        if len(names) != len(runs):
            raise VisualizationError(
                f'--names needs one name per run, but there are {len(names)} names and {len(runs)} runs'
            )
        found = list(names)
    else:
        folders = [Path(run).resolve() for run in runs]
        folders = [run.parent.parent if run.name == 'scalars.json' else run for run in folders]
        found = [folder.name for folder in folders]
        if len(set(found)) < len(found):
            found = [str(folder) for folder in folders]
    twice = next((name for name in found if found.count(name) > 1), None)
    if twice is not None:
        raise VisualizationError(
            f'two runs are named {twice}; give each run once, and --names that differ'
        )
    return found
