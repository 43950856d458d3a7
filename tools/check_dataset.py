#!/usr/bin/env python
"""Look at every file of a config's datasets, and say what keeps them from being trained on and how to mend it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import swinseg  # noqa: F401  (registers everything that a config names)
from swinseg.cli import EXIT_BAD_INPUT, run
from swinseg.datasets.check import format_report
from swinseg.datasets.check.of_config import SPLITS, check_dataset
from swinseg.datasets.check.report import JSON_MARK
from swinseg.engine import load_config
from swinseg.files import make_folder, require_own, write_text
from swinseg.report.dataset_page import dataset_page
from swinseg.report.html_page import HTML_MARK


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Exit code: 2 where training would stop or be meaningless, else 0.',
    )
    parser.add_argument('config', help='a file such as configs/upernet_swin_t_camvid.py')
    parser.add_argument('--split', choices=[*SPLITS, 'both'], default='both')
    parser.add_argument('--json', metavar='FILE', help='for everything, with all file names')
    parser.add_argument('--html', metavar='FILE', help='for a page with pictures')
    parser.add_argument('--sample', type=int, metavar='N', help='look at N images of each split')
    parser.add_argument('--workers', type=int, metavar='N', help='processes (default: all cores)')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='K=V', help='such as data_root=/data/ade'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Check, print, write, and return the exit code."""
    args = parse_args(argv)
    for path, mark in ((args.json, JSON_MARK), (args.html, HTML_MARK)):
        if path:
            make_folder(Path(path).parent)
            require_own(path, mark)
    report = check_dataset(
        load_config(args.config, args.cfg_options),
        splits=SPLITS if args.split == 'both' else (args.split,),
        sample=args.sample,
        workers=args.workers,
        progress=True,
    )
    print(format_report(report))
    if args.json:
        write_text(args.json, report.to_json())
    if args.html:
        write_text(args.html, dataset_page(report))
    return 0 if report.ok else EXIT_BAD_INPUT


if __name__ == '__main__':
    sys.exit(run(main))
