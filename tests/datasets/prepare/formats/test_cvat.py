"""CVAT's shapes to index labels."""

import numpy as np
import pytest
from PIL import Image

from support import prepared
from support.prepared import KITE, STAR
from swinseg.datasets.prepare import PrepareError, from_cvat, write_dataset

HEIGHT, WIDTH = 12, 16
LABELS = '<label><name>road</name></label><label><name>car</name></label>'
POLYGON = '<polygon label="road" points="0.0,6.0;16.0,6.0;16.0,12.0;0.0,12.0" z_order="0"/>'


def image(name, *shapes, **more):
    attributes = dict(id=0, name=name, width=WIDTH, height=HEIGHT, **more)
    given = ' '.join(f'{key}="{value}"' for key, value in attributes.items())
    return f'<image {given}>{"".join(shapes)}</image>'


def export(folder, *images, labels=LABELS, files=('a.jpg',), start=''):
    """Write annotations.xml and images as CVAT exports a task."""
    for name in files:
        path = folder / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (WIDTH, HEIGHT)).save(path)
    folder.mkdir(exist_ok=True)
    meta = f'<meta><task><labels>{labels}</labels></task></meta>'
    text = f'{start}<annotations><version>1.1</version>{meta}{"".join(images)}</annotations>'
    (folder / 'annotations.xml').write_text(text)
    return folder


def label_of(source, tmp_path, name='train/a.png'):
    write_dataset(source, tmp_path / 'out')
    return np.array(Image.open(tmp_path / 'out' / 'labels' / name))


def test_cvat__shapes_and_their_order(tmp_path):
    shapes = (
        '<box label="car" xtl="4.0" ytl="7.0" xbr="9.0" ybr="10.0" z_order="2">'
        '<attribute name="n">1</attribute></box>',
        POLYGON,
        '<ellipse label="car" cx="13.0" cy="3.0" rx="2.0" ry="2.0" z_order="0"/>',
        '<mask label="car" rle="0, 1, 1, 3, 1" left="1" top="0" width="3" height="2" z_order="0"/>',
        '<mask label="background" rle="0, 2" left="5" top="8" width="2" height="1" z_order="3"/>',
        '<box label="car" xtl="11.0" ytl="9.0" xbr="15.0" ybr="11.0" rotation="90.0" z_order="1"/>',
        '<tag label="road"/>',
    )
    labels = LABELS + '<label><name>background</name></label>'
    source = from_cvat(export(tmp_path / 'in', image('a.jpg', *shapes), labels=labels), val_share=0)
    assert source.classes == ['background', 'road', 'car']
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[6:] = 1
    expected[7:10, 4:9] = 2
    expected[1:5, 11:15] = 2
    expected[[1, 1, 4, 4], [11, 14, 11, 14]] = 0
    expected[0, [1, 3]] = expected[1, 1:3] = 2
    expected[8, 5:7] = 0
    expected[8:12, 12:14] = 2
    np.testing.assert_array_equal(label_of(source, tmp_path), expected)


