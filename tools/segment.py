#!/usr/bin/env python
"""Segment images, scenes and videos with a checkpoint: labels, colors and an overlay with a legend."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from swinseg.cli import EXIT_BAD_INPUT, run
from swinseg.errors import Interrupted
from swinseg.files import make_folder
from swinseg.predictor.arguments import add_model, predictor_of
from swinseg.segment import find_sources, results_of, segment_all, summary, table
from swinseg.segment.arguments import add_options, options_of
from swinseg.visualization import color_blind_palette


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_model(parser)
    parser.add_argument('inputs', nargs='+', metavar='INPUT', help='files, folders, quoted globs')
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='for the results')
    parser.add_argument(
        '--overwrite', action='store_true',
        help='replace files in DIR that are no earlier results of the same inputs as well',
    )  # fmt: skip
    add_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Segment; 2 when a file was skipped."""
    args = parse_args(argv)
    sources = find_sources(args.inputs, out=args.out)
    out = make_folder(args.out)
    options = options_of(args)
    # Before the model is loaded.
    results_of(sources, out, options, overwrite=args.overwrite).check()
    predictor = predictor_of(args)
    if args.palette == 'color-blind':
        predictor.palette = color_blind_palette(len(predictor.classes))
    outcome = segment_all(predictor, sources, out, options, overwrite=args.overwrite)
    print(table(outcome))
    for source in sources:
        if source.renamed:
            print(f'the results of {source.path} are named {source.name}_...')
    print(summary(outcome, out))
    if outcome.interrupted:
        raise Interrupted(outcome.interrupted, signal.SIGINT)
    return EXIT_BAD_INPUT if outcome.skipped else 0


if __name__ == '__main__':
    sys.exit(run(main))
