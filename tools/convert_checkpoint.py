#!/usr/bin/env python
"""Convert a Swin Transformer checkpoint between mmseg, Microsoft, timm, Hugging Face and torchvision."""

from __future__ import annotations

import argparse
import sys

import swinseg  # noqa: F401  (adapts the third-party packages)
from swinseg.checkpoints.convert import convert
from swinseg.checkpoints.formats import FORMATS
from swinseg.cli import run


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='formats:\n' + '\n'.join(f'  {name}: {what}' for name, what in FORMATS.items()),
    )
    parser.add_argument('input', help='checkpoint to read: a file or an http(s) address')
    parser.add_argument('output', help='file to write: .pth or .safetensors')
    parser.add_argument('--to', default='mmseg', choices=FORMATS, help='default: mmseg')
    parser.add_argument(
        '--from',
        default='auto',
        dest='source_format',
        choices=['auto', *FORMATS],
        help='default: tell from the keys',
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='replace the output if it is there'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Convert the file and print what was done."""
    args = parse_args(argv)
    print(
        convert(
            args.input,
            args.output,
            target=args.to,
            source_format=args.source_format,
            overwrite=args.overwrite,
        )
    )


if __name__ == '__main__':
    sys.exit(run(main))
