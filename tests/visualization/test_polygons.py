"""Outlines against a point-in-polygon test at every pixel's center, and against GDAL's."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

from swinseg.visualization.palette import VisualizationError
from swinseg.visualization.polygons import trace_polygons

label_maps = numpy_strategies.arrays(
    np.uint8,
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    elements=st.integers(0, 2),
    fill=st.nothing(),
)


def rings(polygon):
    return (polygon.exterior, *polygon.holes)


def covered(polygon, size):
    """Return which pixels' centers lie inside of a polygon, by the even-odd rule."""
    y, x = np.indices(size).reshape(2, -1, 1) + 0.5
    crossings = np.zeros(len(y), int)
    for ring in rings(polygon):
        (x0, y0), (x1, y1) = ring.T.astype(float), np.roll(ring, -1, axis=0).T.astype(float)
        passes = (y0 > y) != (y1 > y)
        with np.errstate(divide='ignore', invalid='ignore'):
            crossings += (passes & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))).sum(1)
    return (crossings % 2 == 1).reshape(size)


def shoelace(ring):
    following = np.roll(ring, -1, axis=0)
    return (ring[:, 0] @ following[:, 1] - ring[:, 1] @ following[:, 0]) / 2


def blobs(seed=0, size=(90, 130), classes=4):
    noise = np.random.default_rng(seed).random((*size, classes), np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 12).argmax(2).astype(np.uint8)


@settings(deadline=None, max_examples=150)
@given(label_maps)
def test_trace_polygons__cover_each_pixel_once_by_its_label(labels):
    found = np.full(labels.shape, -1)
    for polygon in trace_polygons(labels):
        inside = covered(polygon, labels.shape)
        assert (found[inside] == -1).all()
        found[inside] = polygon.label
        assert polygon.area == inside.sum() == sum(shoelace(ring) for ring in rings(polygon))
    np.testing.assert_array_equal(found, labels)


@settings(deadline=None, max_examples=150)
@given(label_maps)
def test_trace_polygons__rings_are_simple_and_turn_as_said(labels):
    for polygon in trace_polygons(labels):
        assert shoelace(polygon.exterior) > 0
        assert all(shoelace(hole) < 0 for hole in polygon.holes)
        for ring in rings(polygon):
            assert len({tuple(corner) for corner in ring.tolist()}) == len(ring)
            sides = np.roll(ring, -1, axis=0) - ring
            assert ((sides == 0).sum(1) == 1).all()
            # Only corners: sides are horizontal and vertical in turn.
            assert ((sides[:, 0] == 0) != (np.roll(sides, 1, axis=0)[:, 0] == 0)).all()


@pytest.mark.parametrize('labels', [blobs(), np.random.default_rng(1).integers(0, 3, (40, 50))])
def test_trace_polygons__are_those_of_gdal(labels):
    features = pytest.importorskip('rasterio.features')
    labels = labels.astype(np.uint8)

    def key(label, parts):
        areas = [abs(shoelace(np.array(part))) for part in parts]
        corners = {tuple(map(int, corner)) for part in parts for corner in part}
        return int(label), areas[0], sorted(areas[1:]), sorted(corners)

    expected = [
        key(label, [ring[:-1] for ring in geometry['coordinates']])
        for geometry, label in features.shapes(labels, connectivity=4)
    ]
    found = [key(polygon.label, rings(polygon)) for polygon in trace_polygons(labels)]
    assert sorted(found) == sorted(expected)


def test_trace_polygons__a_ring_around_a_hole_that_touches_the_outside():
    polygons = trace_polygons(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]]))
    assert [(polygon.label, polygon.area) for polygon in polygons] == [(0, 1), (0, 1), (1, 7)]
    assert sorted(map(tuple, polygons[2].holes[0].tolist())) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert sorted(map(tuple, polygons[2].exterior.tolist())) == [
        (0, 0), (0, 3), (2, 2), (2, 3), (3, 0), (3, 2),
    ]  # fmt: skip


