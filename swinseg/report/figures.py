"""The plots of a report as SVG inside a page: confusion matrix, reliability curve, IoU against object size.

matplotlib draws them. Their colors are the page's CSS variables, so that they follow dark and light, and their
text stays text.
"""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Sequence
from html import escape

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

# matplotlib knows no CSS variables: each color that is drawn stands for one of the page's.
_INK, _SOFT, _LINE, _BAR, _STRONG = '#010101', '#010102', '#010103', '#010104', '#010105'
_VARIABLES = {_INK: 'ink', _SOFT: 'soft', _LINE: 'line', _BAR: 'bar', _STRONG: 'warning'}
_METADATA = 'Creator', 'Date', 'Format', 'Type'  # what matplotlib adds by itself; left out
_MOST_NUMBERS = 24  # classes; the numbers in the cells of a larger matrix could not be read
_LONGEST_NAME = 28  # characters beside the matrix
_CELL = 0.42, 0.17  # inches per class with numbers, and without


def confusion_figure(shares: NDArray[np.float64], classes: Sequence[str]) -> str:
    """Draw a confusion matrix: labels as rows, predictions as columns.

    Args:
        shares: (K, K) float64, ``[label, prediction]``: the share of the label's pixels in [0, 1]; nan in the
            rows of classes that the labels do not hold, which stay empty.
        classes: K names.

    Returns:
        An ``<svg>`` whose cells cover the rectangle that its attribute ``data-cells`` names: left, top, width
        and height as shares of the whole.
    """
    count = len(classes)
    numbers = count <= _MOST_NUMBERS
    side = max(count * _CELL[0 if numbers else 1], 1.6)
    shown = [textwrap.shorten(name, _LONGEST_NAME, placeholder=' …') for name in classes]
    names = 0.4 + 0.07 * max(len(name) for name in shown)
    bar = 0.85
    width, height = names + side + bar, names + side + 0.05
    figure = Figure(figsize=(width, height))
    left, top = names / width, names / height
    cells = (left, top, side / width, side / height)
    axis = figure.add_axes((left, 1 - top - cells[3], cells[2], cells[3]))
    norm = PowerNorm(0.5, vmin=0, vmax=1)  # the root, or the small confusions could not be seen
    image = axis.imshow(shares, norm=norm, cmap='cividis', interpolation='nearest')
    axis.tick_params(length=0, labelsize=8, labelcolor=_INK)
    axis.xaxis.tick_top()
    axis.set_xticks(range(count), labels=shown, rotation=90, parse_math=False)
    axis.set_yticks(range(count), labels=shown, parse_math=False)
    axis.set_xlabel('predicted', color=_SOFT, fontsize=9)
    axis.xaxis.set_label_position('top')
    axis.set_ylabel('labeled', color=_SOFT, fontsize=9)
    axis.spines[:].set_color(_LINE)
    if numbers:
        for row, column in np.argwhere(np.nan_to_num(shares) >= 0.005).tolist():
            share = shares[row, column]
            axis.text(column, row, f'{100 * share:.0f}', ha='center', va='center', fontsize=8,
                      color='#ffffff' if norm(share) < 0.55 else '#000000')  # fmt: skip
    ticks = [0, 0.01, 0.05, 0.2, 0.5, 1]
    legend = figure.add_axes(
        ((names + side + 0.15) / width, 1 - top - cells[3], 0.15 / width, cells[3])
    )
    colorbar = figure.colorbar(image, cax=legend, ticks=ticks, format=PercentFormatter(1, 0))
    colorbar.ax.tick_params(labelsize=8, labelcolor=_INK, color=_LINE)
    colorbar.ax.minorticks_off()
    colorbar.outline.set_edgecolor(_LINE)
    svg = _svg(figure, 'confusion', 'Confusion matrix: the share of the pixels of each label')
    place = ' '.join(f'{value:.5f}' for value in cells)
    return svg.replace('<svg ', f'<svg data-cells="{place}" ', 1)


