"""The arguments of ``swinseg serve`` about limits, and about who may ask."""

from __future__ import annotations

import argparse

from swinseg.predictor.arguments import memory_size
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
        '--decoders', type=int, default=usual.decoders, metavar='N',
        help='processes that decode images (default: %(default)s)',
    )  # fmt: skip
    add(
        '--decode-timeout', type=float, default=usual.decode_seconds, metavar='SECONDS',
        help='for an image to be decoded, after which its process is ended (default: %(default)s)',
    )  # fmt: skip
    add(
        '--uploads', type=int, default=usual.uploads, metavar='N',
        help='files of --max-bytes that are held at a time while they arrive (default: %(default)s)',
    )  # fmt: skip
    add(
        '--connections', type=int, default=usual.connections, metavar='N',
        help='that are open at a time (default: %(default)s)',
    )  # fmt: skip
    add(
        '--connections-per-address', type=int, default=usual.connections_per_address, metavar='N',
        help='of them, from one client (default: %(default)s)',
    )  # fmt: skip
    add(
        '--header-timeout', type=float, default=usual.header_seconds, metavar='SECONDS',
        help='for the header of a request to arrive (default: %(default)s)',
    )  # fmt: skip
    add(
        '--batch-size', type=int, metavar='N',
        help='images that the model may get at once (default: 1 on a CPU, 8 on a GPU)',
    )  # fmt: skip


def add_access(parser: argparse.ArgumentParser) -> None:
    """Add the arguments about the names of the server, the pages that may ask it, and proxies."""
    add = parser.add_argument_group('access').add_argument
    add(
        '--allowed-host', action='append', default=[], metavar='NAME',
        help='another name under which the server is asked, beside localhost, --host and the name of this '
        'machine; * for any; may be given several times',
    )  # fmt: skip
    add(
        '--allowed-origin', action='append', default=[], metavar='ORIGIN',
        help='a site whose pages may ask the server, such as https://maps.example.org; may be given several times',
    )  # fmt: skip
    add(
        '--proxy', action='append', default=[], metavar='ADDRESS',
        help='of a proxy in front of the server, whose X-Forwarded-For is believed and whose connections are not '
        'limited by address; may be given several times',
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
        decoders=args.decoders,
        decode_seconds=args.decode_timeout,
        uploads=args.uploads,
        connections=args.connections,
        connections_per_address=args.connections_per_address,
        header_seconds=args.header_timeout,
    )
