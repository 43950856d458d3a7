"""The curves of one training: losses, validation figures, learning rate, speed and memory."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from swinseg.visualization.palette import VisualizationError
from swinseg.visualization.training.curve_panels import (
    FIGURES_OF_STEPS,
    HIGH,
    LOW,
    Panel,
    draw_line,
    label_figure_of_steps,
    legend_above,
    save_panels,
    scale_losses,
)
from swinseg.visualization.training.scalars import (
    VALIDATION_LOSS,
    Series,
    best_of,
    iterations_per_epoch,
    losses_in,
    metric_in,
    read_scalars,
)

_STRONG = '#1f4e79'
_WEAK = ('#c55a11', '#548235', '#7f6000', '#7030a0', '#806000')
_METRICS = {'mIoU': (_STRONG, 1.6), 'mAcc': (_WEAK[1], 0.9), 'aAcc': (_WEAK[0], 0.9)}
"""Color and line width of the figures of a validation."""


def plot_curves(
    scalars: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
) -> None:
    """Draw what a training's log has over the iterations into a PNG.

    That is the losses, mIoU, mAcc and aAcc in percent, the learning rate, images per second, and memory in MiB.
    The curves of a training that counts epochs are drawn over these.

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
    losses, epoch = losses_in(series), iterations_per_epoch(series)
    validation_loss = metric_in(series, VALIDATION_LOSS)
    metrics = {name: found for name in _METRICS if (found := metric_in(series, name))}
    if not losses and not metrics:
        names = ', '.join(os.fspath(item) for item in paths) or 'no file'
        raise VisualizationError(f'no loss and no metric to draw was found in {names}')
    panels = []
    if losses:
        panels.append(
            Panel(functools.partial(_draw_losses, losses=losses, validation=validation_loss), HIGH)
        )
    if metrics:
        panels.append(Panel(functools.partial(_draw_metrics, metrics=metrics, epoch=epoch), HIGH))
    for name in FIGURES_OF_STEPS:
        if name in series:
            draw = functools.partial(_draw_figure_of_steps, name=name, series=series[name])
            panels.append(Panel(draw, LOW))
    save_panels(panels, path, title=title, epoch=epoch)


def _draw_losses(axis: Axes, *, losses: Mapping[str, Series], validation: Series) -> None:
    parts = [name for name in losses if name != 'loss']
    for name, color in zip(parts, _WEAK, strict=False):
        draw_line(axis, losses[name], label=name, color=color, linewidth=0.9)
    if 'loss' in losses:
        draw_line(axis, losses['loss'], label='loss', color=_STRONG, linewidth=1.6)
    if validation:
        draw_line(axis, validation, label='validation loss', color='#000000', linewidth=1.2,
                  marker='o', markersize=3)  # fmt: skip
    scale_losses(axis, [*losses.values(), validation])
    broken = sorted(
        {s for series in losses.values() for s, v in series.items() if not math.isfinite(v)}
    )
    if broken:
        axis.axvline(broken[0], color='red', linestyle=':', label=f'not finite at {broken[0]:,}')
    legend_above(axis)


def _draw_metrics(axis: Axes, *, metrics: Mapping[str, Series], epoch: float | None) -> None:
    for name, series in metrics.items():
        color, width = _METRICS[name]
        draw_line(axis, series, label=name, color=color, linewidth=width, marker='o', markersize=3)
    best = best_of(metrics.get('mIoU', {}))
    if best is not None:
        step, miou = best
        place = f'{step:,}' if epoch is None else f'epoch {step / epoch:.0f}'
        axis.plot(step, miou, marker='*', markersize=11, color=_STRONG, linestyle='none',
                  label=f'best mIoU {miou:.2f}% at {place}')  # fmt: skip
    axis.set_ylim(0, 100)
    axis.set_ylabel('validation, %')
    legend_above(axis)


def _draw_figure_of_steps(axis: Axes, *, name: str, series: Series) -> None:
    draw_line(axis, series, label=name, color='#404040', linewidth=1.2)
    label_figure_of_steps(axis, name)
