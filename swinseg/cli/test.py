"""``swinseg test``: what a checkpoint is worth on a test set."""

from __future__ import annotations

import argparse

from mmengine.dist import is_main_process

from swinseg.cli.arguments import CONFIG_HELP, add_cfg_options, add_launcher
from swinseg.cli.frame import Command, launched
from swinseg.config.loading import load_config
from swinseg.engine import evaluate
from swinseg.evaluation import format_metrics, format_table
from swinseg.hub import resolve
from swinseg.predictor.arguments import add_checkpoint, add_runtime, use_runtime
from swinseg.report.page import SHOWN


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add config, checkpoint and what is written."""
    parser.add_argument('config', help=f'that the checkpoint was trained with: {CONFIG_HELP}')
    add_checkpoint(
        parser,
        'its weights in any known format: a path, an address, the name of a published model, or '
        'hf:OWNER/REPO[@REVISION]; or a file that swinseg export wrote',
    )
    add_runtime(parser)
    parser.add_argument('--tta', action='store_true', help="average the config's scales and flips")
    parser.add_argument('--out', metavar='DIR', help='for metrics.json (default: work directory)')
    parser.add_argument('--report', metavar='DIR', help='for a page of figures and pictures')
    parser.add_argument(
        '--shown', type=int, default=SHOWN, metavar='K',
        help='worst images, and as many of the best, on that page (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument('--work-dir', metavar='DIR', help='for the log (default: work_dirs/NAME)')
    add_cfg_options(parser)
    add_launcher(parser)


def run(args: argparse.Namespace) -> None:
    """Evaluate and print."""
    use_runtime(args)
    with launched(args.launcher):
        result = evaluate(
            load_config(args.config, args.cfg_options),
            resolve(args.checkpoint).weights,
            tta=args.tta,
            out=args.out,
            report=args.report,
            shown=args.shown,
            work_dir=args.work_dir,
            device=args.device,
            threads=args.threads,
            providers=args.provider,
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


COMMAND = Command(
    description="Evaluate a checkpoint on a config's test set: a table per class, aAcc, mIoU and mAcc.",
    example='upernet_swin_t_ade20k work_dirs/t/best_mIoU_iter_160000.pth --report report',
    add_arguments=add_arguments,
    run=run,
)
