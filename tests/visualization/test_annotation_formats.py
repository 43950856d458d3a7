"""What annotation tools get of a label map, read back by the readers of their exports."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

from support.prepared import label_of, save_image, save_json
from swinseg.datasets.prepare import from_cvat, from_label_studio, from_yolo
from swinseg.visualization.annotation_formats import (
    cvat_image,
    label_studio_config,
    label_studio_task,
    to_cvat,
    to_yolo,
    yolo_data,
)
from swinseg.visualization.polygons import trace_polygons

# In no order of the alphabet, and the background is not the first.
CLASSES = ('road', 'background', 'car & van', 'rejected')
PALETTE = [[128, 64, 128], [0, 0, 0], [0, 0, 142], [255, 255, 255]]
SIZE = (57, 83)


def label_map(seed=0, size=SIZE):
    """Return blobs of all classes, with holes and pixels that stand alone."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(size)
    waves = np.sin(rows / 5 + seed) + np.cos(columns / 7) + 0.3 * np.sin(rows * columns / 50)
    labels = np.digitize(waves, [-0.8, 0.3, 1.2]).astype(np.uint8)
    alone = rng.random(size) < 0.02
    labels[alone] = rng.integers(0, 4, int(alone.sum()))
    return labels


def as_read(labels, names):
    """Return the indices that a reader gives whose classes are background and ``names``."""
    values = [names.index(name) if name in names else 0 for name in CLASSES]
    return np.array(values, np.uint8)[labels]


def test_yolo__is_read_back_exactly(tmp_path):
    labels = label_map()
    save_image(tmp_path / 'in' / 'images' / 'a.png', SIZE)
    (tmp_path / 'in' / 'labels').mkdir()
    text = to_yolo(trace_polygons(labels), classes=CLASSES, size=SIZE)
    (tmp_path / 'in' / 'labels' / 'a.txt').write_text(text)
    (tmp_path / 'in' / 'data.yaml').write_text(yolo_data(CLASSES))
    assert yaml.safe_load(yolo_data(CLASSES))['names'] == {0: 'road', 1: 'car & van'}
    source = from_yolo(tmp_path / 'in', val_share=0)
    found = label_of(source, tmp_path)
    np.testing.assert_array_equal(found, as_read(labels, source.classes))
    assert set(np.unique(found)) == {0, 1, 2}


def test_yolo__simplified_polygons_are_nearly_the_same(tmp_path):
    labels = np.kron(label_map(size=(19, 28)), np.ones((8, 8), np.uint8))
    save_image(tmp_path / 'in' / 'images' / 'a.png', labels.shape)
    (tmp_path / 'in' / 'labels').mkdir()
    polygons = trace_polygons(labels, tolerance=0.7)
    (tmp_path / 'in' / 'labels' / 'a.txt').write_text(
        to_yolo(polygons, classes=CLASSES, size=labels.shape)
    )
    (tmp_path / 'in' / 'data.yaml').write_text(yolo_data(CLASSES))
    source = from_yolo(tmp_path / 'in', val_share=0)
    found, expected = label_of(source, tmp_path), as_read(labels, source.classes)
    for value in range(3):
        both, any_of_both = (
            (found == value) & (expected == value),
            (found == value) | (expected == value),
        )
        assert both.sum() / any_of_both.sum() > 0.98


def test_cvat__is_read_back_exactly(tmp_path):
    labels = {name: label_map(seed) for seed, name in enumerate(('sub/a.png', 'sub/ü & b.png'))}
    images = [cvat_image(each, classes=CLASSES, name=name) for name, each in labels.items()]
    for name in labels:
        save_image(tmp_path / 'in' / 'images' / name, SIZE)
    text = to_cvat(images, classes=CLASSES, palette=PALETTE)
    (tmp_path / 'in' / 'annotations.xml').write_text(text, encoding='utf-8')
    source = from_cvat(tmp_path / 'in', val_share=0)
    assert source.classes == ['background', 'road', 'car & van']
    found = {sample.name: sample.label() for sample in source.samples}
    for name, each in labels.items():
        np.testing.assert_array_equal(found[name[:-4]], as_read(each, source.classes))


def test_cvat__elements_that_its_import_asks_for():
    image = cvat_image(np.array([[1, 0, 2], [1, 0, 0]], np.uint8), classes=CLASSES, name='a.png')
    root = ElementTree.fromstring(to_cvat([image], classes=CLASSES, palette=PALETTE))
    assert root.findtext('version') == '1.1'
    assert [label.findtext('color') for label in root.iterfind('meta/task/labels/label')] == [
        '#804080',
        '#00008e',
    ]
    assert root.find('image').attrib == dict(id='0', name='a.png', width='3', height='2')
    road, car = root.iterfind('image/mask')
    assert road.attrib == dict(
        label='road', source='auto', occluded='0', z_order='0', rle='0, 1, 1, 2', left='1', top='0', width='2',
        height='2',
    )  # fmt: skip
    assert (car.get('rle'), car.get('left'), car.get('top')) == ('0, 1', '2', '0')


def test_label_studio__is_read_back_exactly(tmp_path):
    labels = label_map()
    save_image(tmp_path / 'in' / 'a.png', SIZE)
    confidence = np.full(SIZE, 0.25, np.float32)
    task = label_studio_task(
        labels, classes=CLASSES, address='/data/local-files/?d=in/a.png', confidence=confidence
    )
    task = json.loads(json.dumps(task))
    (prediction,) = task['predictions']
    assert (prediction['score'], prediction['model_version']) == (0.25, 'swinseg')
    # As it comes back when someone has looked at it and submitted it.
    submitted = {'id': 1, 'data': task['data'], 'annotations': [{'result': prediction['result']}]}
    source = from_label_studio(
        save_json(tmp_path / 'tasks.json', [submitted]), tmp_path / 'in', val_share=0
    )
    assert source.classes == ['background', 'car & van', 'road']
    np.testing.assert_array_equal(label_of(source, tmp_path), as_read(labels, source.classes))


def test_label_studio__the_config_has_the_names_of_the_results():
    view = ElementTree.fromstring(label_studio_config(classes=CLASSES, palette=PALETTE))
    task = label_studio_task(label_map(), classes=CLASSES, address='a.png')
    brush, image = view.find('BrushLabels'), view.find('Image')
    assert [label.get('value') for label in brush] == ['road', 'car & van']
    assert image.get('value') == '$image'
    assert set(task['data']) == {'image'}
    for result in task['predictions'][0]['result']:
        assert (result['from_name'], result['to_name']) == (brush.get('name'), image.get('name'))
    assert len({result['id'] for result in task['predictions'][0]['result']}) == 2


@pytest.mark.parametrize('labels', [np.ones((4, 5), np.uint8), np.full((4, 5), 3, np.uint8)])
def test_all__nothing_but_background(labels):
    assert to_yolo(trace_polygons(labels), classes=CLASSES, size=(4, 5)) == ''
    assert len(cvat_image(labels, classes=CLASSES, name='a')) == 0
    assert label_studio_task(labels, classes=CLASSES, address='a')['predictions'][0]['result'] == []
