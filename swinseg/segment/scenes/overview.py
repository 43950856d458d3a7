"""A scene's labels as a whole: the area of each class, and pictures small enough to look at.

Shapes: H, W = size of the scene; h, w = size of the pictures; R = rows given at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.files.value_range import ValueRange
from swinseg.files import write_text
from swinseg.inference import RasterImage
from swinseg.visualization import colorize as drawing
from swinseg.visualization.legend import LegendEntry, add_legend, percentage
from swinseg.visualization.palette import Palette
from swinseg.visualization.png_files import save_rgb_png

OVERVIEW_SIDE = 2048
"""Pixels of the longer side of the pictures, at most."""

Labels = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Naming:
    """What the values of a scene's labels mean.

    Attributes:
        names: of the classes, and of the rejected label where there is one.
        palette: their colors.
        dtype: of the labels; its largest value means that there is no data.
    """

    names: tuple[str, ...]
    palette: Palette
    dtype: np.dtype[Any]

    @property
    def nodata(self) -> int:
        """The label of pixels without data."""
        return int(np.iinfo(self.dtype).max)


@dataclass(frozen=True)
class Areas:
    """What a scene's labels cover.

    Attributes:
        shares: share of the pixels with data, in [0, 1], of each label present, the largest first.
        pixels_without_data: their number.
    """

    shares: dict[str, float]
    pixels_without_data: int


def write_pictures(
    paths: Mapping[str, Path],
    image: RasterImage,
    rows: Iterable[Labels],
    naming: Naming,
    *,
    alpha: float,
    borders: bool,
) -> Areas:
    """Write the color picture and the overlay with a legend.

    Args:
        paths: of ``'color'`` and ``'overlay'``.
        image: the scene.
        rows: (R, W) labels from the top.
        naming: of the labels.
        alpha: weight of the colors in the overlay, where pixels without data show the scene.
        borders: draw each class's rim in its full color.

    Raises:
        OutputError: a file cannot be written.
    """
    pixels, valid = image.overview(OVERVIEW_SIDE)
    counts, labels = _survey(rows, image.shape, pixels.shape[:2], naming.nodata)
    palette, nodata = naming.palette, naming.nodata
    save_rgb_png(paths['color'], drawing.colorize(labels, palette, ignore_index=nodata))
    with_data = int(counts[: len(naming.names)].sum())
    present = [int(i) for i in np.argsort(-counts, kind='stable') if counts[i] and i != nodata]
    areas = {naming.names[i]: int(counts[i]) / with_data for i in present}
    picture = drawing.overlay(
        _as_rgb(pixels, valid), labels, palette, alpha=alpha, borders=borders, ignore_index=nodata
    )
    entries = [
        LegendEntry(tuple(palette[i].tolist()), name, percentage(areas[name]))
        for i, name in zip(present, areas, strict=True)
    ]
    save_rgb_png(paths['overlay'], add_legend(picture, entries))
    return Areas(areas, int(counts[nodata]))


def write_areas(
    path: Path,
    shape: tuple[int, int],
    areas: Areas,
    *,
    job: Mapping[str, Any] | None,
) -> None:
    """Write the areas, and what all results depend on; last, for it says that they are complete.

    Raises:
        OutputError: the file cannot be written.
    """
    content = {
        'height': shape[0],
        'width': shape[1],
        'pixels_without_data': areas.pixels_without_data,
        'areas': areas.shares,
        'job': _as_stored(job),
    }
    write_text(path, json.dumps(content, indent=2))


def read_shares(
    paths: Mapping[str, Path], job: Mapping[str, Any] | None
) -> dict[str, float] | None:
    """Return the areas of a scene whose results are all there from an equal job, else None."""
    if job is None or not all(path.is_file() for path in paths.values()):
        return None
    try:
        content = json.loads(paths['areas'].read_text(encoding='utf-8'))
        shares: dict[str, float] = content['areas']
        return shares if content['job'] == _as_stored(job) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # no record that can be trusted


def _as_stored(job: Mapping[str, Any] | None) -> Any:
    """Return a job as JSON reads it back, where tuples are lists."""
    return None if job is None else json.loads(json.dumps(job))


def _survey(
    rows: Iterable[Labels], shape: tuple[int, int], small: tuple[int, int], nodata: int
) -> tuple[NDArray[np.int64], Labels]:
    """Return the pixels of each value up to ``nodata``, and (h, w) labels from the middle of each cell."""
    lines, columns = (
        ((np.arange(few) + 0.5) * many / few).astype(np.int64)
        for few, many in zip(small, shape, strict=True)
    )
    counts = np.zeros(nodata + 1, np.int64)
    picked = []
    first = 0
    for labels in rows:
        counts += np.bincount(labels.reshape(-1), minlength=nodata + 1)
        inside = (lines >= first) & (lines < first + len(labels))
        picked.append(labels[lines[inside] - first][:, columns])
        first += len(labels)
    return counts, np.concatenate(picked)


def _as_rgb(pixels: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return (h, w, 3) of (h, w, C) pixels: the first three bands, or the first one, to be seen."""
    chosen = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., :1].repeat(3, axis=2)
    return np.ascontiguousarray(ValueRange.measured(chosen, valid).to_8_bits(chosen))
