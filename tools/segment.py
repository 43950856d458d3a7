#!/usr/bin/env python
"""``swinseg segment`` as a script of a clone."""

import sys

from swinseg.cli.frame import main
from swinseg.cli.segment import COMMAND

if __name__ == '__main__':
    sys.exit(main(COMMAND))
