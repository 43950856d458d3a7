#!/usr/bin/env python
"""Make a dataset of another layout into images, index labels and classes.yaml, and read all of it back."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import swinseg  # noqa: F401  (repairs the packages that the converters import)
from swinseg.cli import run
from swinseg.datasets import prepare


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    layouts = parser.add_subparsers(dest='layout', required=True, metavar='LAYOUT')
    masks = layouts.add_parser('masks', help='masks whose colours say the class')
    masks.add_argument('images', help='folder')
    masks.add_argument('masks', help='folder, with the same names')
    masks.add_argument('--classes', required=True, help='YAML file of names and colours')
    masks.add_argument(
        '--ignore-color', type=json.loads, action='append', default=[], metavar='[R,G,B]'
    )
    cityscapes = layouts.add_parser('cityscapes', help='label ids to the 19 training classes')
    cityscapes.add_argument('root', help='folder with leftImg8bit and gtFine')
    voc = layouts.add_parser('voc', help='Pascal VOC with its split lists')
    voc.add_argument('root', help='such as VOCdevkit/VOC2012')
    for layout in (masks, cityscapes, voc):
        layout.add_argument('--out', required=True, type=Path, metavar='DIR', help='a new folder')
        layout.add_argument(
            '--val-share', type=float, default=0.1, help='held out where nothing says the split'
        )
    return parser.parse_args(argv)


def source_of(args: argparse.Namespace) -> prepare.Source:
    """Return the source that the arguments name."""
    if args.layout == 'masks':
        return prepare.from_color_masks(
            args.images,
            args.masks,
            classes_file=args.classes,
            ignore_colors=args.ignore_color,
            val_share=args.val_share,
        )
    convert = prepare.from_cityscapes if args.layout == 'cityscapes' else prepare.from_voc
    return convert(args.root, val_share=args.val_share)


def main(argv: list[str] | None = None) -> int:
    """Convert."""
    args = parse_args(argv)
    print(prepare.summary(prepare.write_dataset(source_of(args), args.out)))
    return 0


if __name__ == '__main__':
    sys.exit(run(main))
