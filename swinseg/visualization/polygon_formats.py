"""Polygons as GeoJSON and as COCO annotations.

Coordinates are those of the picture, in pixels from its upper left corner, x to the right and y down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from swinseg.visualization.palette import PaletteLike, VisualizationError, check_palette
from swinseg.visualization.polygons import Polygon, Ring

CocoOutline = Literal['rle', 'polygon']


def to_geojson(
    polygons: Sequence[Polygon], *, classes: Sequence[str], palette: PaletteLike
) -> dict[str, Any]:
    """Return a GeoJSON FeatureCollection (RFC 7946) with a feature for each polygon.

    Rings are closed, exteriors go counterclockwise and holes clockwise where y points up, as section 3.1.6 asks
    for. The coordinates are pixels, and no longitudes and latitudes as in section 4, also of an image with a
    georeference: a program that draws them on a map shows the picture upside down. Polygons on a map are made from
    the label GeoTIFF of a scene, which has the georeference.

    Args:
        polygons: of one label map.
        classes: K names.
        palette: K colors.

    Returns:
        What ``json.dumps`` takes. The properties are ``class`` (name), ``index``, ``color`` (``'#rrggbb'``),
        ``area`` in pixels, and ``confidence`` where the polygons have one.
    """
    colors = check_palette(palette, num_classes=len(classes)).tolist()
    features = []
    for polygon in polygons:
        red, green, blue = colors[polygon.label]
        properties: dict[str, Any] = {
            'class': classes[polygon.label],
            'index': polygon.label,
            'color': f'#{red:02x}{green:02x}{blue:02x}',
            'area': polygon.area,
        }
        if polygon.confidence is not None:
            properties['confidence'] = round(polygon.confidence, 4)
        rings = [_closed(ring) for ring in (polygon.exterior, *polygon.holes)]
        geometry = {'type': 'Polygon', 'coordinates': rings}
        features.append({'type': 'Feature', 'properties': properties, 'geometry': geometry})
    return {'type': 'FeatureCollection', 'features': features}


def to_coco(
    polygons: Sequence[Polygon],
    *,
    classes: Sequence[str],
    size: tuple[int, int],
    file_name: str,
    outline: CocoOutline = 'rle',
) -> dict[str, Any]:
    """Return a COCO data set of one image with an annotation for each polygon.

    Args:
        polygons: of one label map.
        classes: K names; class i has the category id i + 1, since COCO keeps 0 for the background.
        size: (height, width) of the picture.
        file_name: of the picture.
        outline: ``'rle'`` writes uncompressed run lengths, which have the exact pixels, holes included, of
            polygons that were not simplified; ``'polygon'`` writes corners. COCO's polygons know no holes, so a
            hole becomes part of the exterior by a cut of no width.

    Returns:
        What ``json.dumps`` takes and pycocotools reads.

    Raises:
        VisualizationError: ``outline`` is another one, or run lengths are wanted of simplified polygons.
    """
    if outline not in ('rle', 'polygon'):
        raise VisualizationError(f"outline must be 'rle' or 'polygon', but is {outline!r}")
    height, width = size
    annotations = []
    for number, polygon in enumerate(polygons, 1):
        left, top = polygon.exterior.min(0).tolist()
        right, bottom = polygon.exterior.max(0).tolist()
        annotation: dict[str, Any] = {
            'id': number,
            'image_id': 1,
            'category_id': polygon.label + 1,
            'segmentation': (
                {'size': [height, width], 'counts': run_lengths(polygon, size)}
                if outline == 'rle'
                else [with_cuts(polygon).ravel().tolist()]
            ),
            'bbox': [left, top, right - left, bottom - top],
            'area': polygon.area,
            'iscrowd': 0,
        }
        if polygon.confidence is not None:
            annotation['score'] = round(polygon.confidence, 4)
        annotations.append(annotation)
    return {
        'images': [{'id': 1, 'file_name': file_name, 'height': height, 'width': width}],
        'categories': [{'id': index, 'name': name} for index, name in enumerate(classes, 1)],
        'annotations': annotations,
    }


def run_lengths(polygon: Polygon, size: tuple[int, int]) -> list[int]:
    """Return the run lengths of a polygon's pixels in COCO's order: down the columns, outside first.

    Args:
        polygon: exact, so that its sides are horizontal and vertical.
        size: (height, width) of the picture.

    Raises:
        VisualizationError: a side is oblique.
    """
    height, width = size
    changes = []
    for ring in (polygon.exterior, *polygon.holes):
        (x0, y0), (x1, y1) = ring.T.astype(np.int64), np.roll(ring, -1, axis=0).T.astype(np.int64)
        if ((x0 != x1) & (y0 != y1)).any():
            raise VisualizationError(
                "the outline 'rle' needs exact polygons, but these are simplified; "
                "use tolerance=0 or the outline 'polygon'"
            )
        # Each column that a horizontal side spans goes in or out there.
        first, count = np.minimum(x0, x1), abs(x1 - x0)
        column = np.repeat(first - (np.cumsum(count) - count), count) + np.arange(count.sum())
        changes.append(column * height + np.repeat(y0, count))
    # Out at the end of a column and in at the start of the next is no change, nor is the end of the last one.
    positions, times = np.unique(np.concatenate(changes), return_counts=True)
    positions = positions[(times == 1) & (positions < height * width)]
    return np.diff(positions, prepend=0, append=height * width).tolist()


def _closed(ring: Ring) -> list[list[int]]:
    corners = ring.tolist()
    return [*corners, corners[0]]


def with_cuts(polygon: Polygon) -> Ring:
    """Return (N, 2) one ring that goes from the exterior's first corner to each hole, around it, and back."""
    start = polygon.exterior[:1]
    parts = [polygon.exterior]
    for hole in polygon.holes:
        parts += [start, hole, hole[:1]]
    return np.concatenate([*parts, start] if polygon.holes else parts)
