#!/usr/bin/env python
"""Put two evaluations of the same images side by side: each class, and the images that changed most."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from swinseg.cli import run
from swinseg.files import make_folder, require_own, write_text
from swinseg.report.compare import compare, comparison_page, comparison_text
from swinseg.report.html_page import HTML_MARK
from swinseg.report.page import SHOWN, check_shown


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('first', metavar='A', help='folder of a report: tools/test.py --report')
    parser.add_argument('second', metavar='B', help='folder of the other, whose gains are positive')
    parser.add_argument('--out', metavar='FILE', help='for the page (default: B/compare.html)')
    parser.add_argument(
        '--shown', type=int, default=SHOWN, metavar='K',
        help=f'images that lost most, and as many that gained most (default: {SHOWN})',
    )  # fmt: skip
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Compare, print and write the page."""
    args = parse_args(argv)
    check_shown(args.shown)
    if args.out is not None:
        require_own(args.out, HTML_MARK)
    comparison = compare(args.first, args.second)
    print(comparison_text(comparison))
    page = Path(args.second) / 'compare.html' if args.out is None else Path(args.out)
    make_folder(page.parent)
    write_text(page, comparison_page(comparison, shown=args.shown))
    print(f'page: {page}')


if __name__ == '__main__':
    sys.exit(run(main))
