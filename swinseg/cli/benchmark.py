"""``swinseg benchmark``: seconds beside the peers."""

from __future__ import annotations

import argparse
import functools

from swinseg.benchmark.arguments import add_arguments, given_options
from swinseg.benchmark.run import run as run_suite
from swinseg.cli.frame import Command


def run(args: argparse.Namespace) -> None:
    """Measure, print and write."""
    say = functools.partial(print, flush=True)
    run_suite(args.suite, given_options(args), out=args.out, say=say)


COMMAND = Command(
    description='Measure swinseg beside its peers, in turn in one process: seconds, ratio, difference of results.',
    example='model --variants T --sizes 512 --peers --out model.json',
    add_arguments=add_arguments,
    run=run,
    notes='In a clone, "all --out benchmarks" regenerates what its folder benchmarks/ shows.',
)
