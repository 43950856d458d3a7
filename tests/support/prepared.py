"""Small annotated images for the readers of other layouts, and their labels by an independent rasterization."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from swinseg.datasets.prepare import Source, write_dataset

HEIGHT, WIDTH = 24, 36
# Corners that are on no center of a pixel, so that all rules about borders agree.
STAR = [
    (3.2, 2.1),
    (20.7, 5.3),
    (30.1, 1.2),
    (24.4, 12.9),
    (31.3, 21.8),
    (15.9, 16.2),
    (5.3, 22.7),
    (9.1, 11.4),
]
KITE = [(12.3, 4.4), (18.8, 9.7), (13.6, 18.2), (7.9, 10.3)]


def save_image(path: Path, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Path:
    """Write a black image of (height, width), and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', size[::-1]).save(path)
    return path


def save_json(path: Path, content: Any) -> Path:
    """Write JSON, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def label_of(source: Source, tmp_path: Path, name: str = 'train/a.png') -> np.ndarray:
    """Write a dataset, and return one of its labels."""
    write_dataset(source, tmp_path / 'out')
    return np.array(Image.open(tmp_path / 'out' / 'labels' / name))


def drawn(
    polygons: Sequence[tuple[Sequence[Sequence[float]], int]],
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> np.ndarray:
    """Return the label that GDAL makes of polygons and their values, the later ones on top."""
    features = pytest.importorskip('rasterio.features')
    shapes = [
        ({'type': 'Polygon', 'coordinates': [[*map(tuple, corners), tuple(corners[0])]]}, value)
        for corners, value in polygons
    ]
    return features.rasterize(shapes, out_shape=size, fill=0, dtype=np.uint8)


def ellipse(
    x: float, y: float, across: float, down: float, degrees: float = 0.0
) -> list[tuple[float, float]]:
    """Return 720 corners of an ellipse that is turned clockwise as one sees it."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = []
    for step in range(720):
        u, v = across * math.cos(step * math.pi / 360), down * math.sin(step * math.pi / 360)
        corners.append((x + u * cosine - v * sine, y + u * sine + v * cosine))
    return corners
