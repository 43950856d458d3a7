"""The arguments of ``tools/serve.py`` about limits."""

from __future__ import annotations

import argparse

from swinseg.segment.arguments import memory_size
from swinseg.web.limits import Limits


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that ``limits_of`` reads."""
    usual = Limits()
    add = parser.add_argument_group('limits').add_argument
    add(
        '--max-bytes', type=memory_size, default=usual.bytes, metavar='SIZE',
        help='of an image file, such as 20M (default: %(default)s)',
    )  # fmt: skip
    add(
        '--max-pixels', type=int, default=usual.pixels, metavar='N',
        help='of an image (default: %(default)s)',
    )  # fmt: skip
    add(
        '--queue', type=int, default=usual.requests, metavar='N',
        help='requests that are taken at a time; others are answered with 429 (default: %(default)s)',
    )  # fmt: skip
    add(
        '--timeout', type=float, default=usual.seconds, metavar='SECONDS',
        help='for a request to arrive, and then to be answered (default: %(default)s)',
    )  # fmt: skip
    add(
        '--batch-size', type=int, metavar='N',
        help='images that the model may get at once (default: 1 on a CPU, 8 on a GPU)',
    )  # fmt: skip


def limits_of(args: argparse.Namespace) -> Limits:
    """Return what the arguments say.

    Raises:
        ServerError: one of them is not positive.
    """
    return Limits(
        bytes=args.max_bytes,
        pixels=args.max_pixels,
        requests=args.queue,
        seconds=args.timeout,
        batch=args.batch_size,
    )
