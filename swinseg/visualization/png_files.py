"""Label maps and pictures as PNG files."""

from __future__ import annotations

import os

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from swinseg.datasets.labels.dtype import label_dtype
from swinseg.files import atomic_path
from swinseg.visualization.areas import Labels
from swinseg.visualization.palette import PaletteLike, VisualizationError, check_palette

PLOT_MARK = 'Software\0swinseg'
"""Stands in every plot, so that a picture of someone else is told from one that may be replaced."""


def save_plot(path: str | os.PathLike[str], figure: Figure) -> None:
    """Write a plot of matplotlib as PNG.

    Raises:
        OutputError: the file cannot be written.
    """
    key, _, value = PLOT_MARK.partition('\0')
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format='png', metadata={key: value})


def save_indexed_png(path: str | os.PathLike[str], labels: Labels, palette: PaletteLike) -> None:
    """Write a label map as a PNG whose values are the class indices.

    Up to 256 classes the file has 8 bits and the palette inside, so that viewers show colors and
    readers that keep palette indices (Pillow, mmcv's Pillow backend) get the labels; index values
    without a color are black. With more classes it is a 16-bit gray PNG without a palette.

    Args:
        path: the file; written atomically.
        labels: (H, W), 0 to 255, or to 65535 with more than 256 colors.
        palette: K colors.

    Raises:
        VisualizationError: a value does not fit.
        DataError: there are more than 65,536 colors.
        OutputError: the file cannot be written.
    """
    image = indexed_image(labels, palette)
    with atomic_path(path) as temporary:
        image.save(temporary, format='PNG')


def indexed_image(labels: Labels, palette: PaletteLike) -> Image.Image:
    """Return what :func:`save_indexed_png` writes, with the same arguments.

    Raises:
        VisualizationError: a value does not fit.
    """
    colors = check_palette(palette)
    dtype = label_dtype(len(colors))
    limit = np.iinfo(dtype).max
    if labels.ndim != 2 or labels.dtype.kind not in 'iu':
        raise VisualizationError(
            f'a label map must be (height, width) whole numbers, but is {labels.shape} {labels.dtype}'
        )
    if labels.size and not 0 <= labels.min() <= labels.max() <= limit:
        raise VisualizationError(
            f'labels of {len(colors)} classes are stored as 0 to {limit}, but {labels.min()} to '
            f'{labels.max()} were found'
        )
    image = Image.fromarray(np.ascontiguousarray(labels, dtype))
    if dtype != np.uint8:
        return image
    # All 256 entries: with 16 colors or fewer Pillow would write 4 bits per pixel.
    full = np.zeros((256, 3), np.uint8)
    full[: len(colors)] = colors
    image.putpalette(full.tobytes())
    return image


def save_rgb_png(path: str | os.PathLike[str], image: NDArray[np.uint8]) -> None:
    """Write an (H, W, 3) uint8 RGB image as PNG, atomically."""
    with atomic_path(path) as temporary:
        Image.fromarray(np.ascontiguousarray(image)).save(temporary, format='PNG')
