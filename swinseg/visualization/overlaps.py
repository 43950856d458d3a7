"""Pictures of classes that overlap: where a pixel has several, stripes of all their colors.

A blend of two colors may be the color of a third class; stripes are not. Rims are striped where they coincide.

Shapes: a bit mask is (H, W) of unsigned integers, bit k for class k; an image (H, W, 3) uint8 RGB; K = classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.labels.multi_label import bits_of_masks
from swinseg.visualization.borders import rim_of
from swinseg.visualization.colorize import check_alpha
from swinseg.visualization.legend import LegendEntry, RGBImage, add_legend, percentage
from swinseg.visualization.palette import PaletteLike, VisualizationError, check_palette

BitMask = NDArray[np.unsignedinteger]

# Stripes are 4 pixels wide up to pictures of 600 x 600, and keep their share of larger ones.
_SIDE_PER_STRIPE = 150


def class_masks(bits: BitMask, classes: int) -> Iterator[NDArray[np.bool_]]:
    """Yield the (H, W) mask of each class."""
    for index in range(classes):
        yield (bits >> bits.dtype.type(index) & bits.dtype.type(1)).astype(bool)


def class_pixels(bits: BitMask, classes: int) -> NDArray[np.int64]:
    """Return (K,) pixels of each class."""
    return np.array([np.count_nonzero(mask) for mask in class_masks(bits, classes)], np.int64)


def colorize_overlaps(bits: BitMask, palette: PaletteLike) -> RGBImage:
    """Paint each pixel with the color of its class, with stripes of several, and black with none.

    Args:
        bits: (H, W).
        palette: K colors.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    colors = check_palette(palette)
    picture = np.zeros((*bits.shape, 3), np.uint8)
    _paint(picture, bits, colors)
    return picture


def overlay_overlaps(
    image: RGBImage,
    bits: BitMask,
    palette: PaletteLike,
    *,
    alpha: float = 0.5,
    borders: bool = True,
    classes: Sequence[str] | None = None,
) -> RGBImage:
    """Blend the colors of classes that overlap into a photograph.

    Args:
        image: (H, W, 3) uint8 RGB; not changed.
        bits: (H, W).
        palette: K colors.
        alpha: weight of the colors, 0 (photograph only) to 1 (colors only); pixels without a class show the
            photograph.
        borders: draw the rim of each class in its full color, on the pixels that have it.
        classes: K names; adds a legend of the classes present with the share of the pixels that each covers. None
            adds none.

    Returns:
        uint8 RGB: (H, W, 3) without a legend, larger with one.

    Raises:
        VisualizationError: sizes differ, or alpha is outside [0, 1].
    """
    if image.shape != (*bits.shape, 3):
        raise VisualizationError(
            f'the image and the masks must have the same size, but the image is {image.shape[:2]} and the masks '
            f'{bits.shape} (height, width)'
        )
    check_alpha(alpha)
    colors = check_palette(palette)
    picture = np.array(image, order='C')
    _paint(picture, bits, colors, alpha=alpha)
    if borders:
        rims = map(rim_of, class_masks(bits, len(colors)))
        _paint(picture, bits_of_masks(rims, classes=len(colors), shape=bits.shape), colors)
    if classes is None:
        return picture
    pixels = class_pixels(bits, len(colors))
    order = [int(index) for index in np.argsort(-pixels, kind='stable') if pixels[index]]
    return add_legend(
        picture,
        [
            LegendEntry(
                (int(colors[index][0]), int(colors[index][1]), int(colors[index][2])),
                classes[index],
                percentage(pixels[index] / max(bits.size, 1)),
            )
            for index in order
        ],
    )


def _paint(
    picture: RGBImage, bits: BitMask, colors: NDArray[np.uint8], *, alpha: float = 1.0
) -> None:
    """Paint what has a class, in place."""
    width = max(4, round(math.sqrt(bits.size) / _SIDE_PER_STRIPE))
    height, length = bits.shape
    count = np.zeros(bits.shape, np.uint8)
    for mask in class_masks(bits, len(colors)):
        count += mask
    diagonal = (np.arange(height)[:, None] + np.arange(length)) // width
    turn = (diagonal % np.maximum(count, 1)).astype(np.uint8)
    painted = picture.copy()
    seen = np.zeros_like(count)
    for mask, color in zip(class_masks(bits, len(colors)), colors, strict=True):
        painted[mask & (seen == turn)] = color
        seen += mask
    blended = painted if alpha == 1 else cv2.addWeighted(picture, 1 - alpha, painted, alpha, 0)
    np.copyto(picture, blended, where=(count > 0)[..., None])
