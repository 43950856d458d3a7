"""Legends of pictures: which color is which class, and how much of the picture it covers.

Shapes: a label map is (H, W) of any integer dtype, an image (H, W, 3) uint8 RGB.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from swinseg.visualization.areas import Labels, class_shares
from swinseg.visualization.palette import PaletteLike, check_palette

RGBImage = NDArray[np.uint8]

_BACKGROUND, _INK, _FADED_INK = (255, 255, 255), (32, 32, 32), (170, 170, 170)


@dataclass(frozen=True)
class LegendEntry:
    """One line of a legend: the class's color, its name, and a figure set at the right."""

    color: tuple[int, int, int]
    name: str
    figure: str


def legend_entries(
    labels: Labels, palette: PaletteLike, classes: Sequence[str], *, ignore_index: int = 255
) -> list[LegendEntry]:
    """Return the classes present in a label map, the largest first, with their share of the
    pixels.
    """
    colors = check_palette(palette, num_classes=len(classes))
    share = class_shares(labels, len(classes), ignore_index=ignore_index)
    present = [int(i) for i in np.argsort(-share, kind='stable') if share[i] > 0]
    return [LegendEntry(_triple(colors[i]), classes[i], percentage(share[i])) for i in present]


def _triple(color: NDArray[np.uint8]) -> tuple[int, int, int]:
    red, green, blue = (int(channel) for channel in color)
    return red, green, blue


def percentage(share: float) -> str:
    """Return a share in [0, 1] as the figure of a legend."""
    return '<0.1%' if share < 0.0005 else f'{100 * share:.1f}%'


@functools.lru_cache(maxsize=16)
def legend_font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font of legends, ``size`` pixels high."""
    # matplotlib brings a font with accents, Greek and Cyrillic; Pillow's own has ASCII only.
    path = Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / 'DejaVuSans.ttf'
    return ImageFont.truetype(str(path), size)


@dataclass(frozen=True)
class _Layout:
    beside: bool
    rows: int
    columns: int


def _best_layout(
    entries: int, cell: tuple[int, int], image_size: tuple[int, int], margin: int
) -> _Layout:
    """Choose the place and the number of columns that give a small picture that is no strip.

    ``cell`` and ``image_size`` are (height, width) in pixels.
    """
    tolerated = max(2.0, _elongation(*image_size))

    def cost(layout: _Layout) -> float:
        height, width = _canvas_size(layout, cell, image_size, margin)
        return height * width * max(1.0, _elongation(height, width) / tolerated) ** 2

    layouts = [
        _Layout(beside, math.ceil(entries / columns), columns)
        for columns in range(1, entries + 1)
        for beside in (True, False)
    ]
    return min(layouts, key=cost)


def _elongation(height: int, width: int) -> float:
    return max(height, width) / min(height, width)


def _canvas_size(
    layout: _Layout, cell: tuple[int, int], image_size: tuple[int, int], margin: int
) -> tuple[int, int]:
    """Return (height, width) of the picture with its legend."""
    height, width = layout.rows * cell[0] + 2 * margin, layout.columns * cell[1]
    if layout.beside:
        return max(image_size[0], height), image_size[1] + width
    return image_size[0] + height, max(image_size[1], width)


def legend_cell(size: int, text_width: int) -> tuple[int, int]:
    """Return (height, width) in pixels of an entry whose texts are ``text_width`` wide together."""
    return round(1.55 * size), size + text_width + 6 * (size // 2)


def draw_entry(
    draw: ImageDraw.ImageDraw,
    entry: LegendEntry,
    corner: tuple[int, int],
    cell: tuple[int, int],
    *,
    size: int,
    faded: bool = False,
) -> None:
    """Draw one line of a legend: swatch, name, and the figure at the right.

    Args:
        draw: on the canvas.
        entry: the line.
        corner: (x, y) of the cell's upper left corner.
        cell: (height, width) as :func:`legend_cell` gives them.
        size: of the font and the swatch, in pixels.
        faded: write in light gray.
    """
    font, margin = legend_font(size), size // 2
    ink = _FADED_INK if faded else _INK
    x, y = corner[0] + margin, corner[1]
    y_swatch = y + (cell[0] - size) // 2
    draw.rectangle(
        (x, y_swatch, x + size - 1, y_swatch + size - 1),
        fill=entry.color,
        outline=_INK,
        width=max(1, size // 16),
    )
    middle, right = y + cell[0] / 2, x + cell[1] - 3 * margin
    draw.text((x + size + margin, middle), entry.name, ink, font=font, anchor='lm')
    draw.text((right, middle), entry.figure, ink, font=font, anchor='rm')


def add_legend(
    image: RGBImage, entries: Sequence[LegendEntry], *, text_size: int | None = None
) -> RGBImage:
    """Put a legend to the right of an image or below it, whichever makes the smaller picture.

    The text grows with the image, so that it can be read when a large picture is shown small, and
    is never smaller than 12 px; a small image gets a canvas as large as the legend needs.

    Args:
        image: (H, W, 3) uint8 RGB; not changed.
        entries: the lines; none gives a copy of the image.
        text_size: in pixels, instead of the one that grows with the image.

    Returns:
        uint8 RGB on white, the image at the top left.
    """
    if not entries:
        return image.copy()
    height, width = image.shape[:2]
    size = text_size or max(12, round(math.sqrt(height * width) / 38))
    font, margin = legend_font(size), size // 2
    name_width = max(math.ceil(font.getlength(entry.name)) for entry in entries)
    figure_width = max(math.ceil(font.getlength(entry.figure)) for entry in entries)
    cell = cell_height, cell_width = legend_cell(size, name_width + figure_width)
    image_size = height, width
    layout = _best_layout(len(entries), cell, image_size, margin)
    canvas_height, canvas_width = _canvas_size(layout, cell, image_size, margin)
    top, left = (margin, width) if layout.beside else (height + margin, 0)
    canvas = Image.new('RGB', (canvas_width, canvas_height), _BACKGROUND)
    canvas.paste(Image.fromarray(image), (0, 0))
    draw = ImageDraw.Draw(canvas)
    for position, entry in enumerate(entries):
        column, row = divmod(position, layout.rows)
        x, y = left + column * cell_width, top + row * cell_height
        draw_entry(draw, entry, (x, y), cell, size=size)
    return np.asarray(canvas).copy()
