"""Supervisely's objects to index labels."""

import base64
import io
import json
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from broken_inputs.place import png_header
from support import prepared
from support.prepared import KITE, STAR
from swinseg.datasets.prepare import PrepareError, from_supervisely, write_dataset

HEIGHT, WIDTH = 12, 16
CLASSES = [dict(title=title, shape='any', color='#ff0000') for title in ('road', 'car')]


def entry(title, kind, exterior=(), interior=(), **more):
    points = dict(exterior=list(exterior), interior=list(interior))
    return dict(classTitle=title, geometryType=kind, points=points, **more)


def bitmap(png, origin=(0, 0), title='car'):
    data = base64.b64encode(zlib.compress(png)).decode()
    return entry(title, 'bitmap', bitmap=dict(data=data, origin=list(origin)))


def png(pixels, mode=None):
    buffer = io.BytesIO()
    Image.fromarray(pixels, mode).save(buffer, 'PNG')
    return buffer.getvalue()


def project(folder, *objects, name='a', dataset='train', **changes):
    """Write an image with its annotation, as Supervisely exports them, into a dataset of the project."""
    for kind in ('img', 'ann'):
        (folder / dataset / kind).mkdir(parents=True, exist_ok=True)
    (folder / 'meta.json').write_text(json.dumps(dict(classes=CLASSES, tags=[])))
    Image.new('RGB', (WIDTH, HEIGHT)).save(folder / dataset / 'img' / f'{name}.jpg')
    content = {'size': dict(height=HEIGHT, width=WIDTH), 'objects': objects, **changes}
    (folder / dataset / 'ann' / f'{name}.jpg.json').write_text(json.dumps(content))
    return folder


def test_supervisely__objects_and_their_order(tmp_path):
    alpha = np.zeros((2, 2, 4), np.uint8)
    alpha[..., 3] = [[255, 0], [0, 255]]
    folder = project(
        tmp_path / 'in',
        entry('road', 'polygon', [[0, 6], [15, 6], [15, 11], [0, 11]], [[[2, 8], [4, 8], [4, 9], [2, 9]]]),
        entry('car', 'rectangle', [[9, 9], [7, 7]]),
        bitmap(png(np.array([[1, 0, 1], [1, 1, 0]], bool)), (1, 0)),
        bitmap(png(alpha), (14, 0), 'road'),
    )  # fmt: skip
    source = from_supervisely(folder)
    assert source.classes == ['background', 'road', 'car']
    write_dataset(source, tmp_path / 'out')
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[6:] = 1
    expected[8:10, 2:5] = 0
    expected[7:10, 7:10] = 2
    expected[0, [1, 3]] = expected[1, 1:3] = 2
    expected[[0, 1], [14, 15]] = 1
    label = np.array(Image.open(tmp_path / 'out' / 'labels' / 'train' / 'a.png'))
    np.testing.assert_array_equal(label, expected)


def test_supervisely__datasets_are_splits_and_others_are_not(tmp_path):
    project(tmp_path / 'in')
    project(tmp_path / 'in', dataset='val', name='b')
    assert write_dataset(from_supervisely(tmp_path / 'in'), tmp_path / 'out').images == {
        'train': 1, 'val': 1,
    }  # fmt: skip
    project(tmp_path / 'in', dataset='monday')
    names = {sample.name for sample in from_supervisely(tmp_path / 'in').samples}
    assert names == {'train/a', 'val/b', 'monday/a'}


BOMB = base64.b64encode(zlib.compress(bytes(10**7))).decode()


