#!/usr/bin/env python
"""``swinseg convert`` as a script of a clone."""

import sys

from swinseg.cli.convert import COMMAND
from swinseg.cli.frame import main

if __name__ == '__main__':
    sys.exit(main(COMMAND))
