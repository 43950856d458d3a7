#!/usr/bin/env python
"""Make a dataset of another layout into images, index labels and classes.yaml, and read all of it back; or get
ADE20K.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import swinseg  # noqa: F401  (repairs the packages that the converters import)
from swinseg.cli import run
from swinseg.datasets import prepare


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    layouts = parser.add_subparsers(required=True, metavar='LAYOUT')
    for name, (explanation, add_arguments, convert) in prepare.LAYOUTS.items():
        layout = layouts.add_parser(name, help=explanation, description=explanation)
        add_arguments(layout)
        layout.add_argument('--out', required=True, type=Path, metavar='DIR', help='a new folder')
        layout.set_defaults(convert=convert)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Convert."""
    args = parse_args(argv)
    print(args.convert(args))
    return 0


if __name__ == '__main__':
    sys.exit(run(main))
