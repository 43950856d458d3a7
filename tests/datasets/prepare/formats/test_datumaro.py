"""Datumaro's annotations to index labels."""

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
from swinseg.datasets.prepare import PrepareError, from_datumaro, write_dataset

NAMES = ('road', 'car', 'tree')


def polygon(label, corners, **more):
    return dict(type='polygon', label_id=label, points=np.ravel(corners).tolist(), **more)


def export(root, *annotations, subset='default', names=NAMES, image=None, **changes):
    image = {'path': 'a.png', 'size': [HEIGHT, WIDTH]} if image is None else image
    save_image(root / 'images' / subset / 'a.png')
    content = {
        'dm_format_version': '1.0',
        'categories': {'label': {'labels': [dict(name=name, parent='') for name in names]}},
        'items': [{'id': 'a', 'annotations': list(annotations), 'image': image}],
        **changes,
    }
    save_json(root / 'annotations' / f'{subset}.json', content)
    return root


def test_datumaro__shapes_by_their_height(tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[3:5, 10:30] = 1
    flat = mask.ravel(order='F')
    edges = np.flatnonzero(np.diff(flat, prepend=0))
    counts = np.diff(edges, prepend=0, append=flat.size).tolist()
    source = from_datumaro(
        export(
            tmp_path / 'in',
            polygon(1, KITE, z_order=2),
            polygon(0, STAR, z_order=1),
            dict(type='mask', label_id=2, rle=dict(counts=counts, size=[HEIGHT, WIDTH]), z_order=1),
            dict(type='bbox', label_id=1, bbox=[30, 18, 4, 3], z_order=0),
            dict(type='label', label_id=1),
            dict(type='caption', caption='a street'),
        ),
        val_share=0,
    )
    assert source.classes == ['background', *NAMES]
    expected = drawn([([(30, 18), (34, 18), (34, 21), (30, 21)], 2), (STAR, 1)])
    expected[mask > 0] = 3
    kite = drawn([(KITE, 2)])
    np.testing.assert_array_equal(label_of(source, tmp_path), np.where(kite, kite, expected))


def test_datumaro__a_compressed_mask_and_an_ellipse(tmp_path):
    # pycocotools.mask.encode of rows 2 to 5, columns 3 to 6.
    mask = dict(type='mask', label_id=0, rle=dict(counts='Z24d000000fe0', size=[HEIGHT, WIDTH]))
    oval = dict(type='ellipse', label_id=1, points=[10, 6, 30, 20])
    source = from_datumaro(export(tmp_path / 'in', mask, oval), val_share=0)
    expected = drawn([([(3, 2), (7, 2), (7, 6), (3, 6)], 1), (ellipse(20, 13, 10, 7), 2)])
    label = label_of(source, tmp_path)
    np.testing.assert_array_equal(label == 1, expected == 1)
    assert (label == expected).mean() > 0.995


def test_datumaro__subsets_are_splits(tmp_path):
    for subset in ('train', 'val'):
        export(tmp_path / 'in', polygon(0, STAR), subset=subset)
        sidecar = tmp_path / 'in' / 'annotations' / f'._{subset}.json'
        sidecar.write_bytes(b'\0\5\x16\7')
    assert write_dataset(from_datumaro(tmp_path / 'in'), tmp_path / 'out').images == {
        'train': 1,
        'val': 1,
    }


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(items=[dict(id='a')]), "item a of .* must have 'image', a dict, but has none"),
        (
            dict(image=dict(path='b.jpg'), items=[dict(id='b', image={})]),
            r'the image b\.jpg of item b .* is not in',
        ),
        (dict(image=dict(path='/home/x/a.png')), 'which is not inside the folder'),
        (dict(categories={}), "categories of .* must have 'label', a dict"),
        (dict(items=[dict(id='a', image={}, annotations=[])] * 2), 'has two items of the id a'),
    ],
)
def test_datumaro__files_that_are_wrong(tmp_path, changes, message):
    with pytest.raises(PrepareError, match=message):
        from_datumaro(export(tmp_path, **changes))


@pytest.mark.parametrize(
    ('wrong', 'changes', 'message'),
    [
        (polygon(3, STAR), {}, 'annotation 1 of item a .* has the label 3, which is not among'),
        (polygon(None, STAR), {}, "must have 'label_id', a int, but has label_id=None"),
        (polygon(0, STAR[:2]), {}, 'must have 3 or more corners'),
        (dict(type='points', label_id=0, points=[1, 2]), {}, 'is a points, which covers no area'),
        (dict(type='bbox', label_id=0, bbox=[1, 2, 3, 4, 5, 6]), {}, 'must have 4 numbers'),
        (
            dict(type='mask', label_id=0, rle=dict(counts='1', size=[2, 2])),
            {},
            r'has a mask of \[2, 2\], but its',
        ),
        (
            polygon(0, STAR),
            dict(image=dict(path='a.png', size=[3, 4])),
            'about an image of 3 x 4 pixels',
        ),
        (
            polygon(0, STAR),
            dict(image=dict(path='a.png', size=[3])),
            r"must have 'size', \[height, width\]",
        ),
    ],
)
def test_datumaro__annotations_that_are_wrong(tmp_path, wrong, changes, message):
    source = from_datumaro(export(tmp_path / 'in', wrong, **changes))
    with pytest.raises(PrepareError, match=message):
        write_dataset(source, tmp_path / 'out')


def test_datumaro__subsets_of_two_datasets_and_none(tmp_path):
    export(tmp_path, subset='train')
    export(tmp_path, subset='val', names=['x'])
    with pytest.raises(PrepareError, match=r'val\.json has other labels than .*train\.json'):
        from_datumaro(tmp_path)
    with pytest.raises(PrepareError, match=r'there is no annotation \(annotations/\*\.json\)'):
        from_datumaro(tmp_path / 'images')


def test_datumaro__what_cannot_be_used_is_left_out_where_one_asks(tmp_path):
    root = export(tmp_path / 'in', polygon(0, STAR), dict(type='points', label_id=0, points=[1, 2]))
    source = from_datumaro(root, val_share=0, skip_odd=True)
    np.testing.assert_array_equal(label_of(source, tmp_path), drawn([(STAR, 1)]))
    assert source.odd.count == 1
