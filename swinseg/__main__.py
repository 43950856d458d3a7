"""``python -m swinseg``: the command ``swinseg``, which ``torchrun -m swinseg`` starts in several processes."""

import sys

from swinseg_command import main

if __name__ == '__main__':
    sys.exit(main())
