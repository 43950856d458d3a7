"""``swinseg check``: everything that is wrong with a dataset."""

from __future__ import annotations

import argparse
from pathlib import Path

from swinseg.cli.arguments import CONFIG_HELP, add_cfg_options
from swinseg.cli.frame import EXIT_BAD_INPUT, Command
from swinseg.config.loading import load_config
from swinseg.datasets.check import format_report
from swinseg.datasets.check.of_config import SPLITS, check_dataset
from swinseg.datasets.check.report import JSON_MARK
from swinseg.files import make_folder, require_own, write_text
from swinseg.predictor.arguments import worker_count
from swinseg.report.dataset_page import dataset_page
from swinseg.report.html_page import HTML_MARK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the config, what to look at, and where to write it."""
    parser.add_argument('config', help=CONFIG_HELP)
    parser.add_argument('--split', choices=[*SPLITS, 'both'], default='both')
    parser.add_argument('--json', metavar='FILE', help='for everything, with all file names')
    parser.add_argument('--html', metavar='FILE', help='for a page with pictures')
    parser.add_argument('--sample', type=int, metavar='N', help='look at N images of each split')
    parser.add_argument(
        '--workers', type=worker_count, metavar='N',
        help="processes: a number, or 'auto' for one on each core (default: auto)",
    )  # fmt: skip
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    """Check, print, write, and return the exit code."""
    for path, mark in ((args.json, JSON_MARK), (args.html, HTML_MARK)):
        if path:
            make_folder(Path(path).parent)
            require_own(path, mark)
    report = check_dataset(
        load_config(args.config, args.cfg_options),
        splits=SPLITS if args.split == 'both' else (args.split,),
        sample=args.sample,
        workers=None if args.workers == 'auto' else args.workers,
        progress=True,
    )
    print(format_report(report))
    if args.json:
        write_text(args.json, report.to_json())
    if args.html:
        write_text(args.html, dataset_page(report))
    return 0 if report.ok else EXIT_BAD_INPUT


COMMAND = Command(
    description="Look at every file of a config's datasets, and say what keeps them from being trained on and how "
    'to mend it.',
    example='upernet_swin_t_camvid --cfg-options data_root=/data/camvid --html check.html',
    add_arguments=add_arguments,
    run=run,
    notes='Exit code: 2 where training would stop or be meaningless, else 0.',
)
