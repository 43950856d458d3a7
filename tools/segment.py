#!/usr/bin/env python
"""Segment images with a checkpoint: for each a label PNG, a colour PNG and an overlay with a
legend.
"""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path

from swinseg import Predictor
from swinseg.cli import EXIT_BAD_INPUT, run
from swinseg.files import make_folder
from swinseg.segment import find_images, segment_images, summary


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', help='as tools/train.py writes it, or weights with --config')
    parser.add_argument('inputs', nargs='+', metavar='INPUT', help='images, folders, quoted globs')
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='for the results')
    parser.add_argument('--config', help='instead of the config inside the checkpoint')
    parser.add_argument('--device', default='auto', help="'auto', 'cpu', 'cuda', 'cuda:1', ...")
    parser.add_argument(
        '--dtype', default='float32', choices=['float32', 'bfloat16', 'float16'],
        help='precision of the model; the half ones are faster and change a few labels',
    )  # fmt: skip
    parser.add_argument('--tta', action='store_true', help="average the config's scales and flips")
    parser.add_argument(
        '--alpha', type=float, default=0.5, help='weight of the colours in the overlay, 0 to 1'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Segment; 2 when an image was skipped."""
    args = parse_args(argv)
    sources = find_images(args.inputs, out=args.out)
    out = make_folder(args.out)
    predictor = Predictor.from_checkpoint(
        args.checkpoint, args.config, args.device, dtype=args.dtype
    )
    say = functools.partial(print, flush=True)
    outcome = segment_images(predictor, sources, out, tta=args.tta, alpha=args.alpha, report=say)
    print(summary(outcome, out))
    return EXIT_BAD_INPUT if outcome.skipped else 0


if __name__ == '__main__':
    sys.exit(run(main))
