"""Several trainings in one picture: their curves, and the IoU of each class at the best validation of each."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swinseg.visualization.palette import VisualizationError
from swinseg.visualization.training.curve_panels import (
    FIGURES_OF_STEPS,
    HIGH,
    LOW,
    Panel,
    draw_line,
    label_figure_of_steps,
    legend_above,
    save_figure,
    save_panels,
    scale_losses,
)
from swinseg.visualization.training.scalars import (
    VALIDATION_LOSS,
    Series,
    best_of,
    class_ious_in,
    metric_in,
)

# Okabe and Ito's colors, which most color-blind people tell apart; further runs get another kind of line.
_COLORS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000')
_LINES = ('-', '--', ':', '-.')
_MARKERS = ('o', 's', '^', 'D')

Runs = Mapping[str, Mapping[str, Series]]
"""Name of a run -> what :func:`swinseg.visualization.training.scalars.read_scalars` gives of it."""


def plot_runs(runs: Runs, path: str | os.PathLike[str], *, title: str | None = None) -> None:
    """Draw loss, mIoU, learning rate, speed and memory of several trainings over each other into a PNG.

    Args:
        runs: the trainings by their names.
        path: the PNG; written atomically.
        title: written above the curves.

    Raises:
        VisualizationError: no run has any of these.
        OutputError: the PNG cannot be written.
    """
    figures = {
        'loss': {name: series.get('loss', {}) for name, series in runs.items()},
        VALIDATION_LOSS: {
            name: metric_in(series, VALIDATION_LOSS) for name, series in runs.items()
        },
        'mIoU': {name: metric_in(series, 'mIoU') for name, series in runs.items()},
        **{
            figure: {name: series.get(figure, {}) for name, series in runs.items()}
            for figure in FIGURES_OF_STEPS
        },
    }
    panels = [
        Panel(
            functools.partial(_draw_runs, figure=figure, of_runs=of_runs),
            LOW if figure in FIGURES_OF_STEPS else HIGH,
        )
        for figure, of_runs in figures.items()
        if any(of_runs.values())
    ]
    if not panels:
        raise VisualizationError(
            f'no loss, mIoU, learning rate, speed or memory was found in the logs of {", ".join(runs)}'
        )
    save_panels(panels, path, title=title)


def _draw_runs(axis: Axes, *, figure: str, of_runs: Mapping[str, Series]) -> None:
    for index, (name, series) in enumerate(of_runs.items()):
        best = best_of(series) if figure == 'mIoU' else None
        label = _shortened(name)
        if best is not None:
            label += f': best {best[1]:.2f}% at {best[0]:,}'
        if series:
            is_of_validations = figure in ('mIoU', VALIDATION_LOSS)
            marker = {'marker': 'o', 'markersize': 3} if is_of_validations else {}
            draw_line(axis, series, label=label, **_style(index), linewidth=1.4, **marker)
    if figure in ('loss', VALIDATION_LOSS):
        scale_losses(axis, of_runs.values())
        axis.set_ylabel('loss' if figure == 'loss' else 'validation loss')
    elif figure == 'mIoU':
        axis.set_ylim(0, 100)
        axis.set_ylabel('validation mIoU, %')
    else:
        label_figure_of_steps(axis, figure)
        return
    legend_above(axis, columns=2)


def _shortened(name: str) -> str:
    # Longer ones, such as paths, would leave no room for the curves.
    return name if len(name) <= 30 else f'…{name[-29:]}'


def _style(index: int) -> dict[str, str]:
    return {
        'color': _COLORS[index % len(_COLORS)],
        'linestyle': _LINES[index // len(_COLORS) % len(_LINES)],
    }


def plot_class_iou_of_runs(
    runs: Runs, path: str | os.PathLike[str], *, title: str | None = None
) -> None:
    """Draw one row per class with a dot for each training into a PNG: the IoU at its validation of the best mIoU.

    The classes on which the runs differ most are on top.

    Args:
        runs: the trainings by their names; those without IoU per class are left out.
        path: the PNG; written atomically.
        title: written above.

    Raises:
        VisualizationError: no run has an IoU per class.
        OutputError: the PNG cannot be written.
    """
    ious = {name: found for name, series in runs.items() if (found := _ious_at_best(series))}
    if not ious:
        raise VisualizationError(f'no IoU per class was found in the logs of {", ".join(runs)}')

    def spread(name: str) -> float:
        values = [of_run[name] for of_run in ious.values() if name in of_run]
        return max(values) - min(values)

    classes = sorted(dict.fromkeys(name for of_run in ious.values() for name in of_run), key=spread)
    figure = Figure(figsize=(8, 1.4 + 0.24 * len(classes)), dpi=120, layout='constrained')
    axis = figure.subplots()
    for index, run in enumerate(runs):  # the colors of plot_runs
        of_run = ious.get(run)
        if of_run is None:
            continue
        rows = [row for row, name in enumerate(classes) if name in of_run]
        axis.plot(
            [of_run[classes[row]] for row in rows],
            rows,
            label=_shortened(run),
            color=_COLORS[index % len(_COLORS)],
            marker=_MARKERS[index // len(_COLORS) % len(_MARKERS)],
            linestyle='none',
            clip_on=False,
        )
    axis.set_yticks(range(len(classes)), classes, fontsize=8)
    axis.set_ylim(-0.7, len(classes) - 0.3)
    axis.set_xlim(0, 100)
    axis.grid(color='#e5e5e5', linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(length=0)
    axis.spines[['top', 'right']].set_visible(False)
    axis.set_xlabel("IoU at each run's best validation, %")
    legend_above(axis, columns=3)
    save_figure(figure, path, title=title)


def _ious_at_best(series: Mapping[str, Series]) -> dict[str, float]:
    """Return the IoU of each class where a run's mIoU is highest."""
    best = best_of(metric_in(series, 'mIoU'))
    if best is None:
        return {}
    found = {name: values.get(best[0], math.nan) for name, values in class_ious_in(series).items()}
    return {name: value for name, value in found.items() if math.isfinite(value)}
