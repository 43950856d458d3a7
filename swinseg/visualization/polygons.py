"""Exact outlines of the regions of a label map.

A region is a connected set of pixels of one label; pixels are connected through their sides. Its outline runs
along the sides of its pixels, not through their centers: the pixel in row r and column c covers x from c to c + 1
and y from r to r + 1, so the area inside of the outline is the number of pixels.

Where two pixels of a region touch at a corner only, and are connected elsewhere, the outline does not pass between
them. So no ring touches itself, and a polygon is valid in the sense of the Simple Features standard (OGC
06-103r4, section 6.1.11.1): rings meet in single points at most, and the inside is connected.

Shapes: H, W = size of the label map; N = corners of a ring. A ring is (N, 2) int32 x, y, its first corner not
repeated.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from swinseg.visualization.palette import VisualizationError

Ring = NDArray[np.int32]
Labels = NDArray[np.integer]

# Turns of an outline whose inside is at its right, as steps around the sides of a pixel.
_RIGHT, _STRAIGHT, _LEFT = 1, 0, -1


@dataclass(frozen=True, eq=False)
class Polygon:
    """The outline of a region.

    Attributes:
        label: of the region's pixels.
        exterior: (N, 2) int32 x, y; clockwise in the picture, where y points down, so that its area by the
            shoelace formula is positive.
        holes: rings in the other direction.
        area: number of pixels inside of the outline, before it was simplified.
        confidence: mean over the region's pixels; None when none was given.
    """

    label: int
    exterior: Ring
    holes: tuple[Ring, ...]
    area: int
    confidence: float | None = None


def trace_polygons(
    labels: Labels,
    *,
    confidence: NDArray[np.floating] | None = None,
    min_area: int = 0,
    tolerance: float = 0.0,
) -> list[Polygon]:
    """Outline each region of a label map.

    Args:
        labels: (H, W) whole numbers.
        confidence: (H, W), to be averaged over each region.
        min_area: leave out regions with fewer pixels, and fill holes with fewer; then no polygon covers another.
        tolerance: how far in pixels a simplified outline may run from the exact one (Douglas and Peucker 1973).
            Neighbors keep the line between them in common, save where a region vanishes. 0 keeps outlines
            exact.

    Returns:
        The polygons by label, the largest of each label first.

    Raises:
        VisualizationError: the label map is none, or an argument is negative.
    """
    if labels.ndim != 2 or labels.dtype.kind not in 'iu':
        raise VisualizationError(
            f'a label map must be (height, width) whole numbers, but is {labels.shape} {labels.dtype}'
        )
    for name, value in (('min_area', min_area), ('tolerance', tolerance)):
        if not value >= 0:
            raise VisualizationError(f'{name} must not be negative, but is {value}')
    if not labels.size:
        return []
    regions, label_of = _connected_regions(labels)
    count = np.bincount(regions.ravel())
    total = None if confidence is None else np.bincount(regions.ravel(), confidence.ravel())
    exteriors: dict[int, _Outline] = {}
    holes: dict[int, list[_Outline]] = {}
    for outline in _outlines(regions, with_junctions=tolerance > 0):
        region, area = outline.region, outline.area
        if count[region] < min_area or -min_area < area < 0:
            continue
        if tolerance > 0:
            ring = _simplified(outline, tolerance)
            if _signed_areas(ring, [(0, len(ring))])[0] * area <= 0:
                continue  # Nothing is left of it.
            outline = outline._replace(ring=ring)
        if area > 0:
            exteriors[region] = outline
        else:
            holes.setdefault(region, []).append(outline)
    polygons = [
        Polygon(
            label=label_of[region],
            exterior=exterior.ring,
            holes=tuple(hole.ring for hole in holes.get(region, [])),
            area=exterior.area + sum(hole.area for hole in holes.get(region, [])),
            confidence=None if total is None else float(total[region] / count[region]),
        )
        for region, exterior in exteriors.items()
    ]
    return sorted(polygons, key=lambda polygon: (polygon.label, -polygon.area))


class _Outline(NamedTuple):
    """A ring of a region.

    Attributes:
        region: its number.
        ring: (N, 2) int32 x, y.
        area: inside of the exact ring; negative for a hole.
        is_junction: (N,) whether more than two outlines leave from a corner.
    """

    region: int
    ring: Ring
    area: int
    is_junction: NDArray[np.bool_]


def _connected_regions(labels: Labels) -> tuple[NDArray[np.int32], list[int]]:
    """Return (H, W) numbers of regions, from 1, and the label of each number."""
    regions = np.zeros(labels.shape, np.int32)
    label_of = [-1]
    for label in np.unique(labels):
        is_label = labels == label
        count, found = cv2.connectedComponents(is_label.view(np.uint8), connectivity=4)
        regions[is_label] = found[is_label] + (len(label_of) - 1)
        label_of += [int(label)] * (count - 1)
    return regions, label_of


def _outlines(regions: NDArray[np.int32], *, with_junctions: bool) -> Iterator[_Outline]:
    """Yield the rings of all regions, from corner to corner.

    An outline goes around its region clockwise in the picture: east along the upper sides of pixels, south along
    right sides, and so on. The four directions are one in the four frames that turn the picture counterclockwise,
    where each side in turn is the upper one.

    Args:
        regions: (H, W), from 1.
        with_junctions: stop where other regions meet at a straight part of the outline, too.
    """
    padded = np.pad(regions, 1)
    frames = [np.ascontiguousarray(np.rot90(padded, side)) for side in range(4)]
    keys, turns = zip(*(_stops(frame, with_junctions) for frame in frames), strict=True)
    first = np.cumsum([0, *(len(each) for each in keys)])
    points, successors = [], []
    for side, frame in enumerate(frames):
        height, width = frame.shape
        row, column = np.divmod(keys[side], width)
        # The pixel along whose side the outline goes on, in the frame of that side; a turned frame is height wide.
        starts = {
            _RIGHT: (width - 1 - column) * height + row,
            _STRAIGHT: keys[side] + 1,
            _LEFT: (column + 1) * height + height - row,
        }
        successor = np.empty_like(keys[side])
        for turn, start in starts.items():
            chosen = turns[side] == turn
            target = (side + turn) % 4
            # A straight run of sides has consecutive keys and ends at its only stop.
            successor[chosen] = first[target] + np.searchsorted(keys[target], start[chosen])
        successors.append(successor)
        x, y = column + 1, row
        for turned in frames[side:0:-1]:
            x, y = turned.shape[0] - y, x
        points.append(np.stack([x, y], 1))
    order, ends = _cycles(np.concatenate(successors).tolist())
    corners = np.concatenate(points)[order]
    at_stops = [frame.ravel()[key] for frame, key in zip(frames, keys, strict=True)]
    region_of = np.concatenate(at_stops)[order]
    is_junction = _is_junction(padded, corners)
    rings = (corners - 1).astype(np.int32)
    starts_ends = list(itertools.pairwise([0, *ends]))
    areas = _signed_areas(corners, starts_ends)
    for (start, end), area in zip(starts_ends, areas.tolist(), strict=True):
        ring = rings[start:end]
        yield _Outline(int(region_of[start]), ring, area, is_junction[start:end])


def _stops(
    frame: NDArray[np.int32], with_junctions: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where outlines that go east along upper sides turn, or meet a junction.

    Returns:
        row x width + column of the pixels at whose upper right corner they do, ascending, and the turns.
    """
    width, flat = frame.shape[1], frame.ravel()
    keys = np.flatnonzero(flat[width:] != flat[:-width]) + width
    keys = keys[flat[keys] != 0]
    own, right = flat[keys], flat[keys + 1]
    above, above_right = flat[keys - width], flat[keys - width + 1]
    # Left first: pixels of a region that touch at a corner are on both sides of the outline.
    turns = np.where(above_right == own, _LEFT, np.where(right == own, _STRAIGHT, _RIGHT))
    stops = (turns != _STRAIGHT) | (with_junctions & (above != above_right))
    return keys[stops], turns[stops]


