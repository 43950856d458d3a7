"""Labelme's shapes to index labels."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from support import prepared
from support.prepared import KITE, STAR
from swinseg.datasets.prepare import PrepareError, from_labelme, write_dataset

HEIGHT, WIDTH = 12, 16


def shape(label, points, kind='polygon', **more):
    return dict(label=label, points=points, shape_type=kind, **more)


def write(folder, name, *shapes, image=None, **changes):
    path = folder / f'{name}.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    image = f'{path.stem}.jpg' if image is None else image
    Image.new('RGB', (WIDTH, HEIGHT)).save(path.parent / image)
    content = dict(
        imagePath=image, imageData=None, imageHeight=HEIGHT, imageWidth=WIDTH, shapes=shapes
    )
    path.write_text(json.dumps({**content, **changes}))


def png(mask):
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, 'PNG')
    return base64.b64encode(buffer.getvalue()).decode()


def test_labelme__shapes_and_their_order(tmp_path):
    mask = np.array([[1, 0, 1], [1, 1, 0]], bool)
    write(
        tmp_path / 'in', 'a',
        shape('road', [[0, 6], [16, 6], [16, 12], [0, 12]]),
        shape('car', [[9, 10], [4, 7]], 'rectangle'),
        shape('sun', [[13.0, 3.0], [13.0, 5.0]], 'circle'),
        shape('leaf', [[1, 0], [3, 1]], 'mask', mask=png(mask)),
        shape('__ignore__', [[5, 8], [7, 8], [7, 9], [5, 9]]),
    )  # fmt: skip
    written = write_dataset(from_labelme(tmp_path / 'in', val_share=0), tmp_path / 'out')
    assert written.classes == ('background', 'car', 'leaf', 'road', 'sun')
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[6:] = 3
    expected[7:10, 4:9] = 1
    expected[1:5, 11:15] = 4
    expected[[1, 1, 4, 4], [11, 14, 11, 14]] = 0
    expected[0:2, 1:4][mask] = 2
    expected[8, 5:7] = 255
    label = np.array(Image.open(tmp_path / 'out' / 'labels' / 'train' / 'a.png'))
    np.testing.assert_array_equal(label, expected)


def test_labelme__folders_are_splits_and_images_may_lie_elsewhere(tmp_path):
    write(tmp_path / 'in', 'train/a', shape('b', [[0, 0], [3, 0], [3, 3]]))
    write(tmp_path / 'in', 'val/c', imagePath='gone.png')
    written = write_dataset(from_labelme(tmp_path / 'in'), tmp_path / 'out')
    assert written.images == {'train': 1, 'val': 1}
    assert (tmp_path / 'out' / 'images' / 'val' / 'c.jpg').is_file()


@pytest.mark.parametrize(
    ('shapes', 'changes', 'message'),
    [
        ([shape('a', [[1, 1], [2, 2]], 'line')], {}, r'shape 1 of .*a\.json is a line, which covers no'),
        ([shape('a', [[1, 1], [2, 2]])], {}, r'shape 1 .* must have 3 or more corners'),
        ([shape('a', [[1, 1]], 'circle')], {}, r'must have 2 or more corners'),
        ([shape('a', [[1, 'x']] * 3)], {}, r'must have 3 or more corners'),
        ([shape(5, [])], {}, r"a shape of .*a\.json must have 'label', a str, but has label=5"),
        ([shape('a', [[0, 0], [9, 9]], 'mask', mask='AA')], {}, r'the mask of shape 1 .* is damaged'),
        (
            [shape('a', [[15, 0], [17, 1]], 'mask', mask=png(np.ones((2, 3), bool)))], {},
            'damaged or leads out of the image',
        ),
        ([], {'shapes': None}, "must have 'shapes', a list"),
        ([], {'imageHeight': 5}, r'is about an image of 5 x 16 pixels, but .*a\.jpg has 12 x 16'),
    ],
)  # fmt: skip
def test_labelme__mistakes(tmp_path, shapes, changes, message):
    write(tmp_path / 'in', 'a', *shapes, **changes)
    with pytest.raises(PrepareError, match=message):
        write_dataset(from_labelme(tmp_path / 'in'), tmp_path / 'out')


def test_labelme__nothing_there(tmp_path):
    with pytest.raises(PrepareError, match='there is no Labelme file'):
        from_labelme(tmp_path)
    write(tmp_path, 'a')
    (tmp_path / 'a.jpg').unlink()
    with pytest.raises(PrepareError, match=r'is about the image a\.jpg, which is not there'):
        from_labelme(tmp_path)


def test_labelme__polygons_are_those_of_gdal(tmp_path):
    shapes = (
        shape('road', STAR),
        shape('car', KITE),
        shape('sun', [[20.3, 6.2], [24.1, 6.2]], 'circle'),
    )
    size = dict(imageHeight=prepared.HEIGHT, imageWidth=prepared.WIDTH)
    write(tmp_path / 'in', 'a', *shapes, **size)
    prepared.save_image(tmp_path / 'in' / 'a.jpg')
    label = prepared.label_of(from_labelme(tmp_path / 'in', val_share=0), tmp_path)
    outlines = [(STAR, 2), (KITE, 1), (prepared.ellipse(20.3, 6.2, 3.8, 3.8), 3)]
    np.testing.assert_array_equal(label, prepared.drawn(outlines))


@pytest.mark.parametrize('kind', ['oriented_rectangle', 'rotation'])
def test_labelme__turned_rectangles_have_their_corners(tmp_path, kind):
    write(tmp_path / 'in', 'a', shape('road', KITE, kind), imageHeight=24, imageWidth=36)
    prepared.save_image(tmp_path / 'in' / 'a.jpg')
    label = prepared.label_of(from_labelme(tmp_path / 'in', val_share=0), tmp_path)
    np.testing.assert_array_equal(label, prepared.drawn([(KITE, 1)]))


def test_labelme__an_image_that_is_only_inside_of_its_file(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    write(
        tmp_path / 'in',
        'a',
        shape('road', [[0, 6], [16, 6], [16, 12], [0, 12]]),
        imageData=png(pixels),
    )
    (tmp_path / 'in' / 'a.jpg').unlink()
    label = prepared.label_of(from_labelme(tmp_path / 'in', val_share=0), tmp_path)
    np.testing.assert_array_equal(label[[5, 6]], [[0] * WIDTH, [1] * WIDTH])
    written = np.array(Image.open(tmp_path / 'out' / 'images' / 'train' / 'a.png'))
    np.testing.assert_array_equal(written, pixels)


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (
            png(np.zeros((HEIGHT, WIDTH), np.uint8))[:80],
            r'inside of .*a\.json is (damaged|cut short)',
        ),
        (png(np.zeros((5, 5), np.uint8)), r'is about an image of 12 x 16 pixels, but .* has 5 x 5'),
        ('no base64 \u00e4', r'is about the image a\.jpg, which is not there'),
        (base64.b64encode(b'text').decode(), r'is about the image a\.jpg, which is not there'),
    ],
)
def test_labelme__an_image_inside_that_is_none(tmp_path, data, message):
    write(tmp_path / 'in', 'a', shape('road', [[0, 6], [16, 6], [16, 12]]), imageData=data)
    (tmp_path / 'in' / 'a.jpg').unlink()
    with pytest.raises(PrepareError, match=message):
        write_dataset(from_labelme(tmp_path / 'in', val_share=0), tmp_path / 'out')


def test_labelme__an_image_path_that_names_the_file_itself(tmp_path):
    write(
        tmp_path / 'in',
        'a',
        shape('road', [[0, 6], [16, 6], [16, 12], [0, 12]]),
        imagePath='a.json',
    )
    label = prepared.label_of(from_labelme(tmp_path / 'in', val_share=0), tmp_path)
    np.testing.assert_array_equal(label[[5, 6]], [[0] * WIDTH, [1] * WIDTH])
    assert (tmp_path / 'out' / 'images' / 'train' / 'a.jpg').is_file()
