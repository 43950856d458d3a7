#!/usr/bin/env python
"""``swinseg train`` as a script of a clone."""

import sys

from swinseg.cli.frame import main
from swinseg.cli.train import COMMAND

if __name__ == '__main__':
    sys.exit(main(COMMAND))
