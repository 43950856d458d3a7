"""``swinseg configs``: the configs that come with swinseg."""

from __future__ import annotations

import argparse
from pathlib import Path

from swinseg.cli.frame import Command
from swinseg.config.shipped import copy_shipped, shipped_names, shipped_summary
from swinseg.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which one to copy, and where to."""
    parser.add_argument(
        '--copy', metavar='NAME', help='copy this one, and the files that it is based on'
    )
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='for the copy (default: the current folder)'
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='replace files in DIR that were edited'
    )


def run(args: argparse.Namespace) -> None:
    """List them, or copy one."""
    if args.copy is None:
        if args.out is not None or args.overwrite:
            raise UsageError('--out and --overwrite go with --copy NAME, which is missing')
        width = max(map(len, shipped_names()))
        for name in shipped_names():
            print(f'{name:{width}}  {shipped_summary(name)}')
        return
    copies = copy_shipped(args.copy, args.out or Path(), overwrite=args.overwrite)
    print(f'{copies[0]} and {len(copies) - 1} files that it is based on')


COMMAND = Command(
    description='List the configs that come with swinseg, or copy one into a folder to edit it.',
    example='--copy upernet_swin_t_ade20k --out configs',
    add_arguments=add_arguments,
    run=run,
    notes='Without --copy: the name of each, as train, test and the others take it, and what it is.',
)
