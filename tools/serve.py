#!/usr/bin/env python
"""Serve a web page and an HTTP interface on which images are segmented with a checkpoint."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from swinseg.cli import run
from swinseg.predictor.arguments import add_model, predictor_of
from swinseg.web.arguments import add_access, add_limits, limits_of
from swinseg.web.extra import require_extra


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_model(parser)
    parser.add_argument(
        '--host', default='127.0.0.1', help='0.0.0.0 for all (default: this machine)'
    )
    parser.add_argument('--port', type=int, default=8000, help='0 for a free one (default: 8000)')
    parser.add_argument(
        '--token', default=os.environ.get('SWINSEG_TOKEN'),
        help='that requests must bring (default: the environment variable SWINSEG_TOKEN, or none)',
    )  # fmt: skip
    add_access(parser)
    add_limits(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Serve until a signal comes."""
    args = parse_args(argv)
    limits = limits_of(args)
    require_extra()
    from swinseg.web.access import Access
    from swinseg.web.app import create_app
    from swinseg.web.server import open_socket, serve

    access = Access.of(args.host, args.allowed_host, args.allowed_origin)
    with open_socket(args.host, args.port) as listening:
        predictor = predictor_of(args)
        name = Path(args.checkpoint).name
        app = create_app(predictor, name=name, limits=limits, token=args.token, access=access)
        serve(app, listening, limits=limits, proxies=args.proxy)


if __name__ == '__main__':
    sys.exit(run(main))
