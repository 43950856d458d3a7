"""The layouts that ``tools/prepare_dataset.py`` knows, with their arguments."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from typing import NamedTuple

from swinseg.datasets.prepare.coco import from_coco
from swinseg.datasets.prepare.known import from_cityscapes, from_color_masks, from_voc
from swinseg.datasets.prepare.labelme import from_labelme
from swinseg.datasets.prepare.source import TRAIN, VAL, Source


class Layout(NamedTuple):
    """A layout: what it is, what adds its arguments to a parser, and what reads it."""

    explanation: str
    add_arguments: Callable[[ArgumentParser], None]
    source_of: Callable[[Namespace], Source]


def _color(text: str) -> list[int]:
    try:
        color = json.loads(text)
    except ValueError:
        color = None
    if not isinstance(color, list):
        raise ArgumentTypeError(f'a color is [red,green,blue], such as [255,255,255], not {text}')
    return color


def _add_masks(parser: ArgumentParser) -> None:
    parser.add_argument('images', help='folder, with train and val below it or without')
    parser.add_argument('masks', help='folder, with the names of the images')
    parser.add_argument('--classes', required=True, help='YAML file of names and colors')
    parser.add_argument(
        '--ignore-color', type=_color, action='append', default=[], metavar='[R,G,B]',
        help='of pixels that do not count',
    )  # fmt: skip


def _add_coco(parser: ArgumentParser) -> None:
    names = ('JSON', 'IMAGES')
    parser.add_argument('--train', nargs=2, metavar=names, required=True, help='file and folder')
    parser.add_argument('--val', nargs=2, metavar=names, help='likewise')


def _masks(args: Namespace) -> Source:
    return from_color_masks(
        args.images, args.masks, classes_file=args.classes, ignore_colors=args.ignore_color,
        val_share=args.val_share,
    )  # fmt: skip


def _coco(args: Namespace) -> Source:
    parts = {TRAIN: args.train, **({VAL: args.val} if args.val else {})}
    return from_coco(parts, val_share=args.val_share)


LAYOUTS: dict[str, Layout] = {
    'masks': Layout('masks whose colors say the class', _add_masks, _masks),
    'cityscapes': Layout(
        'label ids of Cityscapes to its 19 classes',
        lambda parser: _add_root(parser, 'with leftImg8bit and gtFine'),
        lambda args: from_cityscapes(args.root, val_share=args.val_share),
    ),
    'voc': Layout(
        'Pascal VOC with its split lists',
        lambda parser: _add_root(parser, 'such as VOCdevkit/VOC2012'),
        lambda args: from_voc(args.root, val_share=args.val_share),
    ),
    'coco': Layout('polygons and masks of COCO', _add_coco, _coco),
    'labelme': Layout(
        'JSON files of Labelme',
        lambda parser: _add_root(parser, 'with the JSON files'),
        lambda args: from_labelme(args.root, val_share=args.val_share),
    ),
}


def _add_root(parser: ArgumentParser, explanation: str) -> None:
    parser.add_argument('root', help=f'folder {explanation}')
