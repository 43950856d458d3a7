"""Pictures of label maps: colour images, overlays with a legend, indexed PNG files.

Shapes: a label map is (H, W) of any integer dtype, an image (H, W, 3) uint8 RGB. Pixels with the
ignore index are black in colour images and show the photograph in overlays.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from swinseg.files import atomic_path
from swinseg.visualization.palette import Palette, PaletteLike, VisualizationError, check_palette

Labels = NDArray[np.integer]
RGBImage = NDArray[np.uint8]

_BACKGROUND, _INK, _FADED_INK = (255, 255, 255), (32, 32, 32), (170, 170, 170)


def colorize(labels: Labels, palette: PaletteLike, *, ignore_index: int = 255) -> RGBImage:
    """Paint each pixel with the colour of its class.

    Args:
        labels: (H, W) class indices or ``ignore_index``.
        palette: K colours.
        ignore_index: painted black when it is not a class of the palette.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        VisualizationError: a label has no colour.
    """
    colors = check_palette(palette)
    counts = _count(labels, len(colors), ignore_index)
    assert len(counts) == len(colors)
    # 256 rows at least: as many as OpenCV's table has, which is 60 times as fast as indexing.
    table = np.zeros((max(len(colors), ignore_index + 1, 256), 3), np.uint8)
    table[: len(colors)] = colors
    if labels.dtype == np.uint8 and labels.size:
        return cv2.applyColorMap(np.ascontiguousarray(labels), table[:256, None])
    return np.take(table, labels, axis=0)


def overlay(
    image: RGBImage,
    labels: Labels,
    palette: PaletteLike,
    *,
    alpha: float = 0.5,
    classes: Sequence[str] | None = None,
    ignore_index: int = 255,
) -> RGBImage:
    """Blend the colours of the classes into a photograph.

    Args:
        image: (H, W, 3) uint8 RGB; not changed.
        labels: (H, W) class indices or ``ignore_index``.
        palette: K colours.
        alpha: weight of the colours, 0 (photograph only) to 1 (colours only).
        classes: K names; adds a legend of the classes present, outside of the photograph, with the
            share of the pixels that each covers. None adds none.
        ignore_index: its pixels show the photograph.

    Returns:
        uint8 RGB: (H, W, 3) without a legend, larger with one. The photograph stays at the top
        left.

    Raises:
        VisualizationError: sizes differ, alpha is outside [0, 1], a label has no colour, or the
            names do not match the palette.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise VisualizationError(
            f'an image must be (height, width, 3) uint8 RGB, but is {image.shape} {image.dtype}'
        )
    if image.shape[:2] != labels.shape:
        raise VisualizationError(
            f'the image and the labels must have the same size, but the image is {image.shape[:2]} and the '
            f'labels {labels.shape} (height, width)'
        )
    check_alpha(alpha)
    colors = check_palette(palette)
    if classes is not None and len(classes) != len(colors):
        raise VisualizationError(
            f'a legend needs one name per colour, but there are {len(classes)} names and '
            f'{len(colors)} colours'
        )
    painted = colorize(labels, colors, ignore_index=ignore_index)
    blended = cv2.addWeighted(np.ascontiguousarray(image), 1 - alpha, painted, alpha, 0)
    if ignore_index >= len(colors):
        ignored = labels == ignore_index
        if ignored.any():
            blended[ignored] = image[ignored]
    if classes is None:
        return blended
    entries = legend_entries(labels, colors, classes, ignore_index=ignore_index)
    return add_legend(blended, entries)


def check_alpha(alpha: float) -> None:
    """Refuse a weight of the colours in an overlay that is none, before work that would end in one.

    Raises:
        VisualizationError: alpha is outside [0, 1].
    """
    if not 0 <= alpha <= 1:
        raise VisualizationError(f'alpha must lie between 0 and 1, but is {alpha}')


def areas(labels: Labels, num_classes: int, *, ignore_index: int = 255) -> NDArray[np.float64]:
    """Return the share of the pixels that each class covers, (K,) float64; ignored pixels count in
    the whole.
    """
    return _count(labels, num_classes, ignore_index) / max(labels.size, 1)


