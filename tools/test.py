#!/usr/bin/env python
"""Evaluate a checkpoint on a config's test set: a table per class, aAcc, mIoU and mAcc."""

from __future__ import annotations

import argparse
import sys

from mmengine.dist import is_main_process

import swinseg
from swinseg.cli import launched, run
from swinseg.engine.distributed.launch import LAUNCHERS
from swinseg.evaluation import format_metrics, format_table
from swinseg.report.page import SHOWN


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='the config that the checkpoint was trained with')
    parser.add_argument('checkpoint', help='path or http(s) address, any known format')
    parser.add_argument('--tta', action='store_true', help="average the config's scales and flips")
    parser.add_argument('--out', metavar='DIR', help='for metrics.json (default: work directory)')
    parser.add_argument('--report', metavar='DIR', help='for a page of figures and pictures')
    parser.add_argument(
        '--worst', type=int, default=SHOWN, metavar='K', help='worst and best images on that page'
    )
    parser.add_argument('--work-dir', help='for the log (default: work_dirs/NAME)')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='K=V', help='such as data_root=/data/ade'
    )
    parser.add_argument(
        '--launcher', choices=LAUNCHERS, default='none',
        help='how this process was started, when it is one of several',
    )  # fmt: skip
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Evaluate and print."""
    args = parse_args(argv)
    with launched(args.launcher):
        result = swinseg.evaluate(
            swinseg.load_config(args.config, args.cfg_options),
            args.checkpoint,
            tta=args.tta,
            out=args.out,
            report=args.report,
            worst=args.worst,
            work_dir=args.work_dir,
            launcher=args.launcher,
        )
        if not is_main_process():
            return
    if result.report is not None:
        print(format_table(result.report, protocol=result.protocol))
    else:
        print(format_metrics(result))
    print(f'{result.images} images in {result.seconds:.1f} s')
    if result.page is not None:
        print(f'report: {result.page}')


if __name__ == '__main__':
    sys.exit(run(main))
