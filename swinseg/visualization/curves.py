"""The training curves, drawn from the ``scalars.json`` that mmengine's ``LocalVisBackend`` writes.

That file has one JSON object per line. Training lines hold ``loss``, its parts (``decode.loss_ce``,
...), ``lr`` and ``step``; validation lines hold ``mIoU``, ``aAcc``, ... and ``step``, the iteration
at which they were taken.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from swinseg.files import atomic_path
from swinseg.visualization.palette import VisualizationError

Series = dict[int, float]
"""Value at each iteration."""

_STRONG = '#1f4e79'
_WEAK = ('#c55a11', '#548235', '#7f6000', '#7030a0', '#806000')
_METRIC_NAMES = ('mIoU', 'mAcc', 'aAcc')


def find_scalars(work_dir: str | os.PathLike[str]) -> list[Path]:
    """Return the ``scalars.json`` of every run in a work folder, the oldest first."""
    # mmengine names a run's folder by its start, YYYYMMDD_HHMMSS, so names sort by time.
    return sorted(Path(work_dir).glob('*/vis_data/scalars.json'))


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


def plot_curves(
    scalars: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
) -> None:
    """Draw loss, learning rate and validation figures over the iterations into a PNG.

    Args:
        scalars: a ``scalars.json``, or several of one training and its resumptions, in order.
        path: the PNG; written atomically.
        title: written above the curves.

    Raises:
        VisualizationError: a log cannot be read, or none of them holds a loss or a metric.
        OutputError: the PNG cannot be written.
    """
    paths = [scalars] if isinstance(scalars, str | os.PathLike) else list(scalars)
    series = read_scalars(paths)
    losses = {name: values for name, values in series.items() if _is_loss(name)}
    metrics = {
        name: series[key]
        for name in _METRIC_NAMES
        for key in series
        if key == name or key.endswith(f'/{name}')
    }
    panels = [
        (draw, content)
        for draw, content in (
            (_draw_losses, losses),
            (_draw_metrics, metrics),
            (_draw_learning_rate, {'lr': series['lr']} if 'lr' in series else {}),
        )
        if content
    ]
    if not losses and not metrics:
        names = ', '.join(os.fspath(item) for item in paths) or 'no file'
        raise VisualizationError(f'no loss and no metric to draw was found in {names}')
    heights = [1 if draw is _draw_learning_rate else 2.2 for draw, _ in panels]
    figure = Figure(figsize=(8, 1.0 + 1.15 * sum(heights)), dpi=120, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        len(panels), 1, sharex=True, squeeze=False, gridspec_kw={'height_ratios': heights}
    )[:, 0]
    for axis, (draw, content) in zip(axes, panels, strict=True):
        draw(axis, content)
        axis.grid(color='#e5e5e5', linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[['top', 'right']].set_visible(False)
    axes[-1].set_xlabel('iteration')
    axes[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:,.0f}'))
    axes[-1].set_xlim(left=0)
    if title:
        figure.suptitle(title, fontsize=11)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format='png')


def _is_loss(name: str) -> bool:
    return name == 'loss' or name.split('.')[-1].startswith('loss_')


def _draw_losses(axis: Axes, losses: dict[str, Series]) -> None:
    parts = [name for name in losses if name != 'loss']
    for name, color in zip(parts, _WEAK, strict=False):
        _line(axis, losses[name], label=name, color=color, linewidth=0.9)
    if 'loss' in losses:
        _line(axis, losses['loss'], label='loss', color=_STRONG, linewidth=1.6)
    values = [v for series in losses.values() for v in series.values() if math.isfinite(v)]
    if values and min(values) > 0 and max(values) / min(values) > 30:
        axis.set_yscale('log')
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
        axis.yaxis.set_minor_formatter(NullFormatter())
    else:
        axis.set_ylim(bottom=0)
    broken = sorted(
        {s for series in losses.values() for s, v in series.items() if not math.isfinite(v)}
    )
    if broken:
        axis.axvline(broken[0], color='red', linestyle=':', label=f'not finite at {broken[0]:,}')
    axis.set_ylabel('training loss')
    _legend_above(axis)


def _draw_metrics(axis: Axes, metrics: dict[str, Series]) -> None:
    styles = {'mIoU': (_STRONG, 1.6), 'mAcc': (_WEAK[1], 0.9), 'aAcc': (_WEAK[0], 0.9)}
    for name, series in metrics.items():
        color, width = styles[name]
        _line(axis, series, label=name, color=color, linewidth=width, marker='o', markersize=3)
    finite = {s: v for s, v in metrics.get('mIoU', {}).items() if math.isfinite(v)}
    if finite:
        step = max(finite, key=lambda s: finite[s])
        axis.plot(step, finite[step], marker='*', markersize=11, color=_STRONG, linestyle='none',
                  label=f'best mIoU {finite[step]:.2f}% at {step:,}')  # fmt: skip
    axis.set_ylim(0, 100)
    axis.set_ylabel('validation, %')
    _legend_above(axis)


def _legend_above(axis: Axes) -> None:
    # Inside the axes it would cover the curves, which can be anywhere.
    place = {'loc': 'lower left', 'bbox_to_anchor': (0, 1), 'borderpad': 0.2}
    axis.legend(frameon=False, fontsize=8, ncols=4, **place)


def _draw_learning_rate(axis: Axes, rates: dict[str, Series]) -> None:
    _line(axis, rates['lr'], label='lr', color='#404040', linewidth=1.2)
    axis.set_ylim(bottom=0)
    axis.ticklabel_format(axis='y', style='sci', scilimits=(0, 0))
    axis.set_ylabel('learning rate')


def _line(axis: Axes, series: Series, *, label: str, **style: Any) -> None:
    if len(series) == 1:
        style = {**style, 'marker': 'o'}
    axis.plot(list(series), list(series.values()), label=label, **style)
