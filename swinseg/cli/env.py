"""``swinseg env``: what a bug report needs."""

from __future__ import annotations

import argparse

from swinseg import env
from swinseg.cli.frame import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the report has one form."""


def run(args: argparse.Namespace) -> None:
    """Print the report."""
    print(env.report())


COMMAND = Command(
    description='Print versions, devices and adaptations of other packages, for bug reports.',
    example='> env.txt',
    add_arguments=add_arguments,
    run=run,
)
