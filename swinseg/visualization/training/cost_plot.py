"""The plot of what attention costs: multiply-adds and seconds over the number of patches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from swinseg.visualization.png_files import save_plot


class Cost(Protocol):
    """One measured point; see ``swinseg.models.complexity.AttentionCost``."""

    @property
    def attention(self) -> str: ...
    @property
    def patches(self) -> int: ...
    @property
    def by_equation(self) -> int: ...
    @property
    def counted(self) -> int: ...
    @property
    def seconds(self) -> float | None: ...


def plot_attention_costs(
    costs: Sequence[Cost], path: str | os.PathLike[str], *, title: str
) -> None:
    """Draw multiply-adds (equations as lines, counts as dots) and measured seconds, on double logarithmic axes.

    Args:
        costs: the points, of one or several kinds of attention.
        path: the PNG to write.
        title: what was measured, for the top of the picture.

    Raises:
        OutputError: the file cannot be written.
    """
    figure = Figure(figsize=(10, 4.4), layout='constrained', dpi=120)
    FigureCanvasAgg(figure)
    arithmetic, clock = figure.subplots(1, 2)
    colors = {'W-MSA': '#1f77b4', 'MSA': '#d62728'}
    for name in dict.fromkeys(cost.attention for cost in costs):
        points = [cost for cost in costs if cost.attention == name]
        patches = [cost.patches for cost in points]
        style = dict(color=colors.get(name, '#555555'))
        arithmetic.plot(
            patches, [cost.by_equation / 1e9 for cost in points], label=f'{name}, equation', **style
        )
        arithmetic.plot(
            patches, [cost.counted / 1e9 for cost in points], 'o', label=f'{name}, counted', **style
        )
        timed = [cost for cost in points if cost.seconds is not None]
        clock.plot(
            [cost.patches for cost in timed],
            [cost.seconds for cost in timed if cost.seconds is not None],
            'o-',
            label=f'{name}, measured',
            **style,
        )
    arithmetic.set_ylabel('multiply-adds (billions)')
    clock.set_ylabel('seconds')
    for axes in (arithmetic, clock):
        axes.set_xscale('log')
        axes.set_yscale('log')
        axes.set_xlabel('patches (height x width)')
        axes.grid(visible=True, which='major', alpha=0.3)
        axes.legend(frameon=False)
        axes.spines[['top', 'right']].set_visible(False)
    figure.suptitle(title)
    save_plot(path, figure)
