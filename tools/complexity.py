#!/usr/bin/env python
"""Show what the model costs: multiply-adds at several image sizes, and W-MSA against global MSA."""

from __future__ import annotations

import argparse
import sys

import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from swinseg.cli import run
from swinseg.config.loading import load_config
from swinseg.files import make_folder, require_own
from swinseg.models.complexity import (
    attention_costs,
    format_attention_costs,
    format_model_costs,
)
from swinseg.visualization.png_files import PLOT_MARK
from swinseg.visualization.training.cost_plot import plot_attention_costs

SIDES = [7, 14, 28, 42, 56, 84, 112, 224]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', nargs='?', help='also count the model of this config')
    parser.add_argument(
        '--sizes', type=int, nargs='+', default=[224, 512, 1024, 2048], metavar='PX'
    )
    parser.add_argument('--sides', type=int, nargs='+', default=SIDES, metavar='TOKENS')
    parser.add_argument('--window', type=int, default=7, help='side of a window in tokens')
    parser.add_argument('--out', default='work_dirs/complexity', help='folder for the plot')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    plot = make_folder(args.out) / 'attention_cost.png'
    require_own(plot, PLOT_MARK)
    if args.config:
        config = load_config(args.config)
        init_default_scope(config.get('default_scope', 'mmseg'))
        with torch.device('meta'):
            print(format_model_costs(MODELS.build(config.model), args.sizes), end='\n\n')
    costs = attention_costs(args.sides, window=args.window)
    print(format_attention_costs(costs))
    title = f'One attention layer, C = 96, M = {args.window}, {torch.get_num_threads()} CPU threads'
    plot_attention_costs(costs, plot, title=title)
    print(f'plot: {plot}')


if __name__ == '__main__':
    sys.exit(run(main))
