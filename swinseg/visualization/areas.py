"""Areas of the classes in a label map.

Shapes: a label map is (H, W) of any integer dtype; K = number of classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swinseg.visualization.palette import VisualizationError

Labels = NDArray[np.integer]


def class_shares(
    labels: Labels, num_classes: int, *, ignore_index: int = 255
) -> NDArray[np.float64]:
    """Return the share of the pixels that each class covers, (K,) float64; ignored pixels count in
    the whole.
    """
    return count_pixels(labels, num_classes, ignore_index=ignore_index) / max(labels.size, 1)


def count_pixels(labels: Labels, num_classes: int, *, ignore_index: int = 255) -> NDArray[np.int64]:
    """Return the number of pixels of each class, (K,) int64.

    Raises:
        VisualizationError: it is no label map, or has a label that is neither a class nor ``ignore_index``.
    """
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
            f'the palette has {num_classes} colors, but the label {extra[0]} was found; '
            'use the palette of the same dataset'
        )
    return counts[:num_classes]
