"""GeoJSON against GDAL's rasterization, COCO against run lengths counted pixel by pixel."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

from swinseg.visualization.palette import VisualizationError
from swinseg.visualization.polygon_formats import run_lengths, to_coco, to_geojson
from swinseg.visualization.polygons import trace_polygons

CLASSES = ('sky', 'tree', 'road')
PALETTE = [[0, 0, 200], [0, 200, 0], [90, 90, 90]]
LABELS = np.kron(
    np.array([[0, 0, 0, 0], [1, 1, 1, 2], [1, 0, 1, 2], [1, 1, 1, 1]]), np.ones((3, 5), int)
)

label_maps = numpy_strategies.arrays(
    np.uint8,
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    elements=st.integers(0, 2),
    fill=st.nothing(),
)


def decoded(counts, size):
    """Return the mask of COCO's uncompressed run lengths."""
    values = np.repeat(np.arange(len(counts)) % 2, counts)
    return values.reshape(size[1], size[0]).T.astype(bool)


def even_odd(ring, size):
    """Return which pixels' centers a flat list of corners encloses."""
    x0, y0 = np.array(ring, float).reshape(-1, 2).T
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    y, x = np.indices(size).reshape(2, -1, 1) + 0.5
    with np.errstate(divide='ignore', invalid='ignore'):
        hits = ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return (hits.sum(1) % 2 == 1).reshape(size)


def test_to_geojson__gives_the_labels_back():
    features = pytest.importorskip('rasterio.features')
    found = to_geojson(trace_polygons(LABELS), classes=CLASSES, palette=PALETTE)
    found = json.loads(json.dumps(found))
    assert found['type'] == 'FeatureCollection'
    shapes = [(each['geometry'], each['properties']['index']) for each in found['features']]
    drawn = features.rasterize(shapes, out_shape=LABELS.shape, fill=9, dtype=np.uint8)
    np.testing.assert_array_equal(drawn, LABELS)


def test_to_geojson__features_say_what_they_are():
    confidence = np.where(LABELS == 2, 0.25, 1).astype(np.float32)
    polygons = trace_polygons(LABELS, confidence=confidence)
    *_, road = to_geojson(polygons, classes=CLASSES, palette=PALETTE)['features']
    assert road['properties'] == {
        'class': 'road', 'index': 2, 'color': '#5a5a5a', 'area': 30, 'confidence': 0.25,
    }  # fmt: skip
    (ring,) = road['geometry']['coordinates']
    assert sorted(ring[:-1]) == [[15, 3], [15, 9], [20, 3], [20, 9]]
    plain = to_geojson(trace_polygons(LABELS), classes=CLASSES, palette=PALETTE)
    assert 'confidence' not in plain['features'][0]['properties']


def test_to_geojson__rings_are_closed_and_follow_the_right_hand_rule():
    for feature in to_geojson(trace_polygons(LABELS), classes=CLASSES, palette=PALETTE)['features']:
        for number, ring in enumerate(feature['geometry']['coordinates']):
            assert ring[0] == ring[-1]
            assert len(ring) >= 4
            area = sum(a[0] * b[1] - a[1] * b[0] for a, b in itertools.pairwise(ring))
            assert (area > 0) == (number == 0)


@settings(deadline=None, max_examples=100)
@given(label_maps)
def test_run_lengths__are_those_counted_down_the_columns(labels):
    for polygon in trace_polygons(labels):
        counts = run_lengths(polygon, labels.shape)
        assert all(count > 0 for count in counts[1:])
        mask = decoded(counts, labels.shape)
        assert mask.sum() == polygon.area
        assert (labels[mask] == polygon.label).all()


@pytest.mark.parametrize('outline', ['rle', 'polygon'])
def test_to_coco__annotations_cover_the_pixels(outline):
    found = to_coco(
        trace_polygons(LABELS), classes=CLASSES, size=LABELS.shape, file_name='a.jpg', outline=outline
    )  # fmt: skip
    found = json.loads(json.dumps(found))
    assert found['images'] == [{'id': 1, 'file_name': 'a.jpg', 'height': 12, 'width': 20}]
    assert [(each['id'], each['name']) for each in found['categories']] == [
        (1, 'sky'), (2, 'tree'), (3, 'road'),
    ]  # fmt: skip
    drawn = np.zeros(LABELS.shape, int)
    for number, annotation in enumerate(found['annotations'], 1):
        shape = annotation['segmentation']
        if outline == 'rle':
            assert shape['size'] == [12, 20]
            mask = decoded(shape['counts'], LABELS.shape)
        else:
            (ring,) = shape
            mask = even_odd(ring, LABELS.shape)
        drawn[mask] += annotation['category_id']
        rows, columns = np.nonzero(mask)
        left, top = columns.min(), rows.min()
        assert annotation['bbox'] == [left, top, columns.max() + 1 - left, rows.max() + 1 - top]
        assert annotation['area'] == mask.sum()
        assert (annotation['id'], annotation['image_id']) == (number, 1)
    np.testing.assert_array_equal(drawn, LABELS + 1)


def test_to_coco__confidence_is_the_score():
    polygons = trace_polygons(LABELS, confidence=np.full(LABELS.shape, 0.5, np.float32))
    found = to_coco(polygons, classes=CLASSES, size=LABELS.shape, file_name='a')
    assert {annotation['score'] for annotation in found['annotations']} == {0.5}


def test_to_coco__wrong_arguments():
    size = (40, 40)
    y, x = np.indices(size)
    polygons = trace_polygons((x > y).astype(np.uint8), tolerance=1)
    with pytest.raises(VisualizationError, match=r"'rle' needs exact polygons, .* tolerance=0"):
        to_coco(polygons, classes=CLASSES, size=size, file_name='a')
    with pytest.raises(VisualizationError, match="must be 'rle' or 'polygon', but is 'box'"):
        to_coco(polygons, classes=CLASSES, size=size, file_name='a', outline='box')
