"""``swinseg prepare``: datasets in the layout that training reads."""

from __future__ import annotations

import argparse
from pathlib import Path

from swinseg.cli.frame import Command
from swinseg.datasets.prepare import LAYOUTS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a parser for each layout."""
    layouts = parser.add_subparsers(required=True, dest='layout', metavar='LAYOUT')
    for name, (explanation, add, _) in LAYOUTS.items():
        layout = layouts.add_parser(name, help=explanation, description=explanation)
        add(layout)
        layout.add_argument('--out', required=True, type=Path, metavar='DIR', help='a new folder')


def run(args: argparse.Namespace) -> None:
    """Convert, and say what is there."""
    print(LAYOUTS[args.layout].convert(args))


COMMAND = Command(
    description='Make a dataset of another layout into images, index labels and classes.yaml, and read all of it '
    'back; or\nget ADE20K; or draw the mini set.',
    example='coco --train instances.json photos --out data/mine',
    add_arguments=add_arguments,
    run=run,
)
