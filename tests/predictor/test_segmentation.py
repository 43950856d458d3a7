"""Pictures, areas, polygons and files of a segmentation."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from swinseg.files import OutputError
from swinseg.predictor.segmentation import SUFFIXES, Segmentation
from swinseg.visualization.palette import VisualizationError


@pytest.fixture
def segmentation():
    labels = np.zeros((30, 40), np.uint8)
    labels[:10] = 2
    return Segmentation(
        labels=labels,
        classes=('sky', 'tree', 'road'),
        palette=np.array([[0, 0, 200], [0, 200, 0], [90, 90, 90]], np.uint8),
        image=np.full((30, 40, 3), 100, np.uint8),
        confidence=np.linspace(0, 1, 1200, dtype=np.float32).reshape(30, 40),
        probabilities=np.full((3, 30, 40), 1 / 3, np.float32),
    )


def test_areas_are_of_the_classes_present_the_largest_first(segmentation):
    assert list(segmentation.areas().items()) == [
        ('sky', pytest.approx(2 / 3)),
        ('road', pytest.approx(1 / 3)),
    ]


def test_pictures(segmentation):
    assert segmentation.color()[0, 0].tolist() == [90, 90, 90]
    assert segmentation.overlay(legend=False).shape == (30, 40, 3)
    assert segmentation.overlay(alpha=0.25, legend=False)[20, 0].tolist() == [75, 75, 125]
    assert segmentation.overlay().size > 30 * 40 * 3
    with pytest.raises(VisualizationError, match='alpha'):
        segmentation.overlay(alpha=2)


def test_class_255_is_drawn_as_a_class():
    """The ignore index means something in labels, not in predictions."""
    classes = tuple(f'class {i}' for i in range(256))
    result = Segmentation(
        labels=np.full((4, 4), 255, np.uint8),
        classes=classes,
        palette=np.arange(768, dtype=np.uint16).reshape(256, 3).astype(np.uint8),
        image=np.zeros((4, 4, 3), np.uint8),
    )
    assert result.areas() == {'class 255': 1.0}
    assert result.overlay(alpha=1, legend=False)[0, 0].tolist() == [253, 254, 255]


def test_save(segmentation, tmp_path):
    paths = segmentation.save(tmp_path / 'new' / 'folder', 'street.v2')
    assert [path.name for path in paths.values()] == [
        'street.v2_labels.png', 'street.v2_color.png', 'street.v2_overlay.png',
    ]  # fmt: skip
    assert sorted(paths.values()) == sorted((tmp_path / 'new' / 'folder').iterdir())
    labels = Image.open(paths['labels'])
    assert labels.mode == 'P'
    np.testing.assert_array_equal(np.array(labels), segmentation.labels)
    np.testing.assert_array_equal(np.array(Image.open(paths['color'])), segmentation.color())
    np.testing.assert_array_equal(np.array(Image.open(paths['overlay'])), segmentation.overlay())


def test_save_where_it_cannot(segmentation, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OutputError, match='cannot write to the output folder'):
        segmentation.save(tmp_path / 'file' / 'out', 'street')


def test_save__what_is_asked_for(segmentation, tmp_path):
    paths = segmentation.save(tmp_path, kinds=list(SUFFIXES))
    assert sorted(paths.values()) == sorted(tmp_path.iterdir())
    assert paths['geojson'].name == 'image_polygons.geojson'
    shades = np.array(Image.open(paths['confidence']))
    assert shades.dtype == np.uint8
    np.testing.assert_allclose(shades / 255, segmentation.confidence, atol=0.5 / 255)
    assert (shades.min(), shades.max()) == (0, 255)
    fine = np.array(Image.open(paths['confidence16']))
    np.testing.assert_allclose(fine / 65535, segmentation.confidence, atol=0.6 / 65535)
    np.testing.assert_array_equal(np.load(paths['probabilities']), segmentation.probabilities)
    assert json.loads(paths['geojson'].read_text()) == segmentation.to_geojson()
    assert json.loads(paths['coco'].read_text()) == segmentation.to_coco()
    assert paths['yolo'].read_text() == segmentation.to_yolo()
    assert paths['cvat'].read_text() == segmentation.to_cvat()
    assert json.loads(paths['label-studio'].read_text()) == segmentation.to_label_studio()


def test_to_cvat__and_to_label_studio_name_the_image(segmentation):
    assert '<image name="sub/a.jpg" width=' in segmentation.to_cvat(file_name='sub/a.jpg')
    (task,) = segmentation.to_label_studio(address='/data/upload/a.jpg')
    assert task['data'] == {'image': '/data/upload/a.jpg'}
    # The mean confidence of all pixels.
    assert task['predictions'][0]['score'] == round(float(segmentation.confidence.mean()), 4)


def test_save__leaves_no_file_when_it_cannot_write_all(segmentation, tmp_path):
    bare = Segmentation(
        segmentation.labels, segmentation.classes, segmentation.palette, segmentation.image
    )
    for kind, message in (
        ('confidence16', 'no confidence to write; call the predictor with confidence=True'),
        ('probabilities', 'call the predictor with probabilities=True'),
        ('svg', "kinds of files are labels, .*, but 'svg' was asked for"),
    ):
        with pytest.raises(VisualizationError, match=message):
            bare.save(tmp_path / 'out', kinds=('labels', kind))
    with pytest.raises(VisualizationError, match='alpha'):
        bare.save(tmp_path / 'out', alpha=2)
    assert not (tmp_path / 'out').exists()


def test_areas__of_pixels(segmentation):
    assert segmentation.areas(pixel_area=1) == {'sky': 800.0, 'road': 400.0}
    assert segmentation.areas(pixel_area=0.25) == {'sky': 200.0, 'road': 100.0}


def test_polygons__by_class(segmentation):
    found = segmentation.polygons()
    assert list(found) == ['sky', 'road']
    (sky,) = found['sky']
    assert sorted(sky.exterior.tolist()) == [[0, 10], [0, 30], [40, 10], [40, 30]]
    assert sky.confidence == pytest.approx(segmentation.confidence[10:].mean())
    assert segmentation.polygons(min_area=401).keys() == {'sky'}


def test_to_geojson__and_to_coco(segmentation):
    sky, road = segmentation.to_geojson()['features']
    assert sky['properties']['class'] == 'sky'
    assert road['properties']['color'] == '#5a5a5a'
    found = segmentation.to_coco(outline='polygon', file_name='street.jpg')
    assert found['images'][0] == {'id': 1, 'file_name': 'street.jpg', 'height': 30, 'width': 40}
    assert [each['area'] for each in found['annotations']] == [800, 400]
    assert segmentation.to_coco()['images'][0]['file_name'] == 'image'


def test_repr_png__is_the_overlay_of_a_size_for_a_notebook(segmentation):
    picture = Image.open(io.BytesIO(segmentation._repr_png_()))
    np.testing.assert_array_equal(np.array(picture), segmentation.overlay())
    large = Segmentation(
        labels=np.kron(segmentation.labels, np.ones((60, 60), np.uint8)),
        classes=segmentation.classes,
        palette=segmentation.palette,
        image=np.kron(segmentation.image, np.ones((60, 60, 1), np.uint8)),
    )
    picture = np.array(Image.open(io.BytesIO(large._repr_png_())))
    assert max(picture.shape) < 1400
    np.testing.assert_array_equal(picture[700, 500], segmentation.overlay(legend=False)[20, 0])
