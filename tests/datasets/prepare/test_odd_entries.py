"""Annotations that cannot be used: all told at once, or left out and counted, in every layout."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from swinseg.datasets.prepare import (
    PrepareError,
    from_coco,
    from_cvat,
    from_labelme,
    from_supervisely,
    summary,
    write_dataset,
)
from swinseg.datasets.prepare.odd_entries import OddEntries

HEIGHT, WIDTH = 12, 16
SQUARE = [[2, 1], [6, 1], [6, 5], [2, 5]]


def coco(root):
    square = np.ravel(SQUARE).tolist()
    own = dict(image_id=1, category_id=1, iscrowd=0)
    content = {
        'images': [
            dict(id=number, file_name=name, height=HEIGHT, width=WIDTH)
            for number, name in ((1, 'a.png'), (2, 'gone.png'))
        ],
        'categories': [dict(id=1, name='car')],
        'annotations': [
            dict(own, id=1, segmentation=[square]),
            dict(own, id=2, segmentation=[], bbox=[4, 3, 6, 4]),
            dict(own, id='3', image_id='1', segmentation=[square]),
        ],
    }
    (root / 'a.json').write_text(json.dumps(content))
    return lambda **options: from_coco({'train': (root / 'a.json', root)}, val_share=0, **options)


def labelme(root):
    shapes = [
        dict(label='car', points=SQUARE, shape_type='polygon'),
        dict(label='lane', points=SQUARE[:2], shape_type='line'),
    ]
    (root / 'a.json').write_text(json.dumps(dict(imagePath='a.png', shapes=shapes)))
    (root / 'gone.json').write_text(json.dumps(dict(imagePath='gone.png', shapes=[])))
    (root / 'package.json').write_text(json.dumps(dict(name='foreign')))
    return lambda **options: from_labelme(root, val_share=0, **options)


def cvat(root):
    (root / 'annotations.xml').write_text(
        '<annotations><meta><task><labels><label><name>car</name></label></labels></task></meta>'
        f'<image id="0" name="a.png" width="{WIDTH}" height="{HEIGHT}">'
        '<polygon label="car" points="2,1;6,1;6,5;2,5"/><polyline label="car" points="2,1;6,1"/>'
        '<polygon label="bus" points="2,1;6,1;6,5;2,5"/></image>'
        f'<image id="1" name="gone.png" width="{WIDTH}" height="{HEIGHT}"/></annotations>'
    )
    return lambda **options: from_cvat(root, val_share=0, **options)


def supervisely(root):
    # A corner is the middle of its pixel here.
    exterior = [[2, 1], [5, 1], [5, 4], [2, 4]]
    objects = [
        dict(classTitle='car', geometryType=kind, points=dict(exterior=exterior, interior=[]))
        for kind in ('polygon', 'line')
    ]
    (root / 'meta.json').write_text(json.dumps(dict(classes=[dict(title='car')])))
    for folder in ('ann', 'img'):
        (root / 'set' / folder).mkdir(parents=True)
    (root / 'a.png').rename(root / 'set' / 'img' / 'a.png')
    for name in ('a.png', 'gone.png'):
        content = dict(size=dict(height=HEIGHT, width=WIDTH), objects=objects)
        (root / 'set' / 'ann' / f'{name}.json').write_text(json.dumps(content))
    return lambda **options: from_supervisely(root, val_share=0, **options)


LAYOUTS = {
    # What is found in the files, and what when the labels are made.
    coco: (
        ['annotation 3 of .*image_id', r'the image gone\.png'],
        ['annotation 2 of .* only a box'],
    ),
    labelme: (
        [r'gone\.json is about', r"package\.json must have 'shapes'"],
        ['shape 2 of .* is a line'],
    ),
    cvat: ([r'the image gone\.png'], ['shape 2 of .* polyline', "shape 3 of .* the label 'bus'"]),
    supervisely: ([r'gone\.png, which is not there'], ['object 2 of .* is a line']),
}


@pytest.mark.parametrize('layout', LAYOUTS, ids=lambda each: each.__name__)
def test_odd_entries__are_refused_together_or_left_out(layout, tmp_path):
    Image.new('RGB', (WIDTH, HEIGHT)).save(tmp_path / 'a.png')
    read = layout(tmp_path)
    in_files, in_labels = LAYOUTS[layout]
    with pytest.raises(PrepareError) as refused:
        read()
    assert_names(str(refused.value), in_files)

    written = write_dataset(read(skip_odd=True), tmp_path / 'out')
    (path,) = (tmp_path / 'out' / 'labels' / 'train').rglob('*.png')
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    if layout is coco:  # A box says that something is there.
        expected[3:7, 4:10] = 255
    expected[1:5, 2:6] = written.classes.index('car')
    np.testing.assert_array_equal(np.array(Image.open(path)), expected)
    told = summary(written)
    assert f'{len(in_files + in_labels)} entries were left out:' in told
    assert_names(told, in_files + in_labels)


def assert_names(text, patterns):
    for pattern in patterns:
        assert re.search(pattern, text), text


def test_odd_entries__found_in_labels_leave_nothing_behind(tmp_path):
    Image.new('RGB', (WIDTH, HEIGHT)).save(tmp_path / 'a.png')
    labelme(tmp_path)
    content = json.loads((tmp_path / 'a.json').read_text())
    for name in ('gone.json', 'package.json'):
        (tmp_path / name).unlink()
    content['shapes'] += content['shapes'][1:]
    (tmp_path / 'a.json').write_text(json.dumps(content))
    message = r'^2 entries cannot be used; .* --skip-odd:\n  shape 2 of .*\n  shape 3 of '
    with pytest.raises(PrepareError, match=message):
        write_dataset(from_labelme(tmp_path), tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    # Nothing is left where the only image is damaged.
    (tmp_path / 'a.png').write_text('text')
    with pytest.raises(
        PrepareError, match=r'no image is left to convert:\n .*a\.png is not an image'
    ):
        write_dataset(from_labelme(tmp_path, skip_odd=True), tmp_path / 'out')


def test_odd_entries__a_hundred_are_listed():
    def refuse():
        raise PrepareError('odd')

    odd = OddEntries()
    assert odd.attempt(lambda: 5) == 5
    for _ in range(103):
        assert odd.attempt(refuse) is None
    assert odd.listed().splitlines()[99:] == ['  odd', '  and 3 more']
    with pytest.raises(PrepareError, match='103 entries'):
        odd.check()
