"""Sheets of what was segmented: small overlays of many files in one picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swinseg.files import make_folder
from swinseg.predictor.segmentation import Segmentation
from swinseg.segment.outcome import largest
from swinseg.segment.scenes.scene import SceneResult
from swinseg.visualization.colorize import overlay
from swinseg.visualization.legend import LegendEntry, percentage
from swinseg.visualization.palette import Palette
from swinseg.visualization.png_files import save_rgb_png
from swinseg.visualization.resize import fit, fit_image
from swinseg.visualization.sheet import TILE_SIDE, Tile, draw_sheet

TILES = 48
"""Pictures of one sheet at most; more make a further one."""


def sheet_name(number: int) -> str:
    """Return the name of a sheet, the first being 1."""
    return 'sheet.png' if number == 1 else f'sheet_{number}.png'


class Sheets:
    """Writes ``sheet.png``, ``sheet_2.png``, ...: what is kept until then is small.

    Args:
        out: folder for the sheets.
        classes: a name for each label.
        palette: a color for each label.
        alpha, borders: of overlays, as ``Segmentation.overlay`` takes them.
    """

    def __init__(
        self,
        out: Path,
        classes: tuple[str, ...],
        palette: Palette,
        *,
        alpha: float,
        borders: bool,
    ) -> None:
        self._out = out
        self._color_of = dict(zip(classes, palette, strict=True))
        self._alpha = alpha
        self._borders = borders
        self._tiles: list[Tile] = []
        self._areas: Counter[str] = Counter()
        self.paths: list[Path] = []
        """Of the sheets written so far."""

    def add_image(self, name: str, result: Segmentation) -> None:
        """Add the overlay of an image, drawn anew, so that its borders are lines at its size."""
        image, labels = fit(result.image, result.labels, TILE_SIDE)
        count = len(result.classes)
        picture = overlay(
            image, labels, result.palette,
            alpha=self._alpha, borders=self._borders, ignore_index=count,
        )  # fmt: skip
        self._add(name, picture, result.areas())

    def add_scene(self, name: str, result: SceneResult) -> None:
        """Add the overlay that was written of a scene."""
        pictures = [_read_rgb(result.paths[kind]) for kind in ('overlay', 'color')]
        # The overlay is at the upper left of its file, beside or above the legend.
        height, width = pictures[1].shape[:2]
        picture = pictures[0][:height, :width]
        self._add(name, fit_image(picture, TILE_SIDE), result.areas)

    def finish(self) -> None:
        """Write what has been added since the last sheet.

        Raises:
            OutputError: it cannot be written.
        """
        if not self._tiles:
            return
        path = make_folder(self._out) / sheet_name(len(self.paths) + 1)
        entries = [
            LegendEntry(
                tuple(self._color_of[name].tolist()), name, percentage(total / len(self._tiles))
            )
            for name, total in self._areas.most_common()
        ]
        save_rgb_png(path, draw_sheet(self._tiles, entries))
        self.paths.append(path)
        self._tiles.clear()
        self._areas.clear()

    def _add(self, name: str, picture: NDArray[np.uint8], areas: Mapping[str, float]) -> None:
        self._tiles.append(Tile(picture, name, largest(areas)))
        self._areas.update(areas)
        if len(self._tiles) == TILES:
            self.finish()


def _read_rgb(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.array(image.convert('RGB'))
