#!/usr/bin/env python
"""Measure swinseg beside its peers, in turn in one process: seconds, ratio, and how far the results differ.

all regenerates what benchmarks/ shows: tools/benchmark.py all --out benchmarks
"""

from __future__ import annotations

import argparse
import functools
import sys

import swinseg  # noqa: F401  (adapts the third-party packages)
from swinseg.benchmark.arguments import add_arguments, given_options
from swinseg.benchmark.run import run as run_suite
from swinseg.cli import run


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Measure, print and write."""
    args = parse_args(argv)
    say = functools.partial(print, flush=True)
    run_suite(args.suite, given_options(args), out=args.out, say=say)


if __name__ == '__main__':
    sys.exit(run(main))
