"""A legend beside the frames of a video: of one size, and each class stays in its place while it is needed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from swinseg.visualization.legend import (
    LegendEntry,
    RGBImage,
    draw_entry,
    legend_cell,
    legend_font,
    percentage,
)
from swinseg.visualization.palette import PaletteLike, check_palette

_WIDEST_FIGURE = '100.0%'
_FEWEST_PLACES = 6
_MEMORY = 0.95


class LegendPanel:
    """Which class stands in which line, remembered from frame to frame.

    A class gets a line when it is first seen and keeps it; in frames without it the line is gray and has no
    figure. When all lines are taken, a class gets the line of the one that covered least of the recent frames,
    once it covers twice as much, so that lines change seldom.

    Args:
        palette: K colors.
        classes: K names.
        frame_size: (height, width) of the frames in pixels.
    """

    def __init__(
        self, palette: PaletteLike, classes: Sequence[str], frame_size: tuple[int, int]
    ) -> None:
        self._colors = check_palette(palette, num_classes=len(classes))
        self._classes = tuple(classes)
        self._text = max(12, round(min(frame_size) / 40))
        self._margin = self._text // 2
        font = legend_font(self._text)
        texts = (*self._classes, _WIDEST_FIGURE)
        lengths = [math.ceil(font.getlength(text)) for text in texts]
        self._cell = legend_cell(self._text, max(lengths[:-1]) + lengths[-1])
        fitting = (frame_size[0] - 2 * self._margin) // self._cell[0]
        places = min(len(classes), max(fitting, _FEWEST_PLACES))
        self._places: list[int | None] = [None] * places
        self._recent = np.zeros(len(classes))
        self.size = (places * self._cell[0] + 2 * self._margin, self._cell[1])
        """(height, width) of the panel in pixels."""

    def draw(self, share: NDArray[np.float64]) -> RGBImage:
        """Take note of a frame and draw its legend.

        Args:
            share: (K,) share of the frame's pixels that each class covers, in [0, 1].

        Returns:
            (height, width, 3) uint8 RGB of :attr:`size`.
        """
        self._assign(share)
        canvas = Image.new('RGB', self.size[::-1], (255, 255, 255))
        draw = ImageDraw.Draw(canvas)
        for place, index in enumerate(self._places):
            if index is None:
                continue
            red, green, blue = (int(channel) for channel in self._colors[index])
            figure = percentage(share[index]) if share[index] else ''
            entry = LegendEntry((red, green, blue), self._classes[index], figure)
            corner = (0, self._margin + place * self._cell[0])
            draw_entry(draw, entry, corner, self._cell, size=self._text, faded=not share[index])
        return np.asarray(canvas)

    def _assign(self, share: NDArray[np.float64]) -> None:
        self._recent = _MEMORY * self._recent + (1 - _MEMORY) * share
        for index in np.argsort(-share, kind='stable'):
            if not share[index]:
                return
            if index in self._places:
                continue
            place = min(range(len(self._places)), key=self._need)
            if 2 * self._need(place) < self._recent[index]:
                self._places[place] = int(index)

    def _need(self, place: int) -> float:
        """Return how much of the recent frames the class in a place covered; free places are needed least."""
        index = self._places[place]
        return -1.0 if index is None else float(self._recent[index])