def test_cvat__subsets_are_splits(tmp_path):
    images = (image('a.jpg', POLYGON, subset='Train'), image('a.jpg', subset='Validation'))
    files = ('Train/a.jpg', 'Validation/a.jpg')
    written = write_dataset(
        from_cvat(export(tmp_path / 'in', *images, files=files)), tmp_path / 'out'
    )
    assert written.images == {'train': 1, 'val': 1}
    assert written.pixels.tolist() == [HEIGHT * WIDTH * 3 // 2, HEIGHT * WIDTH // 2, 0]


def test_cvat__parts_of_a_skeleton_are_no_classes(tmp_path):
    labels = LABELS + '<label><name>elbow</name><parent>person</parent></label>'
    assert 'elbow' not in from_cvat(export(tmp_path, image('a.jpg'), labels=labels)).classes


@pytest.mark.parametrize(
    ('shape', 'message'),
    [
        ('<polyline label="car" points="1,1;2,2"/>', r'shape 1 of image a\.jpg .* is a polyline, which covers'),
        ('<polygon label="car" points="1,1;2,2"/>', 'must have 3 or more corners'),
        ('<polygon label="car" points="1,1;2;3,3"/>', 'must have 3 or more corners'),
        ('<polygon label="van" points="1,1;2,2;3,3"/>', "has the label 'van', which is not among"),
        ('<box label="car" xtl="1" ytl="x" xbr="3" ybr="3"/>', "must have 'ytl', a number, but has 'x'"),
        ('<box label="car" xtl="1" ytl="1" xbr="3"/>', "must have 'ybr', a number, but has None"),
        ('<polygon label="car" points="1,1;2,2;3,3" z_order="top"/>', "must have 'z_order', a number"),
        ('<ellipse label="car" cx="1" cy="1" rx="1e300" ry="nan"/>', "must have 'rx', a number, but has '1e300'"),
        ('<mask label="car" rle="3" left="0" top="0" width="2" height="2"/>', 'must add up to as many'),
        ('<mask label="car" rle="4" left="0" top="0" width="-2" height="-2"/>', r'mask of shape 1 .* is damaged'),
        ('<mask label="car" rle="4" left="15" top="0" width="2" height="2"/>', 'lead out of 12 x 16 pixels'),
        ('<mask label="car" rle="a" left="0" top="0" width="2" height="2"/>', r'mask of shape 1 .* is damaged'),
    ],
)  # fmt: skip
def test_cvat__shapes_that_are_wrong(tmp_path, shape, message):
    source = from_cvat(export(tmp_path / 'in', image('a.jpg', shape)))
    with pytest.raises(PrepareError, match=message):
        write_dataset(source, tmp_path / 'out')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(labels=''), r'annotations\.xml names no labels'),
        (dict(files=()), r'the image a\.jpg of .*annotations\.xml is not in .*images'),
        (dict(start='<oops>'), r'annotations\.xml is no valid XML of CVAT: no element found'),
        (dict(start='<!DOCTYPE a [<!ENTITY b "c">]>'), 'it has the document type a, which no export has'),
    ],
)  # fmt: skip
def test_cvat__files_that_are_wrong(tmp_path, changes, message):
    folder = export(tmp_path / 'in', image('a.jpg', POLYGON), **changes)
    with pytest.raises(PrepareError, match=message):
        from_cvat(folder)


def test_cvat__frames_of_a_video(tmp_path):
    with pytest.raises(PrepareError, match='is about the frames of a video'):
        from_cvat(export(tmp_path, '<track id="0" label="car"/>'))


def test_cvat__an_image_twice(tmp_path):
    with pytest.raises(PrepareError, match='has two entries for one image'):
        from_cvat(export(tmp_path, image('a.jpg'), image('a.jpg', POLYGON)))


def test_cvat__nothing_there(tmp_path):
    with pytest.raises(PrepareError, match=r'annotations\.xml cannot be read: No such file'):
        from_cvat(tmp_path)


def test_cvat__polygons_and_ellipses_are_those_of_gdal(tmp_path):
    def corners(points):
        return ';'.join(f'{x},{y}' for x, y in points)

    size = dict(id=0, name='a.jpg', width=prepared.WIDTH, height=prepared.HEIGHT)
    attributes = ' '.join(f'{key}="{value}"' for key, value in size.items())
    shapes = (
        f'<polygon label="car" points="{corners(KITE)}" z_order="1"/>'
        f'<polygon label="road" points="{corners(STAR)}" z_order="0"/>'
        '<ellipse label="car" cx="24.2" cy="12.3" rx="5.1" ry="2.6" rotation="30.0" z_order="2"/>'
    )
    folder = export(tmp_path / 'in', f'<image {attributes}>{shapes}</image>')
    prepared.save_image(folder / 'images' / 'a.jpg')
    label = label_of(from_cvat(folder, val_share=0), tmp_path)
    turned = prepared.ellipse(24.2, 12.3, 5.1, 2.6, 30)
    np.testing.assert_array_equal(label, prepared.drawn([(STAR, 1), (KITE, 2), (turned, 2)]))
