"""Annotations of other layouts and archives, given to ``tools/prepare_dataset.py``."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from broken_inputs.place import CommandLine, Place, png_header


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


def _labelme(shape: Any = None, **changes: Any) -> Callable[[Place], CommandLine]:
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


def _cvat(xml: bytes | str) -> Callable[[Place], CommandLine]:
    return lambda place: _prepare(place, 'cvat', place.file('annotations.xml', xml).parent)


def _cvat_image(name: str) -> Callable[[Place], CommandLine]:
    return _cvat(
        '<annotations><meta><task><labels><label><name>a</name></label></labels></task></meta>'
        f'<image name="{name}" width="6" height="4"/></annotations>'
    )


def _coco_image(name: str) -> Callable[[Place], CommandLine]:
    return _coco(images=[dict(id=1, file_name=name, height=4, width=6)])


def _labelme_outside(image: str, below: str = '.') -> Callable[[Place], CommandLine]:
    """Let ``imagePath`` name a picture that is there, but beside the folder."""

    def make(place: Place) -> CommandLine:
        Image.new('RGB', (6, 4)).save(place.folder / 'secret.png')
        content = json.dumps(dict(imagePath=image.format(folder=place.folder), shapes=[]))
        place.file(f'set/{below}/a.json', content)
        return _prepare(place, 'labelme', place.folder / 'set')

    return make


def _yolo(text: str = '', **data: Any) -> Callable[[Place], CommandLine]:
    def make(place: Place) -> CommandLine:
        content = json.dumps(dict(train='images', names=['cat'], **data))
        (place.folder / 'images').mkdir()
        Image.new('RGB', (6, 4)).save(place.folder / 'images' / 'a.png')
        place.file('labels/a.txt', text)
        return _prepare(place, 'yolo', place.file('data.yaml', content))

    return make


def _label_studio(
    *results: Any, image: str = 'a.png', **task: Any
) -> Callable[[Place], CommandLine]:
    def make(place: Place) -> CommandLine:
        Image.new('RGB', (6, 4)).save(place.folder / 'a.png')
        tasks = [
            dict(id=1, data=dict(image=image), annotations=[dict(result=list(results))], **task)
        ]
        return _prepare(
            place, 'label-studio', place.file('tasks.json', json.dumps(tasks)), place.folder
        )

    return make


def _brush(rle: list[int]) -> dict[str, Any]:
    value = dict(format='rle', rle=rle, brushlabels=['cat'])
    return dict(type='brushlabels', original_width=6, original_height=4, value=value)


def _via(shape: dict[str, Any], image: str = 'a.png') -> Callable[[Place], CommandLine]:
    def make(place: Place) -> CommandLine:
        Image.new('RGB', (6, 4)).save(place.folder / 'a.png')
        region = dict(shape_attributes=shape, region_attributes={'class': 'cat'})
        content = json.dumps({'a': dict(filename=image, regions=[region])})
        return _prepare(place, 'via', place.file('via.json', content), place.folder)

    return make


def _file(layout: str, name: str, content: Any) -> Callable[[Place], CommandLine]:
    text = content if isinstance(content, str) else json.dumps(content)

    def make(place: Place) -> CommandLine:
        place.file(f'set/{name}', text)
        return _prepare(place, layout, place.folder / 'set')

    return make


def _supervisely(**meta: Any) -> Callable[[Place], CommandLine]:
    return lambda place: _prepare(
        place, 'supervisely', place.file('meta.json', json.dumps(meta)).parent
    )


def _voc_without_lists(place: Place) -> CommandLine:
    for name in ('JPEGImages', 'SegmentationClass'):
        (place.folder / name).mkdir()
    return _prepare(place, 'voc', place.folder)


def _voc_of_own_classes(place: Place, **lists: str) -> CommandLine:
    root = place.pairs({'0': np.ones((8, 8), np.uint8)})
    (root / 'images').rename(root / 'JPEGImages')
    (root / 'labels').rename(root / 'SegmentationClass')
    split = root / 'ImageSets' / 'Segmentation' / 'train.txt'
    split.parent.mkdir(parents=True)
    split.write_text('0\n')
    for name, text in lists.items():
        (root / f'{name}.txt').write_text(text)
    return _prepare(place, 'voc', root)


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
    'COCO: a box without an outline': (
        _annotation(segmentation=[], bbox=[1, 1, 3, 2]), r'annotation 9 .* no outline but only a box'),
    'COCO: no segmentation': (_annotation(), r'annotation 9 .* no outline .* --skip-odd leaves it out'),
    'COCO: an id that is a text': (
        _coco(annotations=[dict(id=9, image_id='1', category_id=1, segmentation=[[1, 1, 4, 1, 4, 3]])]),
        r"annotation 9 .* must have 'image_id', a int, but has image_id='1'"),
    'COCO: three annotations that are odd': (
        _coco(annotations=[dict(id=n, image_id=1, category_id=1, bbox=[1, 1, 3, 2]) for n in (7, 8, 9)]),
        r'3 entries cannot be used; mend them, or leave them out by --skip-odd'),
    'COCO: runs of another length': (
        _annotation(segmentation=dict(size=[4, 6], counts=[3, 4])), r'must add up to as many, but add up to 7'),
    'COCO: runs that are texts': (
        _annotation(segmentation=dict(size=[4, 6], counts=['a'])), r'must be whole numbers from 0 to as many'),
    'COCO: runs of 2 MB that are one number': (
        _annotation(segmentation=dict(size=[4, 6], counts='o' * 2**21)),
        r'a run that is longer than its 24 pixels'),
    'COCO: a mask of 10^9 x 10^9': (
        _coco(
            images=[dict(id=1, file_name='a.png', height=10**9, width=10**9)],
            annotations=[dict(id=9, image_id=1, category_id=1,
                              segmentation=dict(size=[10**9, 10**9], counts=[10**18]))],
        ), r'of 1000000000 x 1000000000 pixels, but .* has 4 x 6'),
    'COCO: a polygon of a million corners': (
        _annotation(segmentation=[[3, 0, 3, 4] * 500_000]),
        r'annotation 9 .*: a polygon of 1000000 corners crosses'),
    'COCO: coordinates of 1e308': (
        _annotation(segmentation=[[1e308, 1, 4, -1e308, 4, 3]]), r'3 or more corners \(x, y\), but has \[1e\+308'),
    'COCO: two categories of one name': (
        _coco(categories=[dict(id=1, name='cat'), dict(id=2, name='cat')]), r'two categories of the name cat'),
    'COCO: two categories of one id': (
        _coco(categories=[dict(id=1, name='cat'), dict(id=1, name='dog')]), r'two categories of the id 1'),
    'COCO: a list for an annotation': (_coco(annotations=[[1]]), r"must have 'category_id', a int, but is \[1\]"),
    'COCO: a list for a category': (_coco(categories=[['cat']]), r"must have 'id', a int, but is \['cat'\]"),
    'COCO: a name that is a dict': (
        _coco(categories=[dict(id=1, name={})]), r"must have 'name', a str, but has name"),
    'COCO: nested without end': (
        _coco_text('[' * 100_000), r'coco\.json is no annotation file: .* nested too deep'),
    'COCO: an image outside': (
        _coco_image('../a.png'), r"names the file '\.\./a\.png', which is not inside the fol"),
    'COCO: an image of the system': (
        _coco_image('/etc/passwd'), r"names the file '/etc/passwd', which is not inside"),
    'COCO: a name of 300 characters': (_coco_image('a' * 300 + '.png'), r'the image a{70,}\.\.\. of .* is not in'),
    'Labelme: an image outside': (
        _labelme_outside('../secret.png'), r"names the file '\.\./secret\.png', which is n"),
    'Labelme: an image outside of a folder in it': (
        _labelme_outside('..\\..\\secret.png', 'sub'), r'secret\.png.*, which is not inside the folder'),
    'Labelme: an image by its whole path': (
        _labelme_outside('{folder}/secret.png'), r"names the file '.*', which is not inside the folder"),
    'Labelme: an image on a drive': (
        _labelme_outside('C:\\secret.png'), r"names the file 'C:.+secret\.png', which"),
    'Labelme: an image on a share': (_labelme_outside('\\\\host\\secret.png'), r'secret\.png., which is not ins'),
    'Labelme: a list for a shape': (_labelme(['a']), r"must have 'label', a str, but is \['a'\]"),
    'Labelme: a mask that claims 60,000 x 60,000 pixels': (
        _labelme(dict(label='a', points=[[0, 0], [5, 3]], shape_type='mask', mask=base64.b64encode(
            png_header(60_000, 60_000)).decode())), r'mask of shape 1 .* rows 0 to 60000 .* lead out of 4 x 6'),
    'Labelme: no file': (lambda place: _prepare(place, 'labelme', place.folder / 'none'), r'no Labelme file'),
    'Labelme: a line': (
        _labelme(dict(label='a', points=[[1, 1], [2, 2]], shape_type='line')), r'is a line, which covers no area'),
    'Labelme: an image of another size': (_labelme(imageHeight=5, imageWidth=6), r'of 5 x 6 pixels, but'),
    'CVAT: no file': (lambda place: _prepare(place, 'cvat', place.folder), r'annotations\.xml cannot be read'),
    'CVAT: cut short': (_cvat('<annotations><meta>'), r'annotations\.xml is no valid XML of CVAT'),
    'CVAT: entities that grow': (
        _cvat('<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><a>&d;</a>'), r'it has the document type a'),
    'CVAT: a Chinese encoding': (
        _cvat('<?xml version="1.0" encoding="gbk"?><annotations/>'.encode('gbk')),
        r'encoding that the XML reader does not know .*; save it as UTF-8'),
    'CVAT: an encoding that nobody knows': (
        _cvat('<?xml version="1.0" encoding="klingon"?><annotations/>'), r'does not know .*; save it as UTF-8'),
    'CVAT: an image outside': (_cvat_image('../a.png'), r"names the file '\.\./a\.png', which is not inside"),
    'CVAT: a name of 300 characters': (_cvat_image('a' * 300), r'the image a{70,}\.\.\. of .* is not in'),
    'CVAT: a video': (
        _cvat('<annotations><meta><task><labels><label><name>a</name></label></labels></task></meta>'
              '<track id="0"/></annotations>'), r'is about the frames of a video'),
    'CVAT: masks whose colors are none': (
        _file('cvat', 'labelmap.txt', 'roof:red::'), r'line 1 of .*labelmap\.txt must be name:red,green,blue'),
    'YOLO: boxes': (_yolo('0 0.5 0.5 0.2 0.2'), r'line 1 of .*a\.txt is a box .*; export the segmentation'),
    'YOLO: pixels instead of parts': (_yolo('0 1 1 4 1 4 3'), r'must have coordinates from 0 to 1'),
    'YOLO: a class that is not named': (_yolo('7 0 0 1 0 1 1'), r"must begin with a class from 0 to 0, but"),
    'YOLO: a folder outside': (_yolo(val='../../secret'), r"'\.\./\.\./secret', which is not inside"),
    'YOLO: no data.yaml': (lambda place: _prepare(place, 'yolo', place.folder), r'data\.yaml cannot be read'),
    'Label Studio: points': (
        _label_studio(dict(type='keypointlabels', value={})), r'is a keypointlabels, which cannot be read'),
    'Label Studio: a brush of 2^30 values': (
        _label_studio(_brush([64, 0, 0, 0, 57, 27, 254])), r'of 4 x 6 pixels must have 96 values of 8 bits'),
    'Label Studio: an image outside': (
        _label_studio(image='../secret.png'), r"names the file '\.\./secret\.png', which is not inside"),
    'Label Studio: an image that is not there': (_label_studio(image='b.png'), r"the image 'b\.png' of task 1"),
    'VIA: a point': (_via(dict(name='point', cx=1, cy=1)), r'region 1 of .* is a point, which covers'),
    'VIA: an image outside': (_via(dict(name='rect'), '../a.png'), r'which is not inside the folder'),
    'Roboflow: values that are none': (
        _file('roboflow', '_classes.csv', 'Pixel Value, Class\nx, cat'), r'line 2 of .* must be a pixel value'),
    'Datumaro: no labels': (
        _file('datumaro', 'annotations/train.json', dict(categories={}, items=[])), r"must have 'label', a dict"),
    'Mapillary Vistas: no config': (
        lambda place: _prepare(place, 'mapillary', place.folder), r'has no config_v2\.0\.json or config_v1'),
    'COCO panoptic: a list': (
        lambda place: _prepare(place, 'coco-panoptic', '--train', place.file('a.json', '[]'), 'a', 'b'),
        r'must hold a JSON object, but holds a list'),
    'Supervisely: no classes': (_supervisely(tags=[]), r"meta\.json must have 'classes', a list"),
    'Supervisely: a list for a class': (_supervisely(classes=[[1]]), r"must have 'title', a str, but is \[1\]"),
    'Supervisely: a dict for classes': (
        _supervisely(classes={}), r"must have 'classes', a list, but has classes="),
    'Supervisely: no annotations': (_supervisely(classes=[]), r'there is no annotation'),
    'masks: a color of no class': (_masks(color=(9, 9, 9)), r'contains the color \[9, 9, 9\]'),
    'masks: a share that is none': (_masks('--val-share', 2), r'must be in \[0, 1\), but is 2'),
    'an output folder that is not empty': (_full_output, r'exists and is not empty'),
    'Cityscapes: not there': (lambda place: _prepare(place, 'cityscapes', place.folder / 'no'), r'does not exist'),
    'VOC: no lists': (_voc_without_lists, r'has no split lists'),
    'VOC: own classes without a list of them': (_voc_of_own_classes, r'has no palette, .* put class_names\.txt'),
    'VOC: a list of no classes': (
        lambda place: _voc_of_own_classes(place, class_names='\n'), r'class_names\.txt names no class'),
    'VOC: colors that are none': (
        lambda place: _voc_of_own_classes(place, labelmap='roof:250,50::'), r'must be name:red,green,blue:parts'),
    'ADE20K: an address of a file': (
        lambda place: _prepare(place, 'ade20k', '--url', 'file:///etc/passwd'),
        r'an http or https address is needed'),
}  # fmt: skip
"""As in ``data.KINDS``."""
