"""How the threads that PyTorch computes with on a processor wait for each other."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

SPINS = '10000'
"""A fraction of a millisecond: longer than the gaps between the operations of a network."""


def sleep_after_a_short_spin(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let a thread that waits for the others give its core back soon; to be called before PyTorch is loaded.

    Every operation ends in a wait for its slowest thread. GNU's OpenMP, which PyTorch's wheels for Linux bring,
    waits by counting for milliseconds. When other programs, data workers included, want the same cores, that
    slowest thread is one that waits for a core, which is taken by those that count: on two cores with a load of
    six a prediction took 12.8 s of processor time for what it does in 5, and 50 s instead of 13 to its end.

    Nothing is done where the user has said how threads should wait (``OMP_WAIT_POLICY``, ``GOMP_SPINCOUNT``).

    Args:
        environment: the variables that OpenMP reads when it is loaded.
    """
    if not {'OMP_WAIT_POLICY', 'GOMP_SPINCOUNT'} & set(environment):
        environment['GOMP_SPINCOUNT'] = SPINS
