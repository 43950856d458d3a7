"""A label for pixels whose class is too uncertain.

It is one more label after the K classes, with a name and a color of its own, so that whatever handles labels
handles it: pictures, legends, areas, files and polygons.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from swinseg.datasets.labels.dtype import label_tensor_dtype
from swinseg.datasets.labels.palettes import distinct_colors
from swinseg.errors import PredictorError
from swinseg.visualization.palette import Palette

REJECTED = 'rejected'

# White veils the picture in an overlay.
_COLORS = [[255, 255, 255], [0, 0, 0]]


def check_classes(classes: tuple[str, ...]) -> None:
    """Refuse class names that hold the rejected label's.

    Raises:
        PredictorError: they do.
    """
    if REJECTED in classes:
        raise PredictorError(
            f'reject_below adds a label with the name {REJECTED!r}, but a class has this name; '
            'rename the class, or compare the confidence with the threshold yourself'
        )


def reject(labels_HW: Tensor, confidence_HW: Tensor, threshold: float, num_classes: int) -> Tensor:
    """Return new (H, W) labels that are ``num_classes`` where the confidence is below the threshold, or nan."""
    labels = labels_HW.to(label_tensor_dtype(num_classes, reserved=1))
    return labels.masked_fill(~(confidence_HW >= threshold), num_classes)


def with_rejected(classes: tuple[str, ...], palette: Palette) -> tuple[tuple[str, ...], Palette]:
    """Add name and color of the rejected label, a color that no class has."""
    taken = palette.tolist()
    candidates = [*_COLORS, *distinct_colors(len(taken) + 1)]
    color = next(color for color in candidates if color not in taken)
    return (*classes, REJECTED), np.array([*taken, color], np.uint8)
