"""Names of files and of classes, fields and masks that come out of an annotation file."""

import json
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from swinseg.datasets.prepare import PrepareError, from_coco, from_labelme
from swinseg.datasets.prepare.annotations import class_names, field, inner_name, points


@pytest.mark.parametrize(
    ('name', 'below', 'expected'),
    [
        ('a.jpg', '', 'a.jpg'),
        ('./sub//a.jpg', '', 'sub/a.jpg'),
        ('sub\\a.jpg', '', 'sub/a.jpg'),
        ('..\\images\\a.jpg', 'json', 'images/a.jpg'),
        ('2020-01-01T10:00.jpg', '', '2020-01-01T10:00.jpg'),
        ('..a/...jpg', '', '..a/...jpg'),
    ],
)
def test_inner_name(name, below, expected):
    assert inner_name(name, 'a file', below=below) == expected


@pytest.mark.parametrize(
    'name',
    [
        '', '.', '..', '../a.jpg', 'a/../../b.jpg', '/etc/passwd', '//host/a.jpg', '\\\\host\\share\\a.jpg',
        'C:\\a.jpg', 'c:a.jpg', '..\\a.jpg', 'a\0.jpg',
    ],
)  # fmt: skip
def test_inner_name__leads_out(name):
    with pytest.raises(PrepareError, match=r'^a file names the file .*, which is not inside the f'):
        inner_name(name, 'a file')


def test_links_in_the_folder_are_its_owners(tmp_path):
    """They are followed: data sets are often put together of links to another drive."""
    Image.new('RGB', (6, 4)).save(tmp_path / 'photo.png')
    (tmp_path / 'set').mkdir()
    (tmp_path / 'set' / 'a.png').symlink_to(tmp_path / 'photo.png')
    (tmp_path / 'set' / 'a.json').write_text('{"imagePath": "a.png", "shapes": []}')
    (sample,) = from_labelme(tmp_path / 'set').samples
    assert not sample.label().any()


def test_labelme__image_in_another_folder_of_the_set(tmp_path):
    for folder in ('json', 'images'):
        (tmp_path / folder).mkdir()
    Image.new('RGB', (6, 4)).save(tmp_path / 'images' / 'a.png')
    (tmp_path / 'json' / 'a.json').write_text(
        '{"imagePath": "..\\\\images\\\\a.png", "shapes": []}'
    )
    (sample,) = from_labelme(tmp_path).samples
    assert sample.image == tmp_path / 'images' / 'a.png'


def test_class_names__background_comes_first_and_once():
    assert class_names(['cat', 'background', 'cat', 'dog'], 'f') == ['background', 'cat', 'dog']
    assert len(class_names([str(number) for number in range(254)], 'f')) == 255
    with pytest.raises(PrepareError, match='has 256 classes with the background'):
        class_names([str(number) for number in range(255)], 'f')


@pytest.mark.parametrize('name', ['', ' ', '\ud800', 'a\nb', '\x1b[31m'])
def test_class_names__that_cannot_be_read(name):
    with pytest.raises(PrepareError, match='a class with the name'):
        class_names([name], 'f')


@pytest.mark.parametrize(
    'entry', [{'id': True}, {'id': '1'}, {'id': [[[[1]]]]}, {}, [1], 'id', None, {'id': 1e308}]
)
def test_field__of_another_type(entry):
    with pytest.raises(PrepareError, match=r"^f must have 'id', a int, but (has|is) "):
        field(entry, 'id', int, 'f')


@pytest.mark.parametrize(
    'values',
    [
        [1e308] * 6,
        [float('nan')] * 6,
        [float('inf')] * 6,
        [10**400] * 6,
        [2**31] * 6,
        'ab',
        {},
        5,
        [[1], [2, 3]],
    ],
)
def test_points__that_are_none(values):
    with pytest.raises(PrepareError, match='f must have 3 or more corners'):
        points(values, 'f', fewest=3)


def test_coco__masks_are_not_kept_while_they_are_drawn(tmp_path):
    """Ten thousand masks of whole images would be 12 GB; the smallest is on top, and of two the later one."""
    size = (1200, 1000)
    Image.new('RGB', size[::-1]).save(tmp_path / 'a.png')
    from_file = {
        'images': [dict(id=1, file_name='a.png', height=size[0], width=size[1])],
        'categories': [dict(id=1, name='cat'), dict(id=2, name='dog')],
        'annotations': [
            dict(
                id=n, image_id=1, category_id=1 + n % 2,
                segmentation=dict(size=size, counts=[n, size[0] * size[1] - n]),
            )
            for n in (3, 1, 2, 4)
        ],
    }  # fmt: skip
    (tmp_path / 'a.json').write_text(json.dumps(from_file))
    (sample,) = from_coco({'train': (tmp_path / 'a.json', tmp_path)}, val_share=0).samples
    label = sample.label().T.ravel()
    assert label[:6].tolist() == [0, 2, 1, 2, 1, 1]
    from_file['annotations'] *= 10
    (tmp_path / 'a.json').write_text(json.dumps(from_file))
    (sample,) = from_coco({'train': (tmp_path / 'a.json', tmp_path)}, val_share=0).samples
    tracemalloc.start()
    try:
        sample.label()
        assert tracemalloc.get_traced_memory()[1] < 20 * np.prod(size)
    finally:
        tracemalloc.stop()
