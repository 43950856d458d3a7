#!/usr/bin/env python
"""``swinseg complexity`` as a script of a clone."""

import sys

from swinseg.cli.complexity import COMMAND
from swinseg.cli.frame import main

if __name__ == '__main__':
    sys.exit(main(COMMAND))
