#!/usr/bin/env python
"""Show what the model costs: multiply-adds at several image sizes, and W-MSA against global MSA."""

from __future__ import annotations

import argparse
import sys

import torch
from swinseg.engine.config import load_config

from swinseg.cli import run
from swinseg.files import make_folder
from swinseg.models.complexity import attention_costs, count_multiply_adds, growth_exponent
from swinseg.visualization.cost_plot import plot_attention_costs


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', nargs='?', help='also count this config, in all and its backbone')
    parser.add_argument(
        '--sizes', type=int, nargs='+', default=[224, 512, 1024, 2048], metavar='PX'
    )
    parser.add_argument(
        '--sides', type=int, nargs='+', default=[7, 14, 28, 42, 56, 84, 112, 224], metavar='TOKENS'
    )
    parser.add_argument('--window', type=int, default=7, help='side of a window in tokens')
    parser.add_argument(
        '--out', default='work_dirs/complexity', help='folder for attention_cost.png'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    folder = make_folder(args.out)
    if args.config:
        # Imported here: building a model is not needed for the attention layers alone.
        from mmseg.registry import MODELS

        model_config = load_config(args.config).model
        model_config.backbone.init_cfg = None
        with torch.device('meta'):
            model = MODELS.build(model_config)
        print(f'{"image":>12} {"G multiply-adds":>16} {"backbone":>10} {"head":>10}')
        for size in args.sizes:
            total = count_multiply_adds(model, (size, size)) / 1e9
            backbone = count_multiply_adds(model.backbone, (size, size)) / 1e9
            print(
                f'{size:>5} x {size:<5} {total:>15.1f} {backbone:>10.1f} {total - backbone:>10.1f}'
            )
        print()
    costs = attention_costs(args.sides, window=args.window)
    print(
        f'{"attention":>9} {"patches":>12} {"equation (G)":>13} {"counted (G)":>12} {"seconds":>9}'
    )
    for cost in costs:
        seconds = f'{cost.seconds:9.4f}' if cost.seconds is not None else 'too large'
        print(
            f'{cost.attention:>9} {cost.side:>5} x {cost.side:<4} {cost.by_equation / 1e9:>13.3f} '
            f'{cost.counted / 1e9:>12.3f} {seconds}'
        )
    for name in ('W-MSA', 'MSA'):
        # The smallest maps are all projection and overhead; the larger half shows the law.
        large = [
            cost for cost in costs if cost.attention == name and cost.side >= args.sides[-1] // 8
        ]
        if len(large) > 1:
            exponent = growth_exponent([c.patches for c in large], [c.counted for c in large])
            print(f'{name} grows as patches ** {exponent:.2f} (counted)')
    path = folder / 'attention_cost.png'
    threads = f'{torch.get_num_threads()} CPU threads'
    plot_attention_costs(
        costs, path, title=f'One attention layer, C = 96, M = {args.window}, {threads}'
    )
    print(f'plot: {path}')


if __name__ == '__main__':
    sys.exit(run(main))
