"""``swinseg compare``: two evaluations of the same images."""

from __future__ import annotations

import argparse
from pathlib import Path

from swinseg.cli.frame import Command
from swinseg.files import make_folder, require_own, write_text
from swinseg.report.compare import compare, comparison_page, comparison_text
from swinseg.report.html_page import HTML_MARK
from swinseg.report.page import SHOWN, check_shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two reports and the page."""
    parser.add_argument('first', metavar='A', help='folder of a report: swinseg test --report')
    parser.add_argument('second', metavar='B', help='folder of the other, whose gains are positive')
    parser.add_argument('--out', metavar='FILE', help='for the page (default: B/compare.html)')
    parser.add_argument(
        '--shown', type=int, default=SHOWN, metavar='K',
        help='images that lost most, and as many that gained most (default: %(default)s)',
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Compare, print and write the page."""
    check_shown(args.shown)
    if args.out is not None:
        require_own(args.out, HTML_MARK)
    comparison = compare(args.first, args.second)
    print(comparison_text(comparison))
    page = Path(args.second) / 'compare.html' if args.out is None else Path(args.out)
    make_folder(page.parent)
    write_text(page, comparison_page(comparison, shown=args.shown))
    print(f'page: {page}')


COMMAND = Command(
    description='Put two evaluations of the same images side by side: classes, and the images that changed most.',
    example='reports/before reports/after --out compare.html',
    add_arguments=add_arguments,
    run=run,
)
