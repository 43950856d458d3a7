"""What the :class:`~swinseg.predictor.Predictor` returns: the labels of one image, and ways to look at them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swinseg import files
from swinseg.visualization import colorize as drawing
from swinseg.visualization.palette import Palette


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The labels of one image.

    Attributes:
        labels: (H, W) class indices, uint8 up to 256 classes, else uint16.
        classes: K names.
        palette: (K, 3) uint8 RGB.
        image: (H, W, 3) uint8 RGB, the image that was segmented.
        confidence: (H, W) float32 in [0, 1], the probability of the label; None when it was not
            asked for.
        name: the image's file name without its suffix, or ``'image'``.
    """

    labels: NDArray[np.uint8] | NDArray[np.uint16]
    classes: tuple[str, ...]
    palette: Palette
    image: NDArray[np.uint8]
    confidence: NDArray[np.float32] | None = None
    name: str = 'image'

    # A label is a class even where its index is mmseg's ignore index: none is ignored here.

    def color(self) -> NDArray[np.uint8]:
        """Return the labels in the palette's colours, (H, W, 3) uint8 RGB."""
        return drawing.colorize(self.labels, self.palette, ignore_index=len(self.classes))

    def overlay(self, alpha: float = 0.5, legend: bool = True) -> NDArray[np.uint8]:
        """Return the image with the colours blended in, uint8 RGB.

        Args:
            alpha: weight of the colours in [0, 1].
            legend: put the classes present beside or below the image, which makes the picture
                larger.

        Raises:
            VisualizationError: alpha is outside [0, 1].
        """
        return drawing.overlay(
            self.image,
            self.labels,
            self.palette,
            alpha=alpha,
            classes=self.classes if legend else None,
            ignore_index=len(self.classes),
        )

    def areas(self) -> dict[str, float]:
        """Return the share of the pixels, in [0, 1], of each class present, the largest first."""
        share = drawing.areas(self.labels, len(self.classes), ignore_index=len(self.classes))
        order = np.argsort(-share, kind='stable')
        return {self.classes[i]: float(share[i]) for i in order if share[i] > 0}

    def save(
        self, folder: str | os.PathLike[str], stem: str | None = None, *, alpha: float = 0.5
    ) -> dict[str, Path]:
        """Write ``<stem>_labels.png`` (indices, palette inside), ``_color.png`` and
        ``_overlay.png``.

        Args:
            folder: made where it does not exist.
            stem: beginning of the three file names; None takes :attr:`name`.
            alpha: weight of the colours in the overlay.

        Returns:
            The three paths under ``'labels'``, ``'color'`` and ``'overlay'``.

        Raises:
            OutputError: the folder or a file cannot be written.
        """
        # Both pictures first: a wrong alpha leaves no file behind.
        color, overlay = self.color(), self.overlay(alpha)
        target = files.make_folder(folder)
        stem = self.name if stem is None else stem
        paths = {kind: target / f'{stem}_{kind}.png' for kind in ('labels', 'color', 'overlay')}
        drawing.save_indexed_png(paths['labels'], self.labels, self.palette)
        drawing.save_rgb_png(paths['color'], color)
        drawing.save_rgb_png(paths['overlay'], overlay)
        return paths
