"""Command line that writes the mini set as ``swinseg prepare mini`` does, and knows where it goes by itself."""

from __future__ import annotations

import argparse
import sys

from swinseg.datasets.prepare.command_line import LAYOUTS


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, write the set and say so."""
    mini = LAYOUTS['mini']
    parser = argparse.ArgumentParser(description='Draw the embedded mini set.')
    mini.add_arguments(parser)
    parser.add_argument('--out', default='data/mini', help='folder to write (default: %(default)s)')
    print(mini.convert(parser.parse_args(arguments)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
