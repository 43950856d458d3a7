#!/usr/bin/env python
"""``swinseg prepare`` as a script of a clone."""

import sys

from swinseg.cli.frame import main
from swinseg.cli.prepare import COMMAND

if __name__ == '__main__':
    sys.exit(main(COMMAND))
