"""Exports with a random node replaced: converted or refused with a sentence, whatever stands there.

``SWINSEG_FUZZ=5000`` sets how many trials each reader gets.
"""

from __future__ import annotations

import base64
import copy
import io
import json
import math
import os
import random
import re
import shutil
import warnings
import zlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from PIL import Image

from swinseg.datasets import FolderDataset
from swinseg.datasets.prepare import (
    from_coco,
    from_coco_panoptic,
    from_color_masks,
    from_cvat,
    from_datumaro,
    from_label_studio,
    from_labelme,
    from_mapillary,
    from_roboflow,
    from_supervisely,
    from_via,
    from_yolo,
    write_dataset,
)
from swinseg.datasets.prepare.brush_rle import encode_brush
from swinseg.errors import UserError

pytestmark = pytest.mark.slow  # hundreds of files each

TRIALS = int(os.environ.get('SWINSEG_FUZZ', '400'))
# Of readers that have most of their code in common with others.
FEWER_TRIALS = max(TRIALS // 4, 2)
HEIGHT, WIDTH = 12, 16


def _deep(levels: int) -> Any:
    node: Any = 1
    for _ in range(levels):
        node = [node]
    return node


VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 2**31, 2**62, 10**30, 10**400, 1e308, -1e308, math.nan, math.inf, '', '.', '..', '/',
    'a.jpg', '../a.jpg', '/etc/passwd', 'C:\\a.jpg', '\\\\host\\a.jpg', 'x' * 300, '\0',
    '\ud800', 'o' * 100_000, '1' * 99,
    'background', [], {}, [[]], [None], [1, 2], [1e308] * 6, [[0, 0], [1e9, 1e9], [0, 1e9]], {'a': 1}, _deep(300),
    [0] * 1000, [HEIGHT * WIDTH], [10**9, 10**9], [HEIGHT, WIDTH],
)  # fmt: skip


