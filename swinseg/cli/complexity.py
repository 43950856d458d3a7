"""``swinseg complexity``: multiply-adds of a model, and of window attention beside global attention."""

from __future__ import annotations

import argparse

import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from swinseg.cli.arguments import CONFIG_HELP, add_cfg_options
from swinseg.cli.frame import Command
from swinseg.config.loading import load_config
from swinseg.errors import UsageError
from swinseg.files import make_folder, require_own
from swinseg.models.complexity import (
    attention_costs,
    format_attention_costs,
    format_model_costs,
)
from swinseg.models.roofline import DEVICES, DTYPES, format_estimates
from swinseg.visualization.png_files import PLOT_MARK
from swinseg.visualization.training.cost_plot import plot_attention_costs

SIDES = [7, 14, 28, 42, 56, 84, 112, 224]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the config, the sizes and the folder."""
    parser.add_argument('config', nargs='?', help=f'also count the model of this: {CONFIG_HELP}')
    parser.add_argument(
        '--sizes', type=int, nargs='+', default=[224, 512, 1024, 2048], metavar='PX',
        help='sides of square images',
    )  # fmt: skip
    parser.add_argument(
        '--device', choices=DEVICES,
        help='also estimate seconds and memory of a step of the model on one of these GPUs, from what its maker '
        'publishes',
    )  # fmt: skip
    parser.add_argument(
        '--dtype', default='float32', choices=DTYPES, help='of that step (default: %(default)s)'
    )
    parser.add_argument(
        '--batch', type=int, default=1, metavar='N', help='images of that step (default: 1)'
    )
    parser.add_argument(
        '--sides', type=int, nargs='+', default=SIDES, metavar='TOKENS', help='of square maps'
    )
    parser.add_argument(
        '--window-size', type=int, default=7, metavar='TOKENS',
        help='side of a window of attention (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--out', default='work_dirs/complexity', metavar='DIR',
        help='for the plot (default: %(default)s)',
    )  # fmt: skip
    add_cfg_options(parser, explanation='such as model.backbone.window_size=12')


def run(args: argparse.Namespace) -> None:
    """Count, measure, print and draw."""
    if args.cfg_options and not args.config:
        raise UsageError('--cfg-options changes a config, but none is named; put one before it')
    if args.device and not args.config:
        raise UsageError(
            '--device is about the model of a config, but none is named; put one before it'
        )
    if args.batch < 1:
        raise UsageError(f'--batch must be at least 1, found {args.batch}')
    plot = make_folder(args.out) / 'attention_cost.png'
    require_own(plot, PLOT_MARK)
    if args.config:
        config = load_config(args.config, args.cfg_options)
        init_default_scope(config.get('default_scope', 'mmseg'))
        with torch.device('meta'):
            model = MODELS.build(config.model)
        print(format_model_costs(model, args.sizes), end='\n\n')
        if args.device:
            device = DEVICES[args.device]
            table = format_estimates(model, args.sizes, device, dtype=args.dtype, batch=args.batch)
            print(table, end='\n\n')
    costs = attention_costs(args.sides, window=args.window_size)
    print(format_attention_costs(costs))
    title = (
        f'One attention layer, C = 96, M = {args.window_size}, '
        f'{torch.get_num_threads()} CPU threads'
    )
    plot_attention_costs(costs, plot, title=title)
    print(f'plot: {plot}')


COMMAND = Command(
    description='Show what the model costs: multiply-adds at several image sizes, and W-MSA against global MSA.',
    example='upernet_swin_t_ade20k --sizes 512 640 --device h100 --dtype bfloat16',
    add_arguments=add_arguments,
    run=run,
)
