#!/usr/bin/env python
"""Draw the curves of one training, or those of several over each other."""

from __future__ import annotations

import argparse
import sys

from swinseg.cli import run
from swinseg.visualization.training.run_logs import draw_logs


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'runs', nargs='+', metavar='RUN', help='work directory of tools/train.py, or a scalars.json'
    )
    parser.add_argument('--names', nargs='+', metavar='NAME', help='of the runs in the pictures')
    parser.add_argument(
        '--out', default='work_dirs/plot_log', metavar='DIR', help='(default: %(default)s)'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Draw and say where the pictures are."""
    args = parse_args(argv)
    for path in draw_logs(args.runs, args.out, names=args.names):
        print(f'plot: {path}')


if __name__ == '__main__':
    sys.exit(run(main))