def _nodes(node: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of every node of a JSON content."""
    found: list[tuple[Any, Any]] = []
    stack = [node]
    while stack:
        each = stack.pop()
        keys = each.keys() if isinstance(each, dict) else range(len(each))
        for key in keys:
            found.append((each, key))
            if isinstance(each[key], (dict, list)):
                stack.append(each[key])
    return found


def _changed(content: Any, generator: random.Random) -> Any:
    content = copy.deepcopy(content)
    for _ in range(generator.choice((1, 1, 2))):
        container, key = generator.choice(_nodes(content))
        kind = generator.random()
        if kind < 0.1:
            del container[key]
        elif kind < 0.2 and isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
        else:
            container[key] = copy.deepcopy(generator.choice(VALUES))
        if not content:
            break
    return content


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.array([[1, 0, 1], [1, 1, 0]], bool)).save(buffer, 'PNG')
    return buffer.getvalue()


POLYGON = [2, 2, 9, 2, 9, 9]
CORNERS = [[2, 2], [9, 2], [9, 9]]
COCO = {
    'images': [dict(id=1, file_name='a.jpg', height=HEIGHT, width=WIDTH)],
    'categories': [dict(id=1, name='cat'), dict(id=2, name='dog')],
    'annotations': [
        dict(id=9, image_id=1, category_id=1, segmentation=[POLYGON]),
        dict(id=10, image_id=1, category_id=2, segmentation=dict(size=[HEIGHT, WIDTH], counts=[5, 7, 180])),
        dict(id=11, image_id=1, category_id=2, segmentation=dict(size=[HEIGHT, WIDTH], counts='57d5')),
    ],
}  # fmt: skip
LABELME = {
    'imagePath': 'a.jpg', 'imageHeight': HEIGHT, 'imageWidth': WIDTH,
    'shapes': [
        dict(label='cat', points=CORNERS, shape_type='polygon'),
        dict(label='dog', points=CORNERS[:2], shape_type='rectangle'),
        dict(label='dog', points=CORNERS[:2], shape_type='circle'),
        dict(label='cat', points=[[1, 0], [3, 1]], shape_type='mask', mask=base64.b64encode(_png()).decode()),
    ],
}  # fmt: skip
SUPERVISELY = {
    'meta': {'classes': [dict(title='cat', shape='any'), dict(title='dog', shape='any')]},
    'annotation': {
        'size': dict(height=HEIGHT, width=WIDTH),
        'objects': [
            dict(classTitle='cat', geometryType='polygon', points=dict(exterior=CORNERS, interior=[CORNERS])),
            dict(classTitle='dog', geometryType='rectangle', points=dict(exterior=CORNERS[:2], interior=[])),
            dict(
                classTitle='dog', geometryType='bitmap',
                bitmap=dict(data=base64.b64encode(zlib.compress(_png())).decode(), origin=[1, 2]),
            ),
        ],
    },
}  # fmt: skip
CLASSES = {
    'classes': [
        dict(name='cat', color=[1, 2, 3], values=[0]), dict(name='dog', color='#ff0000', values=[1, 2]),
    ],
    'ignore_values': [255],
}  # fmt: skip
CVAT = (
    '<annotations><meta><task><labels><label><name>cat</name></label><label><name>dog</name></label></labels></task>'
    f'</meta><image id="0" name="a.jpg" width="{WIDTH}" height="{HEIGHT}">'
    '<polygon label="cat" points="2,2;9,2;9,9" z_order="0"/>'
    '<box label="dog" xtl="1" ytl="1" xbr="4" ybr="4" rotation="30" z_order="1"/>'
    '<ellipse label="dog" cx="8" cy="6" rx="3" ry="2"/>'
    '<mask label="cat" rle="1, 2, 3" left="1" top="2" width="3" height="2"/></image></annotations>'
)
TRACKS = (
    '<annotations><meta><task><labels><label><name>cat</name></label></labels>'
    f'<original_size><width>{WIDTH}</width><height>{HEIGHT}</height></original_size></task></meta>'
    '<track id="0" label="cat"><box frame="0" outside="0" xtl="1" ytl="1" xbr="4" ybr="4" rotation="30"/>'
    '<box frame="2" outside="0" xtl="3" ytl="1" xbr="6" ybr="4"/>'
    '<box frame="3" outside="1" xtl="3" ytl="1" xbr="6" ybr="4"/></track>'
    '<track id="1" label="cat"><polygon frame="1" outside="0" points="2,2;9,2;9,9"/></track>'
    '</annotations>'
)
PERCENT = [[10, 10], [60, 10], [60, 70]]


def _region(kind: str, **value: Any) -> dict[str, Any]:
    return dict(
        id='a', type=f'{kind}labels', original_height=HEIGHT, original_width=WIDTH, image_rotation=0,
        value={**value, f'{kind}labels': ['cat']},
    )  # fmt: skip


LABEL_STUDIO = [
    {
        'id': 1, 'data': {'image': '/data/upload/1/0123abcd-a.jpg'},
        'annotations': [dict(id=2, was_cancelled=False, ground_truth=False, result=[
            _region('polygon', points=PERCENT),
            _region('rectangle', x=10, y=10, width=30, height=20, rotation=30),
            _region('ellipse', x=50, y=50, radiusX=30, radiusY=20, rotation=0),
            _region('brush', format='rle', rle=encode_brush(np.eye(HEIGHT, WIDTH, dtype=bool))),
        ])],
    },
]  # fmt: skip
VIA = {
    'a.jpg123': {
        'filename': 'a.jpg', 'size': 123, 'file_attributes': {},
        'regions': [
            dict(shape_attributes=shape, region_attributes={'class': 'cat'})
            for shape in (
                dict(name='polygon', all_points_x=[2, 9, 9], all_points_y=[2, 2, 9]),
                dict(name='rect', x=1, y=2, width=3, height=4),
                dict(name='circle', cx=5, cy=5, r=3),
                dict(name='ellipse', cx=5, cy=5, rx=3, ry=2, theta=0.5),
            )
        ],
    },
}  # fmt: skip
PANOPTIC = {
    'images': [dict(id=1, file_name='a.jpg', height=HEIGHT, width=WIDTH)],
    'categories': [dict(id=1, name='cat', isthing=1, color=[1, 2, 3]), dict(id=2, name='sky', isthing=0)],
    'annotations': [dict(image_id=1, file_name='masks/a.png', segments_info=[
        dict(id=7, category_id=1), dict(id=256, category_id=2),
    ])],
}  # fmt: skip
DATUMARO = {
    'categories': {'label': {'labels': [dict(name='cat', parent=''), dict(name='dog', parent='')]}},
    'items': [dict(id='a', image=dict(path='a.jpg', size=[HEIGHT, WIDTH]), annotations=[
        dict(type='polygon', label_id=0, points=POLYGON, z_order=1),
        dict(type='bbox', label_id=1, bbox=[1, 2, 3, 4], z_order=0),
        dict(type='ellipse', label_id=1, points=[1, 2, 8, 6], z_order=0),
        dict(type='mask', label_id=1, rle=dict(size=[HEIGHT, WIDTH], counts='57d5'), z_order=0),
    ])],
}  # fmt: skip
MAPILLARY = {
    'labels': [
        dict(name='a--cat', readable='Cat', color=[1, 2, 3], evaluate=True),
        dict(name='void', readable='Void', color=[0, 0, 0], evaluate=False),
    ],
}
YOLO = {'path': '.', 'train': 'images', 'val': ['images'], 'names': {0: 'cat', 1: 'dog'}, 'nc': 2}


def _convert_coco(content: Any, folder: Path) -> None:
    (folder / 'coco.json').write_text(json.dumps(content))
    write_dataset(from_coco({'train': (folder / 'coco.json', folder)}), folder / 'out')


def _convert_labelme(content: Any, folder: Path) -> None:
    (folder / 'a.json').write_text(json.dumps(content))
    write_dataset(from_labelme(folder), folder / 'out')


def _convert_supervisely(content: Any, folder: Path) -> None:
    for kind in ('img', 'ann'):
        (folder / 'set' / kind).mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / 'a.jpg', folder / 'set' / 'img')
    content = content if isinstance(content, dict) else {}
    (folder / 'meta.json').write_text(json.dumps(content.get('meta')))
    (folder / 'set' / 'ann' / 'a.jpg.json').write_text(json.dumps(content.get('annotation')))
    write_dataset(from_supervisely(folder), folder / 'out')


def _convert_label_studio(content: Any, folder: Path) -> None:
    (folder / 'tasks.json').write_text(json.dumps(content))
    write_dataset(from_label_studio(folder / 'tasks.json', folder), folder / 'out')


def _convert_via(content: Any, folder: Path) -> None:
    (folder / 'via.json').write_text(json.dumps(content))
    write_dataset(from_via(folder / 'via.json', folder), folder / 'out')


def _convert_panoptic(content: Any, folder: Path) -> None:
    numbers = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    numbers[2:5, :, 0], numbers[6:, :, 1] = 7, 1
    (folder / 'masks').mkdir(exist_ok=True)
    Image.fromarray(numbers).save(folder / 'masks' / 'a.png')
    (folder / 'panoptic.json').write_text(json.dumps(content))
    parts = {'train': (folder / 'panoptic.json', folder, folder)}
    write_dataset(from_coco_panoptic(parts), folder / 'out')


def _convert_datumaro(content: Any, folder: Path) -> None:
    for kind in ('images', 'annotations'):
        (folder / kind).mkdir(exist_ok=True)
    shutil.copy(folder / 'a.jpg', folder / 'images')
    (folder / 'annotations' / 'default.json').write_text(json.dumps(content))
    write_dataset(from_datumaro(folder), folder / 'out')


def _convert_mapillary(content: Any, folder: Path) -> None:
    for kind in ('images', 'labels'):
        (folder / 'training' / kind).mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / 'a.jpg', folder / 'training' / 'images')
    label = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH) % 2
    Image.fromarray(label).save(folder / 'training' / 'labels' / 'a.png')
    (folder / 'config.json').write_text(json.dumps(content))
    write_dataset(from_mapillary(folder), folder / 'out')


def _convert_yolo(content: Any, folder: Path) -> None:
    _write_yolo(folder, '0 0.1 0.1 0.9 0.1 0.5 0.9')
    (folder / 'data.yaml').write_text(yaml.safe_dump(content), encoding='utf-8')
    write_dataset(from_yolo(folder), folder / 'out')


def _write_yolo(folder: Path, text: str) -> None:
    for kind in ('images', 'labels'):
        (folder / kind).mkdir(exist_ok=True)
    shutil.copy(folder / 'a.jpg', folder / 'images')
    (folder / 'labels' / 'a.txt').write_text(text, encoding='utf-8')


def _read_classes(content: Any, folder: Path) -> None:
    (folder / 'classes.yaml').write_text(yaml.safe_dump(content), encoding='utf-8')
    FolderDataset(
        data_prefix=dict(img_path=str(folder)),
        classes_file=str(folder / 'classes.yaml'),
        lazy_init=True,
    )
    (folder / 'masks').mkdir(exist_ok=True)
    Image.new('RGB', (WIDTH, HEIGHT), (1, 2, 3)).save(folder / 'masks' / 'a.png')
    source = from_color_masks(folder, folder / 'masks', classes_file=folder / 'classes.yaml')
    write_dataset(source, folder / 'out')


def _give_as_config(content: Any, folder: Path) -> None:
    """Give names and colors as a config does."""
    classes = content.get('classes') if isinstance(content, dict) else content
    names = (
        [entry.get('name') if isinstance(entry, dict) else entry for entry in classes or ()]
        if (isinstance(classes, list))
        else classes
    )
    FolderDataset(data_prefix=dict(img_path=str(folder)), classes=names, lazy_init=True)
    FolderDataset(
        data_prefix=dict(img_path=str(folder)), metainfo=dict(classes=names), lazy_init=True
    )


READERS = {
    'coco': (COCO, _convert_coco),
    'labelme': (LABELME, _convert_labelme),
    'supervisely': (SUPERVISELY, _convert_supervisely),
    'label studio': (LABEL_STUDIO, _convert_label_studio),
    'via': (VIA, _convert_via),
    'coco panoptic': (PANOPTIC, _convert_panoptic),
    'datumaro': (DATUMARO, _convert_datumaro),
    'mapillary': (MAPILLARY, _convert_mapillary),
    'yolo': (YOLO, _convert_yolo),
    'classes file': (CLASSES, _read_classes),
    'classes of a config': (CLASSES, _give_as_config),
}
WITH_FEWER_TRIALS = ('via', 'coco panoptic', 'datumaro', 'mapillary', 'yolo')


@pytest.fixture
def folder(tmp_path):
    Image.new('RGB', (WIDTH, HEIGHT)).save(tmp_path / 'a.jpg')
    return tmp_path


def _try(convert, content, folder) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            convert(content, folder)
    except UserError as error:
        text = str(error)
        # One sentence, or a line for each of several odd entries.
        lines = text.split('\n')
        assert all(len(line) < 900 and line.isprintable() for line in lines), text
        assert len(lines) == 1 or lines[0].endswith('or leave them out by --skip-odd:')
        return False
    finally:
        shutil.rmtree(folder / 'out', ignore_errors=True)
    return True


@pytest.mark.parametrize('reader', READERS)
def test_reader__converts_or_refuses_whatever_stands_in_a_file(folder, reader):
    whole, convert = READERS[reader]
    if reader != 'classes file':  # its example has values, which masks of colors must not have
        assert _try(convert, whole, folder)
    generator = random.Random(0)
    trials = FEWER_TRIALS if reader in WITH_FEWER_TRIALS else TRIALS
    accepted = sum(_try(convert, _changed(whole, generator), folder) for _ in range(trials))
    assert accepted < trials


@pytest.mark.parametrize(
    ('text', 'convert'),
    [
        ('0 0.1 0.1 0.9 0.1 0.5 0.9\n1 0.2 0.2 0.8 0.2 0.5 0.6\n', 'yolo'),
        ('Pixel Value, Class\n0, background\n1, cat\n', 'roboflow'),
        ('background:0,0,0::\ncat:1,2,3::\n', 'cvat masks'),
    ],
)
def test_lines__converts_or_refuses_whatever_stands_in_a_file(folder, text, convert):
    def yolo(text, folder):
        _write_yolo(folder, text)
        (folder / 'data.yaml').write_text('{train: images, names: [cat, dog]}')
        write_dataset(from_yolo(folder), folder / 'out')

    def roboflow(text, folder):
        (folder / 'set').mkdir(exist_ok=True)
        shutil.copy(folder / 'a.jpg', folder / 'set')
        Image.new('L', (WIDTH, HEIGHT), 1).save(folder / 'set' / 'a_mask.png')
        (folder / 'set' / '_classes.csv').write_text(text, encoding='utf-8')
        write_dataset(from_roboflow(folder / 'set'), folder / 'out')

    def masks(text, folder):
        for kind in ('JPEGImages', 'SegmentationClass', 'ImageSets/Segmentation'):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / 'a.jpg', folder / 'JPEGImages')
        Image.new('RGB', (WIDTH, HEIGHT), (1, 2, 3)).save(folder / 'SegmentationClass' / 'a.png')
        (folder / 'ImageSets' / 'Segmentation' / 'default.txt').write_text('a')
        (folder / 'labelmap.txt').write_text(text, encoding='utf-8')
        write_dataset(from_cvat(folder), folder / 'out')

    converter = {'yolo': yolo, 'roboflow': roboflow, 'cvat masks': masks}[convert]
    assert _try(converter, text, folder)
    generator = random.Random(0)
    values = [str(value) for value in VALUES if '\ud800' not in str(value)]
    values += ['1,2', '9' * 5000, '1e999', '\n', ':', '"', ',', '\r', '\u2028', '\x1c', '-0', '300']
    accepted = 0
    for _ in range(FEWER_TRIALS):
        parts = re.split(r'([ ,:\n])', text)
        place = generator.randrange(len(parts))
        parts[place] = generator.choice(['', *values])
        accepted += _try(converter, ''.join(parts), folder)
    assert 0 < accepted < FEWER_TRIALS


@pytest.mark.parametrize('example', ['images', 'tracks'])
def test_cvat__converts_or_refuses_whatever_stands_in_a_file(folder, example):
    whole = {'images': CVAT, 'tracks': TRACKS}[example]
    for frame in range(3 if example == 'tracks' else 0):
        shutil.copy(folder / 'a.jpg', folder / f'frame_{frame:06d}.jpg')

    def convert(tree, folder):
        (folder / 'annotations.xml').write_bytes(ElementTree.tostring(tree, 'utf-8'))
        write_dataset(from_cvat(folder), folder / 'out')

    assert _try(convert, ElementTree.fromstring(whole), folder)
    generator = random.Random(0)
    texts = [
        str(value) for value in VALUES if '\0' not in str(value) and '\ud800' not in str(value)
    ]
    texts += ['1,2', '1;2', '1,2;3,4;5,nan', '9' * 5000, '1e999', f'{2**31 - 1}', ';' * 1000]
    accepted = 0
    for _ in range(TRIALS):
        tree = ElementTree.fromstring(whole)
        element = generator.choice(list(tree.iter()))
        kind = generator.random()
        if kind < 0.1:
            element.clear()
        elif kind < 0.2:
            element.tag = generator.choice(('polygon', 'image', 'track', 'skeleton', 'mask', 'x'))
        elif kind < 0.3 and len(element):
            element.append(copy.deepcopy(element[0]))
        elif element.attrib:
            element.set(generator.choice(list(element.attrib)), generator.choice(texts))
        else:
            element.text = generator.choice(texts)
        accepted += _try(convert, tree, folder)
    assert 0 < accepted < TRIALS
