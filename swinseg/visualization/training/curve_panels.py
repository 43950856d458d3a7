"""Panels of plots over the iterations of a training: one axis, lines, legends, the file."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from swinseg.visualization.png_files import save_plot
from swinseg.visualization.training.scalars import Series

LOW, HIGH = 1.0, 2.2
"""Heights of a panel, relative to each other."""


class Panel(NamedTuple):
    """One panel of a plot: what draws into its axes, and its height."""

    draw: Callable[[Axes], None]
    height: float


FIGURES_OF_STEPS = {
    'lr': 'learning rate',
    'images_per_second': 'images/s',
    'memory': 'memory, MiB',
}
"""What else a log has of the training steps, each with the label of its axis."""


def save_panels(
    panels: Sequence[Panel],
    path: str | os.PathLike[str],
    *,
    title: str | None,
    epoch: float | None = None,
) -> None:
    """Draw panels above each other, the iterations along the x axis, into a PNG.

    Args:
        panels: what draws them.
        path: the PNG; written atomically.
        title: written above.
        epoch: iterations of an epoch, by which the x axis counts then.

    Raises:
        OutputError: the PNG cannot be written.
    """
    heights = [panel.height for panel in panels]
    figure = Figure(figsize=(8, 1.0 + 1.15 * sum(heights)), dpi=120, layout='constrained')
    axes = figure.subplots(
        len(panels), 1, sharex=True, squeeze=False, gridspec_kw={'height_ratios': heights}
    )[:, 0]
    for axis, panel in zip(axes, panels, strict=True):
        panel.draw(axis)
        axis.grid(color='#e5e5e5', linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[['top', 'right']].set_visible(False)
    axes[-1].set_xlabel('iteration' if epoch is None else 'epoch')
    axes[-1].set_xlim(left=0)
    if epoch is None:
        axes[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True))
    else:
        epochs = axes[-1].get_xlim()[1] / epoch
        ticks = MaxNLocator(8, integer=True, min_n_ticks=1).tick_values(0, epochs)
        axes[-1].set_xticks([tick * epoch for tick in ticks if 0 <= tick <= epochs])
    unit = epoch or 1
    axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value / unit:,.0f}'))
    figure.align_ylabels(axes)
    save_figure(figure, path, title=title)


def save_figure(figure: Figure, path: str | os.PathLike[str], *, title: str | None) -> None:
    """Write a figure as PNG, atomically.

    Raises:
        OutputError: the PNG cannot be written.
    """
    FigureCanvasAgg(figure)  # not pyplot's, which would keep the figure
    if title:
        figure.suptitle(title, fontsize=11)
    save_plot(path, figure)


def draw_line(axis: Axes, series: Series, *, label: str, **style: Any) -> None:
    """Draw one figure over the iterations; where there is one value only, as a dot."""
    if len(series) == 1:
        style = {**style, 'marker': 'o'}
    axis.plot(list(series), list(series.values()), label=label, **style)


def legend_above(axis: Axes, *, columns: int = 4) -> None:
    """Put the legend above the axes: inside it would cover the curves, which can be anywhere."""
    place = {'loc': 'lower left', 'bbox_to_anchor': (0, 1), 'borderpad': 0.2}
    axis.legend(frameon=False, fontsize=8, ncols=columns, **place)


def scale_losses(axis: Axes, losses: Iterable[Series]) -> None:
    """Make the axis of losses logarithmic where they fall by more than a factor of 30."""
    values = [v for series in losses for v in series.values() if math.isfinite(v)]
    if values and min(values) > 0 and max(values) / min(values) > 30:
        axis.set_yscale('log')
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
        axis.yaxis.set_minor_formatter(NullFormatter())
    else:
        axis.set_ylim(bottom=0)
    axis.set_ylabel('loss')


def label_figure_of_steps(axis: Axes, name: str) -> None:
    """Scale and label the axis of one of :data:`FIGURES_OF_STEPS`."""
    highest = axis.dataLim.ymax
    axis.set_ylim(
        0, 1.1 * highest if highest > 0 else 1
    )  # a level line would lie on the upper edge
    if name == 'lr':
        axis.ticklabel_format(axis='y', style='sci', scilimits=(0, 0))
    axis.set_ylabel(FIGURES_OF_STEPS[name])
