"""``swinseg models``: the published models that have names."""

from __future__ import annotations

import argparse

from swinseg.cli.frame import Command
from swinseg.hub.listing import add_arguments, listing_of


def run(args: argparse.Namespace) -> None:
    """Print the list."""
    print(listing_of(args))


COMMAND = Command(
    description='List the published Swin + UPerNet models: name, backbone, mIoU, license, address, checksum.',
    example='--json',
    add_arguments=add_arguments,
    run=run,
)