def _count(labels: Labels, num_classes: int, ignore_index: int) -> NDArray[np.int64]:
    if labels.ndim != 2 or labels.dtype.kind not in 'iu':
        raise VisualizationError(
            f'a label map must be (height, width) whole numbers, but is {labels.shape} {labels.dtype}'
        )
    if labels.size and labels.min() < 0:
        raise VisualizationError(
            f'a label map must hold class indices, but {labels.min()} was found'
        )
    counts = np.bincount(labels.reshape(-1), minlength=num_classes)
    extra = [int(v) for v in np.flatnonzero(counts[num_classes:]) + num_classes]
    extra = [value for value in extra if value != ignore_index]
    if extra:
        raise VisualizationError(
            f'the palette has {num_classes} colours, but the label {extra[0]} was found; '
            'use the palette of the same dataset'
        )
    return counts[:num_classes]


@dataclass(frozen=True)
class LegendEntry:
    """One line of a legend: the class's colour, its name, and a figure set at the right."""

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
    share = areas(labels, len(classes), ignore_index=ignore_index)
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
        faded: write in light grey.
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


def add_legend(image: RGBImage, entries: Sequence[LegendEntry]) -> RGBImage:
    """Put a legend to the right of an image or below it, whichever makes the smaller picture.

    The text grows with the image, so that it can be read when a large picture is shown small, and
    is never smaller than 12 px; a small image gets a canvas as large as the legend needs.

    Args:
        image: (H, W, 3) uint8 RGB; not changed.
        entries: the lines; none gives a copy of the image.

    Returns:
        uint8 RGB on white, the image at the top left.
    """
    if not entries:
        return image.copy()
    height, width = image.shape[:2]
    size = max(12, round(math.sqrt(height * width) / 38))
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


def save_indexed_png(path: str | os.PathLike[str], labels: Labels, palette: PaletteLike) -> None:
    """Write a label map as a PNG whose values are the class indices.

    Up to 256 classes the file has 8 bits and the palette inside, so that viewers show colours and
    readers that keep palette indices (Pillow, mmcv's Pillow backend) get the labels; index values
    without a colour are black. With more classes it is a 16-bit grey PNG without a palette.

    Args:
        path: the file; written atomically.
        labels: (H, W), 0 to 255, or to 65535 with more than 256 colours.
        palette: K colours.

    Raises:
        VisualizationError: a value does not fit.
        OutputError: the file cannot be written.
    """
    colors = check_palette(palette)
    limit = 255 if len(colors) <= 256 else 65535
    if labels.ndim != 2 or labels.dtype.kind not in 'iu':
        raise VisualizationError(
            f'a label map must be (height, width) whole numbers, but is {labels.shape} {labels.dtype}'
        )
    if labels.size and not 0 <= labels.min() <= labels.max() <= limit:
        raise VisualizationError(
            f'labels of {len(colors)} classes are stored as 0 to {limit}, but {labels.min()} to '
            f'{labels.max()} were found'
        )
    with atomic_path(path) as temporary:
        _to_image(labels, colors).save(temporary, format='PNG')


def _to_image(labels: Labels, colors: Palette) -> Image.Image:
    if len(colors) > 256:
        return Image.fromarray(np.ascontiguousarray(labels, np.uint16))
    image = Image.fromarray(np.ascontiguousarray(labels, np.uint8))
    # All 256 entries: with 16 colours or fewer Pillow would write 4 bits per pixel.
    full = np.zeros((256, 3), np.uint8)
    full[: len(colors)] = colors
    image.putpalette(full.tobytes())
    return image


def save_rgb_png(path: str | os.PathLike[str], image: RGBImage) -> None:
    """Write an (H, W, 3) uint8 RGB image as PNG, atomically."""
    with atomic_path(path) as temporary:
        Image.fromarray(np.ascontiguousarray(image)).save(temporary, format='PNG')
