"""OpenVINO's way in, of which a process must have one."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def openvino_core() -> Any:
    """Return the one ``openvino.Core`` of this process, which lives as long as it.

    Each core's plugin for processors gives the thread that loads it another stack for signal handlers and, when it
    ends, the one of before. Of two cores, when the first ends before the second, that one is memory given back:
    the next signal with a handler ends the process, such as that of a data worker's end, and nothing says why.
    """
    import openvino

    return openvino.Core()
