"""``swinseg serve``: a page and an HTTP interface for one model."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from swinseg.cli.frame import Command
from swinseg.exporting.choice import add_runtime_choice, use_runtime_choice
from swinseg.predictor.arguments import add_model, add_workers, predictors_of
from swinseg.web.arguments import add_access, add_limits, limits_of
from swinseg.web.extra import require_extra


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the model, the address, and limits."""
    add_model(parser)
    add_runtime_choice(parser)
    add_workers(parser)
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


def run(args: argparse.Namespace) -> None:
    """Serve until a signal comes."""
    limits = limits_of(args)
    require_extra()
    from swinseg.web.access import Access
    from swinseg.web.app import create_app
    from swinseg.web.server import open_socket, serve

    access = Access.of(args.host, args.allowed_host, args.allowed_origin)
    with open_socket(args.host, args.port) as listening:
        name = Path(args.checkpoint).name
        use_runtime_choice(args)
        app = create_app(
            predictors_of(args), name=name, limits=limits, token=args.token, access=access
        )
        serve(app, listening, limits=limits, proxies=args.proxy)


COMMAND = Command(
    description='Serve a web page and an HTTP interface on which images are segmented with a checkpoint.',
    example='work_dirs/t/best_mIoU_iter_160000.pth --port 8000',
    add_arguments=add_arguments,
    run=run,
)
