"""The IoU of each class at each validation of a training, as a table in colors."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from swinseg.visualization.palette import VisualizationError
from swinseg.visualization.training.curve_panels import save_figure
from swinseg.visualization.training.scalars import Series

_COLUMNS_WITH_FIGURES = 12
_TICKS = 8
_ABSENT = '#d9d9d9'


def plot_class_iou(
    ious: Mapping[str, Series], path: str | os.PathLike[str], *, title: str | None = None
) -> None:
    """Draw one row per class and one column per validation into a PNG, the class that is best at the end on top.

    A table stays legible with 150 classes, of which lines would cover each other. Where a class was absent its
    field is gray. The last figure of a class stands in its row's last field.

    Args:
        ious: class -> {iteration: IoU in percent}, as :func:`~.scalars.class_ious_in`
            gives it.
        path: the PNG; written atomically.
        title: written above.

    Raises:
        VisualizationError: there is no class.
        OutputError: the PNG cannot be written.
    """
    if not ious:
        raise VisualizationError(
            'the training log has no IoU per class: CurvesHook, which a training has but with '
            'training_hooks=dict(curves=None), writes it at each validation, where val_evaluator is a '
            'MeanIoUMetric'
        )
    steps = sorted({step for series in ious.values() for step in series})
    names = sorted(ious, key=lambda name: -ious[name].get(steps[-1], -math.inf))
    table = np.array([[ious[name].get(step, math.nan) for step in steps] for name in names])
    figure = Figure(figsize=(8, 1.4 + 0.21 * len(names)), dpi=120, layout='constrained')
    axis = figure.subplots()
    colors = colormaps['viridis'].with_extremes(bad=_ABSENT)
    picture = axis.imshow(table, cmap=colors, vmin=0, vmax=100, aspect='auto')
    first = 0 if len(steps) <= _COLUMNS_WITH_FIGURES else len(steps) - 1
    for row, values in enumerate(table):
        for column in range(first, len(steps)):
            if math.isfinite(values[column]):
                ink = 'white' if values[column] < 60 else 'black'
                axis.text(
                    column, row, f'{values[column]:.1f}', color=ink, fontsize=7, ha='center', va='center'
                )  # fmt: skip
    axis.set_yticks(range(len(names)), names, fontsize=8)
    columns = np.unique(np.linspace(0, len(steps) - 1, min(_TICKS, len(steps))).round().astype(int))
    axis.set_xticks(columns, [f'{steps[column]:,}' for column in columns], fontsize=8)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_xlabel('validation at iteration')
    figure.colorbar(picture, ax=axis, label='IoU, %', shrink=min(1.0, 12 / len(names)))
    save_figure(figure, path, title=title)
