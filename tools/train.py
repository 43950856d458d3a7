#!/usr/bin/env python
"""Train a segmentor from a config."""

from __future__ import annotations

import argparse
import sys

from mmengine.dist import is_main_process

import swinseg
from swinseg.cli import launched, run
from swinseg.engine.checkpoint.resumed_settings import CHOICES
from swinseg.engine.distributed.launch import LAUNCHERS


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='a file such as configs/upernet_swin_t_ade20k.py')
    parser.add_argument('--work-dir', help='for checkpoints and logs (default: work_dirs/NAME)')
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
    parser.add_argument('--seed', type=int, help='of the random numbers')
    parser.add_argument('--no-check', action='store_true', help='do not look at the data first')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='K=V',
        help='such as train_cfg.max_iters=900, or train_cfg.by_epoch=True train_cfg.max_epochs=20; '
        'schedules that end with the training follow',
    )
    parser.add_argument(
        '--launcher', choices=LAUNCHERS, default='none',
        help='how this process was started, when it is one of several',
    )  # fmt: skip
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Train, and say where the best checkpoints are."""
    args = parse_args(argv)
    with launched(args.launcher):
        result = swinseg.train(
            swinseg.load_config(args.config, args.cfg_options),
            work_dir=args.work_dir,
            resume=args.resume,
            amp=args.amp,
            seed=args.seed,
            launcher=args.launcher,
            check=not args.no_check,
            resume_schedule=args.resume_schedule,
        )
        for best in result.bests if is_main_process() else ():
            print(f'best {best.metric} {best.score:.2f}: {best.checkpoint}')


if __name__ == '__main__':
    sys.exit(run(main))
