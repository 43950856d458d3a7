"""``swinseg train``: from a config to checkpoints."""

from __future__ import annotations

import argparse

from mmengine.dist import is_main_process

from swinseg.cli.arguments import CONFIG_HELP, add_cfg_options, add_launcher
from swinseg.cli.frame import Command, launched
from swinseg.config.loading import load_config
from swinseg.engine import train
from swinseg.engine.checkpoint.resumed_settings import CHOICES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the config, and what may differ from it."""
    parser.add_argument('config', help=CONFIG_HELP)
    parser.add_argument(
        '--work-dir', metavar='DIR', help='for checkpoints and logs (default: work_dirs/NAME)'
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const=True,
        metavar='PATH',
        help='go on from PATH, or from the newest whole checkpoint in the work directory; '
        '"auto" does so where there is one',
    )
    parser.add_argument(
        '--resume-schedule',
        choices=CHOICES,
        help='whose learning rate, optimizer settings and schedule are taken where a checkpoint that is resumed '
        'differs from the config (default: config)',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    parser.add_argument(
        '--compile', action='store_true', help='compile backbone and heads with torch.compile'
    )
    parser.add_argument('--seed', type=int, metavar='N', help='of the random numbers')
    parser.add_argument('--no-check', action='store_true', help='do not look at the data first')
    add_cfg_options(
        parser,
        explanation='such as train_cfg.max_iters=900, or train_cfg.by_epoch=True train_cfg.max_epochs=20; '
        'schedules that end with the training follow',
    )
    add_launcher(parser)


def run(args: argparse.Namespace) -> None:
    """Train, and say where the best checkpoints are."""
    with launched(args.launcher):
        result = train(
            load_config(args.config, args.cfg_options),
            work_dir=args.work_dir,
            resume=args.resume,
            amp=args.amp,
            compile=args.compile,
            seed=args.seed,
            launcher=args.launcher,
            check=not args.no_check,
            resume_schedule=args.resume_schedule,
        )
        for best in result.bests if is_main_process() else ():
            print(f'best {best.metric} {best.score:.2f}: {best.checkpoint}')


COMMAND = Command(
    description='Train a segmentor from a config.',
    example='upernet_swin_t_ade20k --work-dir work_dirs/t --resume auto',
    add_arguments=add_arguments,
    run=run,
)
