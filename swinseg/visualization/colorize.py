"""Label maps as colors: alone, or blended into the photograph.

Shapes: a label map is (H, W) of any integer dtype, an image (H, W, 3) uint8 RGB. Pixels with the
ignore index are black in color images and show the photograph in overlays.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from swinseg.visualization.areas import Labels, count_pixels
from swinseg.visualization.borders import border_mask
from swinseg.visualization.legend import RGBImage, add_legend, legend_entries
from swinseg.visualization.palette import PaletteLike, VisualizationError, check_palette


def colorize(labels: Labels, palette: PaletteLike, *, ignore_index: int = 255) -> RGBImage:
    """Paint each pixel with the color of its class.

    Args:
        labels: (H, W) class indices or ``ignore_index``.
        palette: K colors.
        ignore_index: painted black when it is not a class of the palette.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        VisualizationError: a label has no color.
    """
    colors = check_palette(palette)
    count_pixels(labels, len(colors), ignore_index=ignore_index)  # raises where a color is missing
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
    borders: bool = False,
    classes: Sequence[str] | None = None,
    ignore_index: int = 255,
) -> RGBImage:
    """Blend the colors of the classes into a photograph.

    Args:
        image: (H, W, 3) uint8 RGB; not changed.
        labels: (H, W) class indices or ``ignore_index``.
        palette: K colors.
        alpha: weight of the colors, 0 (photograph only) to 1 (colors only).
        borders: draw each class's rim in its full color; the line grows with the image.
        classes: K names; adds a legend of the classes present, outside of the photograph, with the
            share of the pixels that each covers. None adds none.
        ignore_index: its pixels show the photograph.

    Returns:
        uint8 RGB: (H, W, 3) without a legend, larger with one. The photograph stays at the top
        left.

    Raises:
        VisualizationError: sizes differ, alpha is outside [0, 1], a label has no color, or the
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
            f'a legend needs one name per color, but there are {len(classes)} names and '
            f'{len(colors)} colors'
        )
    painted = colorize(labels, colors, ignore_index=ignore_index)
    blended = cv2.addWeighted(np.ascontiguousarray(image), 1 - alpha, painted, alpha, 0)
    if borders:
        cv2.copyTo(painted, border_mask(labels), blended)
    if ignore_index >= len(colors):
        ignored = labels == ignore_index
        if ignored.any():
            blended[ignored] = image[ignored]
    if classes is None:
        return blended
    entries = legend_entries(labels, colors, classes, ignore_index=ignore_index)
    return add_legend(blended, entries)


def check_alpha(alpha: float) -> None:
    """Refuse a weight of the colors in an overlay that is none, before work that would end in one.

    Raises:
        VisualizationError: alpha is outside [0, 1].
    """
    if not 0 <= alpha <= 1:
        raise VisualizationError(f'alpha must lie between 0 and 1, but is {alpha}')
