"""``swinseg plot``: pictures of trainings."""

from __future__ import annotations

import argparse

from swinseg.cli.frame import Command
from swinseg.visualization.training.run_logs import draw_logs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the runs, their names and the folder."""
    parser.add_argument(
        'runs', nargs='+', metavar='RUN', help='work directory of swinseg train, or a scalars.json'
    )
    parser.add_argument('--names', nargs='+', metavar='NAME', help='of the runs in the pictures')
    parser.add_argument(
        '--out', default='work_dirs/plot_log', metavar='DIR', help='(default: %(default)s)'
    )


def run(args: argparse.Namespace) -> None:
    """Draw and say where the pictures are."""
    for path in draw_logs(args.runs, args.out, names=args.names):
        print(f'plot: {path}')


COMMAND = Command(
    description='Draw the curves of one training, or those of several over each other.',
    example='work_dirs/narrow work_dirs/wide --names narrow wide --out compared',
    add_arguments=add_arguments,
    run=run,
)
