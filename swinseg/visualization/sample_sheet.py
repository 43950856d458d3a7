"""One picture of several images beside their labels and predictions, for a look at each validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from swinseg.visualization.areas import Labels
from swinseg.visualization.colorize import RGBImage, colorize
from swinseg.visualization.legend import LegendEntry, add_legend, legend_entries, legend_font
from swinseg.visualization.palette import PaletteLike
from swinseg.visualization.resize import resize_image, resize_labels

_COLUMNS = ('image', 'label', 'prediction')
_GAP = 8
_TEXT = 14
_LINE = 22
_INK = (32, 32, 32)


@dataclass(frozen=True, eq=False)
class Sample:
    """An image of a validation, small enough to keep.

    Attributes:
        name: for its caption.
        image: (h, w, 3) uint8 RGB.
        label: (h, w) class indices or the ignore index.
        prediction: (h, w) class indices.
        accuracy: share of the pixels of the full size, without ignored ones, that are right; nan without any.
    """

    name: str
    image: RGBImage
    label: Labels
    prediction: Labels
    accuracy: float


def make_sample(
    name: str,
    image: RGBImage,
    label: Labels,
    prediction: Labels,
    *,
    ignore_index: int = 255,
    width: int = 320,
) -> Sample:
    """Return a small sample of an image and its label maps.

    Args:
        name: for its caption.
        image: (h, w, 3) uint8 RGB of any size and the proportions of the label maps.
        label: (H, W) class indices or ``ignore_index``.
        prediction: (H, W) class indices.
        ignore_index: the label of pixels that do not count.
        width: of the sample in pixels.
    """
    counted = label != ignore_index
    right = (prediction == label)[counted]
    size = max(1, round(width * label.shape[0] / label.shape[1])), width
    return Sample(
        name,
        resize_image(image, size),
        resize_labels(label, size),
        resize_labels(prediction, size),
        float(right.mean()) if right.size else float('nan'),
    )


def draw_samples(
    samples: Sequence[Sample],
    palette: PaletteLike,
    classes: Sequence[str],
    *,
    ignore_index: int = 255,
) -> RGBImage:
    """Return one picture with a row per sample: image, label, prediction; below them the classes that are seen.

    Args:
        samples: at least one, all of one width.
        palette: K colors.
        classes: K names.
        ignore_index: its pixels are black.

    Returns:
        uint8 RGB on white.

    Raises:
        VisualizationError: a label has no color.
    """
    width = samples[0].image.shape[1]
    rows = [_row(sample, palette, ignore_index) for sample in samples]
    head = _text_line(
        3 * width + 2 * _GAP, [(i * (width + _GAP), name) for i, name in enumerate(_COLUMNS)]
    )
    sheet = np.concatenate([head, *rows])
    seen = np.concatenate([labels.ravel() for s in samples for labels in (s.label, s.prediction)])
    entries = legend_entries(seen[None], palette, classes, ignore_index=ignore_index)
    # The share of a class in labels and predictions together would say nothing.
    return add_legend(sheet, [LegendEntry(entry.color, entry.name, '') for entry in entries])


def _row(sample: Sample, palette: PaletteLike, ignore_index: int) -> NDArray[np.uint8]:
    pictures = (
        sample.image,
        colorize(sample.label, palette, ignore_index=ignore_index),
        colorize(sample.prediction, palette, ignore_index=ignore_index),
    )
    gap = np.full((sample.image.shape[0], _GAP, 3), 255, np.uint8)
    row = np.concatenate([pictures[0], gap, pictures[1], gap, pictures[2]], axis=1)
    right = '' if np.isnan(sample.accuracy) else f'{100 * sample.accuracy:.1f}% of the pixels right'
    width = sample.image.shape[1]
    return np.concatenate(
        [row, _text_line(row.shape[1], [(0, sample.name), (2 * (width + _GAP), right)])]
    )


def _text_line(width: int, texts: Sequence[tuple[int, str]]) -> NDArray[np.uint8]:
    """Return a line of white, (22, width, 3), with texts at distances from the left in pixels."""
    line = Image.new('RGB', (width, _LINE), (255, 255, 255))
    draw = ImageDraw.Draw(line)
    for left, text in texts:
        draw.text((left, _LINE / 2), text, _INK, font=legend_font(_TEXT), anchor='lm')
    return np.asarray(line)
