"""Label Studio's tasks to index labels."""

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
from swinseg.datasets.prepare import PrepareError, from_label_studio, write_dataset
from swinseg.datasets.prepare.brush_rle import encode_brush


def percent(corners):
    return [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in corners]


def result(kind, label, value, **more):
    return {
        'id': 'abc', 'type': kind, 'from_name': 'label', 'to_name': 'image', 'original_width': WIDTH,
        'original_height': HEIGHT, 'image_rotation': 0, 'value': {**value, kind: [label]}, **more,
    }  # fmt: skip


def polygon(label, corners, **more):
    return result('polygonlabels', label, dict(points=percent(corners), closed=True), **more)


def brush(label, mask):
    return result('brushlabels', label, dict(format='rle', rle=encode_brush(mask)))


def task(*results, image='/data/upload/3/0123abcd-a.png', **more):
    return {
        'id': 7,
        'data': {'image': image},
        'annotations': [{'id': 1, 'result': list(results)}],
        **more,
    }


def export(folder, *tasks, names=('a.png',)):
    for name in names:
        save_image(folder / 'images' / name)
    return save_json(folder / 'export.json', list(tasks)), folder / 'images'


def test_label_studio__shapes_and_their_order(tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[2:4, 5:30:2] = True
    box = result('rectanglelabels', 'dog', dict(x=50, y=50, width=25, height=25, rotation=0))
    source = from_label_studio(
        *export(
            tmp_path, task(polygon('cat', STAR), polygon('dog', KITE), brush('ant', mask), box)
        ),
        val_share=0,
    )
    assert source.classes == ['background', 'ant', 'cat', 'dog']
    expected = drawn([(STAR, 2), (KITE, 3)])
    expected[mask] = 1
    expected[12:18, 18:27] = 3
    np.testing.assert_array_equal(label_of(source, tmp_path), expected)


def test_label_studio__ellipses_and_turned_rectangles(tmp_path):
    oval = dict(
        x=100 * 18 / WIDTH, y=50, radiusX=100 * 12 / WIDTH, radiusY=100 * 6 / HEIGHT, rotation=30
    )
    turned = dict(
        x=100 * 20.2 / WIDTH, y=100 * 3.3 / HEIGHT, width=100 * 9 / WIDTH, height=25, rotation=90
    )
    source = from_label_studio(
        *export(
            tmp_path,
            task(result('ellipselabels', 'a', oval), result('rectanglelabels', 'b', turned)),
        ),
        val_share=0,
    )
    # About the corner that is at the upper left before the turn.
    corners = [(20.2, 3.3), (20.2, 12.3), (14.2, 12.3), (14.2, 3.3)]
    label = label_of(source, tmp_path)
    expected = drawn([(ellipse(18, 12, 12, 6, 30), 1), (corners, 2)])
    assert (label == expected).mean() > 0.995
    np.testing.assert_array_equal(label == 2, expected == 2)


def test_label_studio__one_tag_for_labels_of_all_shapes(tmp_path):
    alone = dict(id='x', type='polygon', value=dict(points=percent(STAR)))
    labeled = result('labels', 'cat', dict(points=percent(STAR)), id='x')
    choice = dict(id='y', type='choices', value=dict(choices=['sunny']))
    source = from_label_studio(*export(tmp_path, task(alone, labeled, choice)), val_share=0)
    np.testing.assert_array_equal(label_of(source, tmp_path), drawn([(STAR, 1)]))


def test_label_studio__regions_that_do_not_say_the_size(tmp_path):
    region = polygon('cat', STAR)
    del region['original_height'], region['original_width'], region['image_rotation']
    source = from_label_studio(*export(tmp_path, task(region)), val_share=0)
    np.testing.assert_array_equal(label_of(source, tmp_path), drawn([(STAR, 1)]))


@pytest.mark.parametrize(
    ('address', 'name'),
    [
        ('/data/upload/3/0123abcd-a.png', 'a.png'),
        ('/data/upload/3/0123abcd-a.png', '0123abcd-a.png'),
        ('/data/local-files/?d=photos/sub/a%20b.png', 'sub/a b.png'),
        ('s3://bucket/set/x/a.png', 'x/a.png'),
        ('https://host/a.png?token=1', 'a.png'),
        ('a.png', 'a.png'),
    ],
)
def test_label_studio__the_image_of_an_address(tmp_path, address, name):
    source = from_label_studio(*export(tmp_path, task(image=address), names=[name]))
    assert source.samples[0].image == tmp_path / 'images' / name


def test_label_studio__which_annotation_counts(tmp_path):
    cancelled = dict(result=[polygon('no', STAR)], was_cancelled=True)
    truth = dict(result=[polygon('cat', KITE)], ground_truth=True)
    several = task(image='a.png') | {
        'annotations': [dict(result=[polygon('dog', STAR)]), cancelled, truth]
    }
    skipped = task(image='b.png') | {'annotations': [cancelled]}
    source = from_label_studio(*export(tmp_path, several, skipped), val_share=0)
    assert source.classes == ['background', 'cat']
    np.testing.assert_array_equal(label_of(source, tmp_path), drawn([(KITE, 1)]))


@pytest.mark.parametrize(
    ('tasks', 'message'),
    [
        ([dict(id=1, image='a.png', label=[])], 'task 1 .* is of another export; export it as "JSON"'),
        ([task() | {'annotations': []}], 'no task of .* has an annotation'),
        ([task() | {'annotations': [dict(result=[])] * 2}], 'task 7 .* has 2 annotations; mark one of them'),
        ([task(), task()], 'is about the image a.png, as a task before it is'),
        ([task(image='z.png')], r"the image 'z\.png' of task 7 .* is not in"),
        ([task(image='../a.png')], r"names the file '\.\./a\.png', which is not inside"),
        ([task() | {'data': dict(text='a')}], "must have one image in 'data', but has 0"),
        ([task(result('keypointlabels', 'a', dict(x=1, y=1)))], 'result 1 .* is a keypointlabels, which'),
        ([task(result('bitmasklabels', 'a', {}))], 'is a bitmasklabels, which cannot be read as an area'),
        ([task(dict(type='polygon', value=dict(points=[])))], 'result 1 of .* must have one label, but has'),
        ([task(result('labels', 'a', dict(x=1, y=1)))], 'is a label of no area'),
        ([[]], "must have 'annotations', a list, but is"),
    ],
)  # fmt: skip
def test_label_studio__tasks_that_are_wrong(tmp_path, tasks, message):
    with pytest.raises(PrepareError, match=message):
        from_label_studio(*export(tmp_path, *tasks))


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (polygon('a', STAR[:2]), 'result 1 of task 7 .* must have 3 or more corners'),
        (polygon('a', STAR, original_width=5), f'an image of {HEIGHT} x 5 pixels, but .* {HEIGHT} x {WIDTH}'),
        (polygon('a', STAR, image_rotation=90), 'was drawn on the image turned by 90 degrees'),
        (brush('a', np.ones((3, 3), bool)), 'result 1 .*: a brush mask of .* must have .* values'),
        (result('rectanglelabels', 'a', dict(x=1, y=1, width='5', height=5)), "must have 'width', a int or float"),
    ],
)  # fmt: skip
def test_label_studio__regions_that_are_wrong(tmp_path, wrong, message):
    source = from_label_studio(*export(tmp_path, task(wrong)))
    with pytest.raises(PrepareError, match=message):
        write_dataset(source, tmp_path / 'out')


def test_label_studio__a_file_that_is_no_list(tmp_path):
    with pytest.raises(PrepareError, match='must hold a JSON list, but holds a dict'):
        from_label_studio(save_json(tmp_path / 'a.json', {}), tmp_path)


def test_label_studio__what_cannot_be_used_is_left_out_where_one_asks(tmp_path):
    points = result('keypointlabels', 'cat', dict(x=1, y=1))
    tasks = (task(polygon('cat', STAR), points, polygon('cat', KITE[:2])), task(image='lost.png'))
    source = from_label_studio(*export(tmp_path, *tasks), val_share=0, skip_odd=True)
    np.testing.assert_array_equal(label_of(source, tmp_path), drawn([(STAR, 1)]))
    assert source.odd.count == 3
    with pytest.raises(PrepareError, match='2 entries cannot be used'):
        from_label_studio(*export(tmp_path, *tasks))
