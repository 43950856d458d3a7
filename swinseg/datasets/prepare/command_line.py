"""The layouts that ``swinseg prepare`` knows, with their arguments."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from typing import Any, NamedTuple

from swinseg.datasets.mini.dataset import make_dataset
from swinseg.datasets.prepare.ade20k import URL, prepare_ade20k
from swinseg.datasets.prepare.exported_folder import exported_folder
from swinseg.datasets.prepare.formats.coco import from_coco
from swinseg.datasets.prepare.formats.coco_panoptic import from_coco_panoptic
from swinseg.datasets.prepare.formats.cvat import from_cvat
from swinseg.datasets.prepare.formats.datumaro import from_datumaro
from swinseg.datasets.prepare.formats.label_studio import from_label_studio
from swinseg.datasets.prepare.formats.labelme import from_labelme
from swinseg.datasets.prepare.formats.mapillary import VERSIONS, from_mapillary
from swinseg.datasets.prepare.formats.roboflow import from_roboflow
from swinseg.datasets.prepare.formats.supervisely import from_supervisely
from swinseg.datasets.prepare.formats.via import from_via
from swinseg.datasets.prepare.formats.voc import from_voc
from swinseg.datasets.prepare.formats.yolo import from_yolo
from swinseg.datasets.prepare.known import from_cityscapes, from_color_masks
from swinseg.datasets.prepare.layout import summary, write_dataset
from swinseg.datasets.prepare.source import TRAIN, VAL, Source


class Layout(NamedTuple):
    """A layout: what it is, what adds its arguments to a parser, and what converts it and says what is there."""

    explanation: str
    add_arguments: Callable[[ArgumentParser], None]
    convert: Callable[[Namespace], str]


def _color(text: str) -> list[int]:
    try:
        color = json.loads(text)
    except ValueError:
        color = None
    if not isinstance(color, list):
        raise ArgumentTypeError(f'a color is [red,green,blue], such as [255,255,255], not {text}')
    return color


def _add_val_share(parser: ArgumentParser) -> None:
    parser.add_argument(
        '--val-share', type=float, default=0.1, help='held out where nothing says the split'
    )


def _add_skip_odd(parser: ArgumentParser) -> None:
    parser.add_argument(
        '--skip-odd', action='store_true',
        help='leave out and count shapes and images that cannot be used (default: refuse the set and list them)',
    )  # fmt: skip


def _add_masks(parser: ArgumentParser) -> None:
    parser.add_argument('images', help='folder, with train and val below it or without')
    parser.add_argument('masks', help='folder, with the names of the images')
    parser.add_argument('--classes', required=True, help='YAML file of names and colors')
    parser.add_argument(
        '--ignore-color', type=_color, action='append', default=[], metavar='[R,G,B]',
        help='of pixels that do not count',
    )  # fmt: skip
    _add_val_share(parser)


def _add_coco(parser: ArgumentParser) -> None:
    names = ('JSON', 'IMAGES')
    parser.add_argument('--train', nargs=2, metavar=names, required=True, help='file and folder')
    parser.add_argument('--val', nargs=2, metavar=names, help='likewise')
    _add_val_share(parser)
    _add_skip_odd(parser)


def _add_coco_panoptic(parser: ArgumentParser) -> None:
    names = ('JSON', 'MASKS', 'IMAGES')
    parser.add_argument(
        '--train', nargs=3, metavar=names, required=True,
        help='file, folder of its PNG files, folder of images',
    )  # fmt: skip
    parser.add_argument('--val', nargs=3, metavar=names, help='likewise')
    _add_val_share(parser)


def _add_export(parser: ArgumentParser) -> None:
    parser.add_argument('json', help='the exported file')
    parser.add_argument('images', help='folder')
    _add_val_share(parser)
    _add_skip_odd(parser)


def _add_via(parser: ArgumentParser) -> None:
    _add_export(parser)
    parser.add_argument(
        '--attribute',
        metavar='NAME',
        help='of regions, that says the class, where they have several',
    )


def _add_mapillary(parser: ArgumentParser) -> None:
    parser.add_argument('root', help='folder with config_v2.0.json, training and validation')
    parser.add_argument(
        '--classes-version', choices=VERSIONS, help='of the classes (default: the newest there)'
    )
    _add_val_share(parser)


def _masks(args: Namespace) -> Source:
    return from_color_masks(
        args.images, args.masks, classes_file=args.classes, ignore_colors=args.ignore_color,
        val_share=args.val_share,
    )  # fmt: skip


def _coco(args: Namespace) -> Source:
    return from_coco(_parts(args), val_share=args.val_share, skip_odd=args.skip_odd)


def _coco_panoptic(args: Namespace) -> Source:
    return from_coco_panoptic(_parts(args), val_share=args.val_share)


def _parts(args: Namespace) -> dict[str, Any]:
    return {TRAIN: args.train, **({VAL: args.val} if args.val else {})}


def _label_studio(args: Namespace) -> Source:
    return from_label_studio(
        args.json, args.images, val_share=args.val_share, skip_odd=args.skip_odd
    )


def _via(args: Namespace) -> Source:
    return from_via(
        args.json, args.images,
        attribute=args.attribute, val_share=args.val_share, skip_odd=args.skip_odd,
    )  # fmt: skip


def _mapillary(args: Namespace) -> Source:
    return from_mapillary(args.root, version=args.classes_version, val_share=args.val_share)


def _written(source_of: Callable[[Namespace], Source]) -> Callable[[Namespace], str]:
    return lambda args: summary(write_dataset(source_of(args), args.out))


def _of_one_folder(
    explanation: str, root: str, read: Callable[..., Source], *, with_shapes: bool = False
) -> Layout:
    """Return a layout that is a folder; ``root`` says what is in it, of which ``--skip-odd`` leaves out shapes."""

    def add(parser: ArgumentParser) -> None:
        parser.add_argument('root', help=f'folder {root}; or a zip archive of it')
        _add_val_share(parser)
        if with_shapes:
            _add_skip_odd(parser)

    def convert(args: Namespace) -> str:
        options = {'skip_odd': args.skip_odd} if with_shapes else {}
        with exported_folder(args.root, out=args.out) as folder:
            source = read(folder, val_share=args.val_share, **options)
            return summary(write_dataset(source, args.out))

    return Layout(explanation, add, convert)


def _add_ade20k(parser: ArgumentParser) -> None:
    parser.add_argument('--url', default=URL, help='of the archive (default: %(default)s)')


def _ade20k(args: Namespace) -> str:
    shown = -1

    def progress(what: str, done: int, total: int | None) -> None:
        nonlocal shown
        percent = 100 * done // total if total else done >> 20
        if percent != shown:
            shown = percent
            print(f'\r{what}: {percent} {"%" if total else "MiB"}  ', end='', flush=True)

    try:
        return prepare_ade20k(args.out, url=args.url, progress=progress)
    finally:
        print('\r' + ' ' * 24 + '\r', end='')


def _add_mini(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add(
        '--train-images', type=int, default=400, metavar='N',
        help='training scenes (default: %(default)s)',
    )  # fmt: skip
    add(
        '--val-images', type=int, default=80, metavar='N',
        help='validation scenes (default: %(default)s)',
    )  # fmt: skip
    add('--size', type=int, default=192, metavar='PX', help='shorter side (default: %(default)s)')
    add('--seed', type=int, default=0, metavar='N', help='(default: %(default)s)')


def _mini(args: Namespace) -> str:
    start = time.perf_counter()
    scenes = {'train': args.train_images, 'val': args.val_images}
    if not make_dataset(args.out, **scenes, size=args.size, seed=args.seed):
        return f'{args.out} is complete already'
    seconds = time.perf_counter() - start
    return f'drew {args.train_images} + {args.val_images} scenes in {args.out} in {seconds:.1f} s'


LAYOUTS: dict[str, Layout] = {
    'mini': Layout('the embedded mini set of drawn scenes, for a first try', _add_mini, _mini),
    'masks': Layout('masks whose colors say the class', _add_masks, _written(_masks)),
    'cityscapes': _of_one_folder(
        'label ids of Cityscapes to its 19 classes', 'with leftImg8bit and gtFine', from_cityscapes
    ),
    'voc': _of_one_folder('Pascal VOC with its split lists', 'such as VOCdevkit/VOC2012', from_voc),
    'coco': Layout('polygons and masks of COCO', _add_coco, _written(_coco)),
    'coco-panoptic': Layout(
        'segments of COCO panoptic', _add_coco_panoptic, _written(_coco_panoptic)
    ),
    'yolo': _of_one_folder(
        'polygons of YOLO (Ultralytics)', 'with data.yaml, or the file itself', from_yolo
    ),
    'labelme': _of_one_folder(
        'JSON files of Labelme', 'with the JSON files', from_labelme, with_shapes=True
    ),
    'cvat': _of_one_folder(
        'CVAT for images 1.1, for video 1.1, and Segmentation mask 1.1',
        'with annotations.xml and images, or with labelmap.txt',
        from_cvat,
        with_shapes=True,
    ),
    'label-studio': Layout(
        'polygons and brush masks of Label Studio (JSON)', _add_export, _written(_label_studio)
    ),
    'via': Layout('regions of VGG Image Annotator 2 (JSON)', _add_via, _written(_via)),
    'roboflow': _of_one_folder(
        'masks of Roboflow', 'with train, valid and test, each with _classes.csv', from_roboflow
    ),
    'datumaro': _of_one_folder(
        'JSON of Datumaro', 'with annotations and images', from_datumaro, with_shapes=True
    ),
    'supervisely': _of_one_folder(
        'polygons, rectangles and bitmaps of Supervisely',
        'of the project, with meta.json',
        from_supervisely,
        with_shapes=True,
    ),
    'mapillary': Layout('labels of Mapillary Vistas', _add_mapillary, _written(_mapillary)),
    'ade20k': Layout('ADE20K, downloaded and kept in its own layout', _add_ade20k, _ade20k),
}