def reliability_figure(
    confidence: NDArray[np.float64], accuracy: NDArray[np.float64], share: NDArray[np.float64]
) -> str:
    """Draw how often predictions of each confidence are right, over how many there are.

    Args:
        confidence: (B,) mean confidence of each bin in [0, 1]; nan where a bin is empty.
        accuracy: (B,) share of right pixels in each bin.
        share: (B,) share of all pixels in each bin.

    Returns:
        An ``<svg>``.
    """
    figure = Figure(figsize=(4.6, 4.4), layout='constrained')
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={'height_ratios': (3, 1)})
    filled = np.isfinite(confidence) & np.isfinite(accuracy)
    upper.plot([0, 1], [0, 1], color=_SOFT, linewidth=1, linestyle='--', label='perfect')
    upper.plot(confidence[filled], accuracy[filled], color=_BAR, linewidth=2, marker='o', markersize=4,
               label='this model')  # fmt: skip
    upper.set_ylim(0, 1.02)
    upper.set_ylabel('share that is right')
    upper.legend(frameon=False, labelcolor=_INK, fontsize=9, loc='upper left')
    edges = np.linspace(0, 1, len(share) + 1)
    lower.bar(edges[:-1], share, width=np.diff(edges) * 0.9, align='edge', color=_BAR)
    lower.set_ylabel('pixels')
    lower.set_xlabel('confidence')
    lower.set_xlim(0, 1)
    for axis in (upper, lower):
        axis.xaxis.set_major_formatter(PercentFormatter(1, 0))
        axis.yaxis.set_major_formatter(PercentFormatter(1, 0))
        _style(axis)
    return _svg(figure, 'reliability', 'Share of right pixels against confidence')


def object_size_figure(
    sizes: Sequence[str], iou: NDArray[np.float64], counts: NDArray[np.int64]
) -> str:
    """Draw IoU against the size of the labeled objects.

    Args:
        sizes: S names of ranges of size, from small to large.
        iou: (S,) float64 in [0, 1]; nan where there is no object.
        counts: (S,) number of objects.

    Returns:
        An ``<svg>``.
    """
    figure = Figure(figsize=(5.2, 3.2), layout='constrained')
    axis = figure.subplots()
    places = np.arange(len(sizes))
    axis.bar(places, np.nan_to_num(iou), width=0.7, color=_BAR)
    for place, value, count in zip(places.tolist(), iou.tolist(), counts.tolist(), strict=True):
        text = f'{100 * value:.0f}%' if np.isfinite(value) else '-'
        axis.annotate(f'{text}\n{count:,}', (place, np.nan_to_num(value)), xytext=(0, 3), ha='center',
                      textcoords='offset points', fontsize=8, color=_INK)  # fmt: skip
    axis.set_xticks(places, labels=sizes)
    axis.set_xlabel('size of the labeled object in pixels')
    axis.set_ylabel('IoU')
    axis.set_ylim(0, 1.2)
    axis.set_yticks(np.linspace(0, 1, 6))
    axis.yaxis.set_major_formatter(PercentFormatter(1, 0))
    _style(axis)
    return _svg(figure, 'size', 'IoU against the size of the labeled objects, and their number')


def _style(axis: Axes) -> None:
    axis.grid(color=_LINE, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[['top', 'right']].set_visible(False)
    axis.spines[['left', 'bottom']].set_color(_SOFT)
    axis.tick_params(colors=_SOFT, labelcolor=_INK, labelsize=9)
    axis.xaxis.label.set_color(_INK)
    axis.yaxis.label.set_color(_INK)


def _svg(figure: Figure, name: str, description: str) -> str:
    """Return a figure as ``<svg>`` to be put into a page; ``name`` keeps its ids apart from those of others."""
    figure.patch.set_visible(False)
    for axis in figure.axes:
        axis.patch.set_visible(False)
    FigureCanvasSVG(figure)
    text = io.StringIO()
    settings = {'svg.fonttype': 'none', 'svg.hashsalt': name, 'font.family': 'sans-serif'}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # The reader's browser has the glyphs that matplotlib's own font lacks.
        warnings.filterwarnings('ignore', message='Glyph')
        figure.savefig(text, format='svg', metadata=dict.fromkeys(_METADATA))
    whole = text.getvalue()
    svg = whole[whole.index('<svg') :]
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, f'var(--{variable})')
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf'\g<1>{name}-', svg)
    return svg.replace('<svg ', f'<svg role="img" aria-label="{escape(description)}" ', 1)
