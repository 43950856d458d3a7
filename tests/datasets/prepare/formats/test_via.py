"""VIA's regions to index labels."""

import math

import numpy as np
import pytest

from support.prepared import (
    HEIGHT,
    KITE,
    STAR,
    WIDTH,
    drawn,
    ellipse,
    label_of,
    save_image,
    save_json,
)
from swinseg.datasets.prepare import PrepareError, from_via, write_dataset


def region(label, name, **shape):
    attributes = label if isinstance(label, dict) else {'class': label}
    return {'shape_attributes': dict(name=name, **shape), 'region_attributes': attributes}


def outline(label, corners, name='polygon'):
    x, y = (list(values) for values in zip(*corners, strict=True))
    return region(label, name, all_points_x=x, all_points_y=y)


def image(*regions, name='a.png', **more):
    return {'filename': name, 'size': 123, 'regions': list(regions), 'file_attributes': {}, **more}


def export(folder, *images, project=False):
    save_image(folder / 'images' / 'a.png')
    content = {f'{each["filename"]}{each["size"]}': each for each in images}
    if project:
        content = {'_via_settings': {}, '_via_img_metadata': content, '_via_attributes': {}}
    return save_json(folder / 'via.json', content), folder / 'images'


@pytest.mark.parametrize('project', [False, True])
def test_via__polygons_and_boxes_in_their_order(tmp_path, project):
    box = region('dog', 'rect', x=20, y=10, width=8, height=4)
    closed = outline('ant', [*KITE, KITE[0]], 'polyline')
    files = export(tmp_path, image(outline('cat', STAR), closed, box), project=project)
    source = from_via(*files, val_share=0)
    assert source.classes == ['background', 'ant', 'cat', 'dog']
    expected = drawn([(STAR, 2), (KITE, 1)])
    expected[10:14, 20:28] = 3
    np.testing.assert_array_equal(label_of(source, tmp_path), expected)


def test_via__circles_and_ellipses(tmp_path):
    shapes = (
        region('a', 'circle', cx=8, cy=9, r=6.5),
        region('b', 'ellipse', cx=22, cy=12, rx=10, ry=5, theta=math.pi / 6),
    )
    label = label_of(from_via(*export(tmp_path, image(*shapes)), val_share=0), tmp_path)
    expected = drawn([(ellipse(8, 9, 6.5, 6.5), 1), (ellipse(22, 12, 10, 5, 30), 2)])
    assert (label == expected).mean() > 0.99


def test_via__numbered_regions_of_version_1_and_ticked_options(tmp_path):
    regions = {'0': outline(dict(kind={'cat': True, 'dog': False}), STAR)}
    files = export(tmp_path, image() | {'regions': regions})
    source = from_via(*files, attribute='kind', val_share=0)
    np.testing.assert_array_equal(label_of(source, tmp_path), drawn([(STAR, 1)]))


def test_via__which_attribute_says_the_class(tmp_path):
    files = export(tmp_path, image(outline({'class': 'cat', 'age': '3'}, STAR)))
    with pytest.raises(
        PrepareError, match='must have one attribute that says the class, but have age, class; name'
    ):
        from_via(*files)
    assert from_via(*files, attribute='class').classes == ['background', 'cat']


@pytest.mark.parametrize(
    ('images', 'message'),
    [
        ([image(outline('', STAR))], r"region 1 of the image a\.png .* must have one class in the attrib"),
        ([image(outline(dict(k={'a': True, 'b': True}), STAR))], 'must have one class in the attribute'),
        ([image(outline({}, STAR))], 'must have one attribute that says the class, but have none'),
        ([image(outline('a', STAR), name='b.png')], r'the image b\.png of .* is not in'),
        ([image(outline('a', STAR), name='/etc/passwd')], 'which is not inside the folder'),
        ([image(outline('a', STAR)), image(outline('a', STAR), size=5)], r'two entries for the image a\.png'),
        ([image(regions=3)], "must have 'regions', a list or dict"),
    ],
)  # fmt: skip
def test_via__files_that_are_wrong(tmp_path, images, message):
    with pytest.raises(PrepareError, match=message):
        from_via(*export(tmp_path, *images))


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (region('a', 'point', cx=1, cy=1), 'region 1 .* is a point, which covers no area'),
        (outline('a', STAR, 'polyline'), 'is a polyline, which covers no area'),
        (outline('a', STAR[:2]), 'must have 3 or more corners'),
        (region('a', 'polygon', all_points_x=[1, 2, 3], all_points_y=[1]), 'must have as many x as y'),
        (region('a', 'rect', x=1, y=1, width='9', height=2), "must have 'width', a int or float"),
        (region('a', 'circle', cx=1, cy=1e300, r=2), 'must have 1 or more corners'),
    ],
)  # fmt: skip
def test_via__regions_that_are_wrong(tmp_path, wrong, message):
    source = from_via(*export(tmp_path, image(wrong)))
    with pytest.raises(PrepareError, match=message):
        write_dataset(source, tmp_path / 'out')


def test_via__a_project_of_version_3(tmp_path):
    path = save_json(tmp_path / 'via.json', {'project': {}, 'metadata': {}, 'view': {}})
    with pytest.raises(PrepareError, match='is a project of VIA 3'):
        from_via(path, tmp_path)


def test_via__sizes_are_those_of_the_images(tmp_path):
    label = label_of(from_via(*export(tmp_path, image(outline('a', STAR))), val_share=0), tmp_path)
    assert label.shape == (HEIGHT, WIDTH)


def test_via__what_cannot_be_used_is_left_out_where_one_asks(tmp_path):
    images = (
        image(outline('cat', STAR), region('cat', 'point', cx=1, cy=1)),
        image(outline('cat', KITE), name='lost.png'),
    )
    source = from_via(*export(tmp_path, *images), val_share=0, skip_odd=True)
    np.testing.assert_array_equal(label_of(source, tmp_path), drawn([(STAR, 1)]))
    assert source.odd.count == 2
    with pytest.raises(PrepareError, match=r'lost\.png .* is not in .*; --skip-odd leaves it out'):
        from_via(*export(tmp_path, *images))
