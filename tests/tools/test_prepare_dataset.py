"""``tools/prepare_dataset.py`` as a user runs it."""

import functools
import json

import numpy as np
import pytest
from PIL import Image

from support import scripts


@pytest.fixture
def prepare():
    return functools.partial(scripts.run, 'prepare_dataset')


def test_main__masks(prepare, tmp_path, capsys):
    for folder in ('images', 'masks'):
        (tmp_path / folder).mkdir()
    mask = np.zeros((8, 8, 3), np.uint8)
    mask[:4] = (0, 0, 142)
    mask[7] = 255
    for name in 'abcd':
        Image.fromarray(mask).save(tmp_path / 'masks' / f'{name}.png')
        Image.fromarray(mask).save(tmp_path / 'images' / f'{name}.jpg')
    (tmp_path / 'classes.yaml').write_text(
        'classes: [{name: ground, color: [0, 0, 0]}, {name: car, color: [0, 0, 142]}]'
    )
    arguments = [
        'masks', tmp_path / 'images', tmp_path / 'masks', '--classes', tmp_path / 'classes.yaml',
        '--val-share', '0.25', '--out', tmp_path / 'out',
    ]  # fmt: skip
    assert prepare(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: label ')
    assert 'contains the color [255, 255, 255]' in error
    assert error.count('\n') == 1
    assert not (tmp_path / 'out').exists()

    assert prepare(*arguments, '--ignore-color', '[255, 255, 255]') == 0
    printed = capsys.readouterr().out
    assert 'out: 3 train, 1 val images, 2 classes, all read back' in printed
    assert '12.5% of the pixels are ignored' in printed


def test_main__nothing_there(prepare, tmp_path, capsys):
    assert prepare('cityscapes', tmp_path / 'missing', '--out', tmp_path / 'out') == 2
    assert 'does not exist' in capsys.readouterr().err


def test_main__coco_and_labelme(prepare, tmp_path, capsys):
    Image.new('RGB', (6, 4)).save(tmp_path / 'a.png')
    polygon = [[1, 1], [4, 1], [4, 3], [1, 3]]
    coco = {
        'images': [dict(id=1, file_name='a.png', height=4, width=6)],
        'categories': [dict(id=1, name='cat')],
        'annotations': [
            dict(id=1, image_id=1, category_id=1, segmentation=[np.ravel(polygon).tolist()]),
        ],
    }
    (tmp_path / 'coco.txt').write_text(json.dumps(coco))
    (tmp_path / 'a.json').write_text(
        json.dumps(dict(imagePath='a.png', shapes=[dict(label='cat', points=polygon)]))
    )
    assert prepare('coco', '--train', tmp_path / 'coco.txt', tmp_path, '--out', tmp_path / 'c') == 0
    assert prepare('labelme', tmp_path, '--out', tmp_path / 'l') == 0
    printed = capsys.readouterr().out
    assert printed.count('1 train images, 2 classes') == 2
    first, second = ((tmp_path / out / 'labels/train/a.png').read_bytes() for out in 'cl')
    assert first == second


def test_main__exports_of_annotation_tools(prepare, tmp_path, capsys):
    Image.new('RGB', (6, 4)).save(tmp_path / 'a.png')
    corners = [[1, 1], [4, 1], [4, 3], [1, 3]]
    x, y = (list(axis) for axis in zip(*corners, strict=True))
    regions = [dict(
        shape_attributes=dict(name='polygon', all_points_x=x, all_points_y=y),
        region_attributes={'class': 'cat', 'note': ''},
    )]  # fmt: skip
    via = {'a.png1': dict(filename='a.png', size=1, regions=regions)}
    (tmp_path / 'via.json').write_text(json.dumps(via))
    value = dict(points=[[100 * u / 6, 100 * v / 4] for u, v in corners], polygonlabels=['cat'])
    result = dict(type='polygonlabels', original_width=6, original_height=4, value=value)
    tasks = [dict(id=1, data=dict(image='/data/upload/a.png'), annotations=[dict(result=[result])])]
    (tmp_path / 'tasks.json').write_text(json.dumps(tasks))
    numbers = np.zeros((4, 6, 3), np.uint8)
    numbers[..., 0] = 1
    numbers[1:3, 1:4, 0] = 2
    (tmp_path / 'masks').mkdir()
    Image.fromarray(numbers).save(tmp_path / 'masks' / 'a.png')
    panoptic = {
        'images': [dict(id=1, file_name='a.png', height=4, width=6)],
        'categories': [dict(id=1, name='background'), dict(id=2, name='cat')],
        'annotations': [dict(image_id=1, file_name='a.png', segments_info=[
            dict(id=1, category_id=1), dict(id=2, category_id=2),
        ])],
    }  # fmt: skip
    (tmp_path / 'panoptic.json').write_text(json.dumps(panoptic))
    calls = {
        'v': ['via', tmp_path / 'via.json', tmp_path, '--attribute', 'class'],
        's': ['label-studio', tmp_path / 'tasks.json', tmp_path],
        'p': ['coco-panoptic', '--train', tmp_path / 'panoptic.json', tmp_path / 'masks', tmp_path],
    }
    for out, arguments in calls.items():
        assert prepare(*arguments, '--out', tmp_path / out) == 0
    assert capsys.readouterr().out.count('1 train images, 2 classes') == 3
    files = [(tmp_path / out / 'labels/train/a.png').read_bytes() for out in calls]
    assert files[0] == files[1] == files[2]
    assert prepare('mapillary', tmp_path, '--classes-version', 'v1.2', '--out', tmp_path / 'm') == 2
    assert 'has no config_v1.2.json' in capsys.readouterr().err


def test_main__a_color_that_is_none(prepare, capsys):
    code = prepare('masks', 'a', 'b', '--classes', 'c', '--out', 'd', '--ignore-color', 'white')
    scripts.assert_one_clear_line(code, capsys, r'a color is \[red,green,blue\]')
