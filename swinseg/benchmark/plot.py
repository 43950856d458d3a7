"""Pictures of results: bars of how many times as fast, lines of time over pixels."""

from __future__ import annotations

import os
import re

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from swinseg.benchmark.report import environment_line, seconds
from swinseg.benchmark.results import Result, Row, Table, times_as_fast
from swinseg.visualization.png_files import save_plot

_SQUARE = re.compile(r'(\d+) x (\d+)')
_MOST_LINES = 12
_OURS, _OTHERS = '#1f77b4', '#b0b0b0'


def plot_result(result: Result, path: str | os.PathLike[str]) -> bool:
    """Draw the tables of a result that have a baseline, one below the other, as a PNG.

    Returns:
        Whether there are any; else no file is written.

    Raises:
        OutputError: the file cannot be written.
    """
    tables = [table for table in result.tables if table.baseline is not None]
    if not tables:
        return False
    heights = [3.6 if is_growth(table) else 0.9 + 0.28 * len(table.rows) for table in tables]
    head = headline(result)
    height = 0.6 + 0.15 * (len(head) - 1) + sum(heights)
    figure = Figure(figsize=(9, height), layout='constrained', dpi=110)
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)
    for axes, table in zip(grid[:, 0], tables, strict=True):
        draw = _draw_growth if is_growth(table) else _draw_bars
        draw(axes, table)
        axes.set_title(table.title, loc='left', fontsize=10)
        axes.spines[['top', 'right']].set_visible(False)
    figure.suptitle('\n'.join(head), fontsize=8, x=0.01, ha='left')
    save_plot(path, figure)
    return True


def headline(result: Result) -> list[str]:
    """Return the lines above all tables: the machine, and what a first table without times says of the others."""
    lines = [environment_line(result).split(';')[0]]
    first = result.tables[0]
    if first.baseline is None:
        lines.append(first.title)
        # Figures without a unit: a ratio, a share, or a difference, as the name says.
        lines += [
            f'    {row.name}: '
            + ', '.join(f'{name} {value:.3g}' for name, value in row.figures.items())
            for row in first.rows[:_MOST_LINES]
        ]
        if len(first.rows) > _MOST_LINES:
            lines.append(f'    and {len(first.rows) - _MOST_LINES} more')
    return lines


def is_growth(table: Table) -> bool:
    """Whether the cases of a table are two or more sizes of an image."""
    return len(table.cases) > 1 and all(_SQUARE.fullmatch(case) for case in table.cases)


def _draw_growth(axes: Axes, table: Table) -> None:
    names = list(dict.fromkeys(row.name for row in table.rows))
    for name in names:
        rows = [row for row in table.rows if row.name == name]
        pixels, medians = [_pixels(row) for row in rows], [row.median or 0.0 for row in rows]
        color = _OURS if name == table.ours else f'C{1 + names.index(name)}'
        axes.plot(pixels, medians, 'o-', label=name, color=color)
        for place in zip(pixels, medians, strict=True):
            axes.annotate(
                seconds(place[1]),
                place,
                xytext=(6, -10),
                textcoords='offset points',
                fontsize=8,
                color=color,
            )
    axes.set_xscale('log')
    axes.set_yscale('log')
    ticks = {_pixels(row): row.case for row in table.rows}
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.minorticks_off()
    axes.set_ylabel('seconds')
    axes.margins(x=0.08, y=0.12)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False)


def _pixels(row: Row) -> int:
    match = _SQUARE.fullmatch(row.case)
    assert match is not None
    return int(match[1]) * int(match[2])


def _draw_bars(axes: Axes, table: Table) -> None:
    labels, values, colors, texts = [], [], [], []
    for row in table.rows:
        baseline = table.row(table.baseline, row.case)
        factor = None if baseline is None else times_as_fast(row, baseline)
        if factor is None:
            continue
        labels.append(f'{row.case}: {row.name}' if row.case else row.name)
        values.append(factor)
        colors.append(_OURS if 'swinseg' in row.name else _OTHERS)
        texts.append(f' {factor:.2f}x  ({seconds(row.median)})')
    bars = axes.barh(labels, values, color=colors)
    axes.bar_label(bars, texts, fontsize=8)
    axes.invert_yaxis()
    axes.tick_params(axis='y', labelsize=8)
    axes.set_xlim(0, 1.25 * max(values, default=1.0))
    axes.set_xlabel(f'times as fast as {table.baseline}')
