"""``tools/prepare_dataset.py`` as a user runs it."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swinseg.cli import run

SCRIPT = Path(__file__).parents[2] / 'tools' / 'prepare_dataset.py'


@pytest.fixture
def prepare():
    main = runpy.run_path(str(SCRIPT))['main']
    return lambda *arguments: run(lambda: main([str(each) for each in arguments]))


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
    assert 'contains the colour [255, 255, 255]' in error
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


def test_main__a_color_that_is_none(prepare, capsys):
    with pytest.raises(SystemExit) as caught:
        prepare('masks', 'a', 'b', '--classes', 'c', '--out', 'd', '--ignore-color', 'white')
    assert caught.value.code == 2
    assert 'a color is [red,green,blue]' in capsys.readouterr().err