@pytest.mark.parametrize(
    ('objects', 'changes', 'message'),
    [
        ([entry('car', 'line', [[1, 1], [2, 2]])], {}, r'object 1 of .*a\.jpg\.json is a line, which covers'),
        ([entry('van', 'polygon')], {}, r"has the class 'van', which is not in meta\.json"),
        ([entry('car', 'polygon', [[1, 1], [2, 2]])], {}, 'must have 3 or more corners'),
        ([entry('car', 'rectangle', [[1, 1]])], {}, 'must have 2 or more corners'),
        ([entry('car', 'polygon', [[1, 'x']] * 3)], {}, 'must have 3 or more corners'),
        ([entry(5, 'polygon')], {}, "must have 'classTitle', a str, but has classTitle=5"),
        ([bitmap(b'no picture')], {}, 'the bitmap of object 1 .* is damaged'),
        ([bitmap(png_header(60_000, 60_000))], {}, 'damaged or leads out of the image: rows 0 to 60000'),
        ([bitmap(png(np.ones((2, 3), bool)), (14, 0))], {}, 'lead out of 12 x 16 pixels'),
        ([bitmap(png(np.ones((2, 3), bool)), (1, 'x'))], {}, 'the bitmap of object 1 .* is damaged'),
        ([bitmap(b'')], {}, 'the bitmap of object 1 .* is damaged'),
        ([entry('car', 'bitmap', bitmap=dict(data=BOMB, origin=[0, 0]))], {}, 'the bitmap of object 1'),
        ([entry('car', 'bitmap', bitmap=dict(data='%', origin=[0, 0]))], {}, 'the bitmap of object 1'),
        ([], {'size': dict(height=5, width=16)}, r'is about an image of 5 x 16 pixels, but .* has 12 x 16'),
        ([], {'size': None}, "must have 'size', a dict"),
    ],
)  # fmt: skip
def test_supervisely__mistakes(tmp_path, objects, changes, message):
    folder = project(tmp_path / 'in', *objects)
    path = folder / 'train' / 'ann' / 'a.jpg.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(PrepareError, match=message):
        write_dataset(from_supervisely(folder), tmp_path / 'out')


def test_supervisely__something_is_not_there(tmp_path):
    folder = project(tmp_path)
    (folder / 'train' / 'img' / 'a.jpg').unlink()
    with pytest.raises(PrepareError, match=r'is about the image .*a\.jpg, which is not there'):
        from_supervisely(folder)
    (folder / 'train' / 'ann' / 'a.jpg.json').unlink()
    with pytest.raises(PrepareError, match='there is no annotation'):
        from_supervisely(folder)
    (folder / 'meta.json').unlink()
    with pytest.raises(PrepareError, match=r'meta\.json cannot be read'):
        from_supervisely(folder)


def test_supervisely__polygons_are_those_of_pillow(tmp_path):
    """Corners are pixels, and belong to the area, as in what Supervisely draws itself."""
    height, width = 120, 180
    star, kite = (np.round(np.array(corners) * 5).astype(int) for corners in (STAR, KITE))
    folder = project(
        tmp_path / 'in',
        entry('road', 'polygon', star.tolist(), [kite.tolist()]),
        size=dict(height=height, width=width),
    )
    prepared.save_image(folder / 'train' / 'img' / 'a.jpg', (height, width))
    label = prepared.label_of(from_supervisely(folder), tmp_path)
    picture = Image.new('L', (width, height))
    pen = ImageDraw.Draw(picture)
    pen.polygon([tuple(corner) for corner in star.tolist()], fill=1, outline=1)
    pen.polygon([tuple(corner) for corner in kite.tolist()], fill=0, outline=0)
    expected = np.asarray(picture)
    assert 0.2 < expected.mean() < 0.4
    # The two draw oblique lines one pixel apart here and there, and nowhere two.
    apart = (label != expected).astype(np.uint8)
    assert apart.mean() < 0.01
    assert not cv2.erode(apart, np.ones((2, 2), np.uint8)).any()


def test_supervisely__alpha_masks_and_objects_that_do_not_say_their_kind(tmp_path):
    def older(entry):
        return {key: value for key, value in entry.items() if key != 'geometryType'}

    shaded = np.array([[0, 127, 128], [255, 1, 200]], np.uint8)
    alpha = {**bitmap(png(shaded), (3, 1)), 'geometryType': 'alpha_mask'}
    folder = project(
        tmp_path / 'in',
        alpha,
        older(entry('road', 'polygon', [[0, 6], [15, 6], [15, 11], [0, 11]])),
        older(entry('car', 'rectangle', [[9, 9], [7, 7]])),
        older(bitmap(png(np.array([[1, 0, 1]], bool)), (10, 3))),
    )
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[1:3, 3:6][shaded >= 128] = 2
    expected[6:] = 1
    expected[7:10, 7:10] = 2
    expected[3, [10, 12]] = 2
    np.testing.assert_array_equal(prepared.label_of(from_supervisely(folder), tmp_path), expected)
    older_point = older(entry('car', 'point', [[1, 1]]))
    with pytest.raises(PrepareError, match='is a point, which covers no area'):
        write_dataset(from_supervisely(project(tmp_path / 'point', older_point)), tmp_path / 'no')
