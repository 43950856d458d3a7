"""A sheet: many pictures in one, each with its name below it, and one legend for all.

Shapes: an image is (H, W, 3) uint8 RGB.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from swinseg.visualization.legend import LegendEntry, add_legend, legend_font

TILE_SIDE = 320
"""Pixels of the longer side of a picture in a sheet."""

_GAP = 12
_TEXT = 15
_LINE = 20
_INK, _SOFT_INK, _PAPER = (32, 32, 32), (96, 96, 96), (255, 255, 255)
# Width to height of a screen.
_SHAPE = 4 / 3


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture of a sheet.

    Attributes:
        picture: (h, w, 3) uint8 RGB, h and w at most :data:`TILE_SIDE`.
        name: for the first line below it.
        note: for the second line, in gray.
    """

    picture: NDArray[np.uint8]
    name: str
    note: str = ''


def draw_sheet(tiles: Sequence[Tile], entries: Sequence[LegendEntry]) -> NDArray[np.uint8]:
    """Put pictures into rows that together have about the shape of a screen.

    Args:
        tiles: at least one, in their order; texts that are too long are shortened in their middle.
        entries: lines of the legend below or beside them; none leaves it out.

    Returns:
        uint8 RGB on white.
    """
    width = max(tile.picture.shape[1] for tile in tiles)
    columns = _columns(tiles, width)
    rows = [tiles[first : first + columns] for first in range(0, len(tiles), columns)]
    heights = [_row_height(row) for row in rows]
    size = columns * (width + _GAP) + _GAP, sum(heights) + _GAP
    sheet = Image.new('RGB', size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    top = _GAP
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            left = _GAP + column * (width + _GAP)
            sheet.paste(Image.fromarray(tile.picture), (left, top))
            below = top + tile.picture.shape[0] + _LINE // 2
            for line, (text, ink) in enumerate(((tile.name, _INK), (tile.note, _SOFT_INK))):
                place = (left, below + line * _LINE)
                draw.text(place, shortened(text, width), ink, font=legend_font(_TEXT), anchor='lm')
        top += height
    return add_legend(np.asarray(sheet), entries, text_size=_TEXT)


def shortened(text: str, width: int) -> str:
    """Return a text in the font of sheets, its middle left out where it is wider than ``width`` pixels."""
    font = legend_font(_TEXT)
    kept, result = len(text), text
    while kept > 2 and font.getlength(result) > width:
        kept -= 1
        # The end tells file names of a series apart.
        result = f'{text[: kept // 3]}…{text[len(text) - (kept - kept // 3) :]}'
    return result


def _columns(tiles: Sequence[Tile], width: int) -> int:
    """Return the number of columns whose sheet comes nearest to the shape of a screen."""

    def off(columns: int) -> float:
        rows = [tiles[first : first + columns] for first in range(0, len(tiles), columns)]
        shape = columns * (width + _GAP) / sum(map(_row_height, rows))
        return abs(math.log(shape / _SHAPE))

    return min(range(1, len(tiles) + 1), key=off)


def _row_height(row: Sequence[Tile]) -> int:
    return max(tile.picture.shape[0] for tile in row) + 2 * _LINE + _GAP