def _is_junction(padded: NDArray[np.int32], corners: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether more than two borders between regions meet at a corner."""
    x, y = corners.T
    around = [padded[y - 1, x - 1], padded[y - 1, x], padded[y, x], padded[y, x - 1]]
    borders = sum((around[i] != around[i - 1]).astype(np.int8) for i in range(4))
    return borders > 2


def _cycles(successor: list[int]) -> tuple[list[int], list[int]]:
    """Return the elements of a permutation, cycle by cycle, and where in that order each cycle ends."""
    seen = bytearray(len(successor))
    order: list[int] = []
    ends: list[int] = []
    for start in range(len(successor)):
        if seen[start]:
            continue
        while not seen[start]:
            seen[start] = True
            order.append(start)
            start = successor[start]
        ends.append(len(order))
    return order, ends


def _signed_areas(
    corners: NDArray[np.integer], rings: Sequence[tuple[int, int]]
) -> NDArray[np.int64]:
    """Return the areas inside of rings, each from one index of ``corners`` to another; negative for holes."""
    starts, ends = np.array(rings).T
    following = np.arange(1, len(corners) + 1)
    following[ends - 1] = starts
    x, y = corners.astype(np.int64).T
    return np.add.reduceat(x * y[following] - y * x[following], starts) // 2


def _simplified(outline: _Outline, tolerance: float) -> Ring:
    """Simplify a ring between its junctions, so that neighbors get the same line."""
    first = np.flatnonzero(outline.is_junction)
    ring = outline.ring
    if not first.size:
        # The only neighbor has the same ring, from another corner on.
        first = np.lexsort(ring.T)[:1]
    ends = [*first, first[0] + len(ring)]
    lines = [
        _simplified_line(ring.take(np.arange(start, end + 1), 0, mode='wrap'), tolerance)[:-1]
        for start, end in itertools.pairwise(ends)
    ]
    return np.concatenate(lines)


def _simplified_line(line: Ring, tolerance: float) -> Ring:
    """Simplify a line with both its ends, in the same way from either end."""
    if line[::-1].tolist() < line.tolist():
        return _simplified_line(line[::-1], tolerance)[::-1]
    if (line[0] == line[-1]).all():
        # Two lines, from the point to the farthest and back.
        farthest = int(((line - line[0]).astype(np.int64) ** 2).sum(1).argmax())
        parts = (line[: farthest + 1], line[farthest:])
        there, back = (_douglas_peucker(part, tolerance) for part in parts)
        return np.concatenate([there[:-1], back])
    return _douglas_peucker(line, tolerance)


def _douglas_peucker(line: Ring, tolerance: float) -> Ring:
    return cv2.approxPolyDP(np.ascontiguousarray(line)[:, None], tolerance, closed=False)[:, 0]
