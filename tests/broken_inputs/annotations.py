"""Annotations of other layouts and archives, given to ``tools/prepare_dataset.py``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from broken_inputs.place import CommandLine, Place


def _prepare(place: Place, *arguments: object) -> CommandLine:
    return ['prepare_dataset', *arguments, '--out', place.folder / 'out']


def _coco(**changes: Any) -> Callable[[Place], CommandLine]:
    content: dict[str, Any] = {
        'images': [dict(id=1, file_name='a.png', height=4, width=6)],
        'categories': [dict(id=1, name='cat')],
        'annotations': [dict(id=9, image_id=1, category_id=1, segmentation=[[1, 1, 4, 1, 4, 3]])],
        **changes,
    }
    return _coco_text(json.dumps(content))


def _coco_text(text: str) -> Callable[[Place], CommandLine]:
    def make(place: Place) -> CommandLine:
        Image.new('RGB', (6, 4)).save(place.folder / 'a.png')
        return _prepare(place, 'coco', '--train', place.file('coco.json', text), place.folder)

    return make


def _annotation(**changes: Any) -> Callable[[Place], CommandLine]:
    return _coco(annotations=[dict(id=9, image_id=1, category_id=1, **changes)])


def _labelme(shape: dict[str, Any] | None = None, **changes: Any) -> Callable[[Place], CommandLine]:
    def make(place: Place) -> CommandLine:
        Image.new('RGB', (6, 4)).save(place.folder / 'a.png')
        content = dict(imagePath='a.png', shapes=[shape] if shape else [], **changes)
        return _prepare(place, 'labelme', place.file('a.json', json.dumps(content)).parent)

    return make


def _masks(
    *arguments: object, color: tuple[int, int, int] = (0, 0, 0)
) -> Callable[[Place], CommandLine]:
    def make(place: Place) -> CommandLine:
        root = place.pairs({'0': np.full((8, 8, 3), color, np.uint8)})
        classes = place.file('classes.yaml', 'classes: [{name: ground, color: [0, 0, 0]}]')
        return _prepare(
            place, 'masks', root / 'images', root / 'labels', '--classes', classes, *arguments
        )

    return make


def _cvat(xml: str) -> Callable[[Place], CommandLine]:
    return lambda place: _prepare(place, 'cvat', place.file('annotations.xml', xml).parent)


def _supervisely(**meta: Any) -> Callable[[Place], CommandLine]:
    return lambda place: _prepare(
        place, 'supervisely', place.file('meta.json', json.dumps(meta)).parent
    )


def _voc_without_lists(place: Place) -> CommandLine:
    for name in ('JPEGImages', 'SegmentationClass'):
        (place.folder / name).mkdir()
    return _prepare(place, 'voc', place.folder)


def _full_output(place: Place) -> CommandLine:
    place.file('out/already.txt')
    return _masks()(place)


KINDS: dict[str, tuple[Callable[[Place], CommandLine], str]] = {
    'COCO: not JSON': (_coco_text('{"images": ['), r'coco\.json is no valid JSON'),
    'COCO: a list': (_coco_text('[]'), r'coco\.json must hold a JSON object, but holds a list'),
    'COCO: no categories': (_coco(categories=None), r"must have 'categories', a list"),
    'COCO: an image that is not there': (
        _coco(images=[dict(id=1, file_name='b.png', height=4, width=6)]), r'the image b\.png .* is not in'),
    'COCO: an image of another size': (
        _coco(images=[dict(id=1, file_name='a.png', height=6, width=4)]), r'of 6 x 4 pixels, but .* has 4 x 6'),
    'COCO: an unknown category': (
        _coco(categories=[dict(id=2, name='dog')]), r'annotation 9 .* has the category 1, which is not among'),
    'COCO: an annotation of no image': (_coco(images=[]), r'has annotations of the image 1'),
    'COCO: a polygon of two corners': (_annotation(segmentation=[[1, 1, 4, 1]]), r'3 or more corners'),
    'COCO: runs of another length': (
        _annotation(segmentation=dict(size=[4, 6], counts=[3, 4])), r'must add up to as many, but add up to 7'),
    'Labelme: no file': (lambda place: _prepare(place, 'labelme', place.folder / 'none'), r'no Labelme file'),
    'Labelme: a line': (
        _labelme(dict(label='a', points=[[1, 1], [2, 2]], shape_type='line')), r'is a line, which covers no area'),
    'Labelme: an image of another size': (_labelme(imageHeight=5, imageWidth=6), r'of 5 x 6 pixels, but'),
    'CVAT: no file': (lambda place: _prepare(place, 'cvat', place.folder), r'annotations\.xml cannot be read'),
    'CVAT: cut short': (_cvat('<annotations><meta>'), r'annotations\.xml is no valid XML of CVAT'),
    'CVAT: entities that grow': (
        _cvat('<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><a>&d;</a>'), r'it has the document type a'),
    'CVAT: a video': (
        _cvat('<annotations><meta><task><labels><label><name>a</name></label></labels></task></meta>'
              '<track id="0"/></annotations>'), r'is about the frames of a video'),
    'Supervisely: no classes': (_supervisely(tags=[]), r"meta\.json must have 'classes', a list"),
    'Supervisely: no annotations': (_supervisely(classes=[]), r'there is no annotation'),
    'masks: a color of no class': (_masks(color=(9, 9, 9)), r'contains the colour \[9, 9, 9\]'),
    'masks: a share that is none': (_masks('--val-share', 2), r'must be in \[0, 1\), but is 2'),
    'an output folder that is not empty': (_full_output, r'exists and is not empty'),
    'Cityscapes: not there': (lambda place: _prepare(place, 'cityscapes', place.folder / 'no'), r'does not exist'),
    'VOC: no lists': (_voc_without_lists, r'has no split lists'),
    'ADE20K: an address of a file': (
        lambda place: _prepare(place, 'ade20k', '--url', 'file:///etc/passwd'), r'needs an http or https address'),
}  # fmt: skip
"""As in ``data.KINDS``."""
