"""Command line that writes the mini dataset: ``python -m swinseg.datasets.mini --out data/mini``."""

from __future__ import annotations

import argparse
import sys
import time

from swinseg.datasets.mini.dataset import make_dataset


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, write the set and say so."""
    parser = argparse.ArgumentParser(description='Draw the embedded mini set.')
    parser.add_argument('--out', default='data/mini', help='folder to write (default: %(default)s)')
    parser.add_argument(
        '--train', type=int, default=400, help='training scenes (default: %(default)s)'
    )
    parser.add_argument(
        '--val', type=int, default=80, help='validation scenes (default: %(default)s)'
    )
    parser.add_argument('--size', type=int, default=192, help='shorter side (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='(default: %(default)s)')
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    drawn = make_dataset(
        options.out, train=options.train, val=options.val, size=options.size, seed=options.seed
    )
    if drawn:
        seconds = time.perf_counter() - start
        print(f'drew {options.train} + {options.val} scenes in {options.out} in {seconds:.1f} s')
    else:
        print(f'{options.out} is complete already')
    return 0


if __name__ == '__main__':
    sys.exit(main())
