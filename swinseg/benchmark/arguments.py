"""The command line of ``swinseg benchmark``: every suite's options in one place."""

from __future__ import annotations

import argparse
from typing import Any

from swinseg.benchmark.export_case import NARROW
from swinseg.benchmark.options import DTYPES, PRECISIONS
from swinseg.benchmark.pairs import VARIANTS
from swinseg.benchmark.suites import SUITES
from swinseg.benchmark.suites.model import PEERS
from swinseg.exporting.targets import TARGETS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the suite and all options; which of them a suite takes, it says itself."""
    add = parser.add_argument
    add('suite', choices=[*SUITES, 'all'])
    add(
        '--out',
        metavar='FILE',
        help='JSON file for the results, with a plot beside it; for all, a folder',
    )
    add('--device', help='cpu or cuda; gpu: cuda (default), others: cpu (default)')
    add('--threads', type=int, metavar='N', help="default: PyTorch's")
    add('--repeats', type=int, metavar='N', help='rounds at most')
    add(
        '--seconds',
        type=float,
        metavar='SECONDS',
        help='for the rounds of one case; two are always run',
    )
    add(
        '--load',
        type=int,
        metavar='N',
        help='processes that compute beside it all the while; default: 0',
    )
    add(
        '--variants',
        nargs='+',
        metavar='V',
        help=f'some of {", ".join(VARIANTS)}, default: T; export: also {", ".join(map(repr, NARROW))}',
    )
    add('--config', help='a file, or a shipped one by name, instead of the variants')
    add(
        '--sizes',
        nargs='+',
        type=int,
        metavar='PX',
        help='sides of square images; several show growth',
    )
    add('--dtypes', nargs='+', metavar='D', help=f'some of {", ".join(DTYPES)}')
    add(
        '--peers',
        nargs='*',
        metavar='P',
        help=f'some of {", ".join(PEERS)}, or none; gpu: compiled, transformers',
    )
    add(
        '--no-limit',
        action='store_false',
        dest='limit',
        default=None,
        help='model: without the limit',
    )
    add('--targets', nargs='+', metavar='T', help=f'export: some of {", ".join(TARGETS)}')
    add('--batch-size', type=int, metavar='N', help='images at a time')
    add(
        '--memory-sizes',
        nargs='+',
        type=int,
        metavar='PX',
        help='train: crops whose memory is measured',
    )
    add('--quick', action='store_true', default=None, help='gpu: fewer cases, a minute')
    add('--budget', type=float, metavar='SECONDS', help='gpu: for all cases; others are left out')
    add('--batch-sizes', nargs='+', type=int, metavar='N', help='gpu: images at a time')
    add('--train-batch-sizes', nargs='+', type=int, metavar='N', help='gpu: crops at a time')
    add('--precisions', nargs='+', metavar='P', help=f'gpu: some of {", ".join(PRECISIONS)}')
    add('--steps', type=int, metavar='N', help='gpu: of the loss curve')
    add('--checkpointing', action='store_true', default=None, help='train: recompute activations')
    add('--data-root', help="data: a folder in ADE20K's layout; default: drawn scenes")
    add('--images', type=int, metavar='N', help='data, gpu: images in each round')
    add('--num-classes', type=int, metavar='N', help='metric, scene: number of classes')
    add(
        '--image-size',
        nargs=2,
        type=int,
        metavar=('H', 'W'),
        help='metric, slide, scene, video, gpu: of the image',
    )
    add('--frames', type=int, metavar='N', help='video: of the clip')
    add('--window', type=int, metavar='N', help='slide, scene, gpu: side of a window')
    add('--stride', type=int, metavar='N', help='slide, scene, gpu: distance of windows')
    add(
        '--alone',
        action='store_true',
        default=None,
        help='slide: swinseg only, once, for sizes that mmseg cannot',
    )


def given_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options that the user gave, by name, without the suite and the output."""
    options = vars(arguments).items()
    return {
        name: value for name, value in options if value is not None and name not in ('suite', 'out')
    }