def test_trace_polygons__by_label_the_largest_first():
    labels = np.array([[2, 0, 2, 2], [1, 0, 1, 1]])
    found = [(polygon.label, polygon.area) for polygon in trace_polygons(labels)]
    assert found == [(0, 2), (1, 2), (1, 1), (2, 2), (2, 1)]


def test_trace_polygons__mean_confidence_of_each_region():
    labels = np.array([[0, 0, 1], [0, 2, 1]])
    confidence = np.array([[0.5, 0.75, 1], [0.25, 0.125, 0]], np.float32)
    found = trace_polygons(labels, confidence=confidence)
    assert [polygon.confidence for polygon in found] == [0.5, 0.5, 0.125]
    assert trace_polygons(labels)[0].confidence is None


@settings(deadline=None, max_examples=100)
@given(label_maps, st.integers(0, 12))
def test_trace_polygons__min_area_leaves_out_and_fills(labels, min_area):
    exact = trace_polygons(labels)
    found = trace_polygons(labels, min_area=min_area)
    kept = [polygon for polygon in exact if covered(polygon, labels.shape).sum() >= min_area]
    assert len(found) == len(kept)
    cover = sum((covered(polygon, labels.shape).astype(int) for polygon in found), np.array(0))
    assert (cover <= 1).all()
    for polygon in found:
        assert polygon.area == covered(polygon, labels.shape).sum()
        assert all(-shoelace(hole) >= min_area for hole in polygon.holes)


@pytest.mark.parametrize('seed', [0, 2, 3, 4])
def test_trace_polygons__neighbors_keep_their_simplified_border_in_common(seed):
    labels = blobs(seed)
    exact, found = trace_polygons(labels), trace_polygons(labels, tolerance=1.5)
    assert len(found) == len(exact), 'the case is one where no region vanishes'
    sides = {
        (tuple(a), tuple(b))
        for polygon in found
        for ring in rings(polygon)
        for a, b in zip(ring.tolist(), np.roll(ring, -1, axis=0).tolist(), strict=True)
    }
    height, width = labels.shape
    borders = [(0, 0), (0, width), (1, 0), (1, height)]
    for a, b in sides:
        on_the_rim = any(a[axis] == b[axis] == value for axis, value in borders)
        assert on_the_rim != ((b, a) in sides)
    corners = sum(len(ring) for polygon in found for ring in rings(polygon))
    assert corners < 0.4 * sum(len(ring) for polygon in exact for ring in rings(polygon))
    agreeing = sum(
        (covered(polygon, labels.shape) & (labels == polygon.label)).sum() for polygon in found
    )
    assert agreeing > 0.97 * labels.size
    assert sum(polygon.area for polygon in found) == labels.size


@settings(deadline=None, max_examples=60)
@given(label_maps, st.floats(0.1, 5))
def test_trace_polygons__simplified_ones_of_any_map_are_polygons(labels, tolerance):
    exact = {
        tuple(corner) for p in trace_polygons(labels) for r in rings(p) for corner in r.tolist()
    }
    for polygon in trace_polygons(labels, tolerance=tolerance):
        assert shoelace(polygon.exterior) > 0
        assert all(shoelace(hole) < 0 for hole in polygon.holes)
        corners = {tuple(corner) for ring in rings(polygon) for corner in ring.tolist()}
        # A straight part may have a corner where its neighbors meet: on an exact corner of theirs.
        assert corners <= exact


def test_trace_polygons__an_empty_map_has_none():
    assert trace_polygons(np.zeros((0, 5), np.uint8)) == []


def test_trace_polygons__wrong_arguments():
    labels = np.zeros((4, 4), np.uint8)
    with pytest.raises(VisualizationError, match='min_area must not be negative, but is -1'):
        trace_polygons(labels, min_area=-1)
    with pytest.raises(VisualizationError, match='tolerance must not be negative, but is nan'):
        trace_polygons(labels, tolerance=float('nan'))
    with pytest.raises(VisualizationError, match=r'whole numbers, but is \(4, 4\) float32'):
        trace_polygons(labels.astype(np.float32))
