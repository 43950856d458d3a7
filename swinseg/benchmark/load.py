"""Other programs that want the processor while something is timed, as data workers and users' programs do."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

# Ends when the benchmark does, however that ends: its pipe is closed then.
_COMPUTE = """
import sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), __import__('os')._exit(0)), daemon=True).start()
print('ready', flush=True)
while True:
    sum(range(10000))
"""


@contextlib.contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Run so many processes beside the body, each of which computes without a pause on one core.

    Args:
        count: processes; 0 for none.
    """
    with contextlib.ExitStack() as stack:
        processes = []
        for _ in range(count):
            process = subprocess.Popen(
                [sys.executable, '-S', '-c', _COMPUTE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            stack.enter_context(process)  # closes the pipes and waits for the end
            stack.callback(process.kill)
            processes.append(process)
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        yield
