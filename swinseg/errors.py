"""The one base class of errors that a user can mend, and what an error of another package means.

A command-line tool prints such an error as a single sentence and exits with 2; every other exception is
a defect of ours and keeps its traceback.
"""

from __future__ import annotations

import errno
import re
import reprlib

# The kind and the text of errors of allocators, few of which have a class of their own.
_OUT_OF_MEMORY = re.compile(
    r'outofmemory'  # the classes of PyTorch and GDAL
    r'|out of memory'  # CUDA, HIP, XPU, MPS, and drivers that fail outside of PyTorch's allocator
    r"|can(?:'t|not) allocate memory|not enough memory"  # the system, and PyTorch's allocator of the CPU
    r'|invalid buffer size'  # MPS, of a tensor that is larger than its largest
    r'|_status_alloc_failed'  # cuDNN, cuBLAS, cuSOLVER, cuSPARSE
    r'|out_of_(?:device_|host_)?memory'  # Level Zero, OpenCL and Vulkan
    r'|std::bad_alloc|bad allocation'  # C++ on Linux and on Windows
    r'|failed to (?:re)?allocate memory'  # ONNX Runtime, libtiff
    r'|insufficient memory',  # OpenCV
    re.IGNORECASE,
)


class UserError(ValueError):
    """Something in the user's data, weights, config or arguments is wrong.

    The message is one sentence: what was expected, what was found, where (file, value), and the fix to
    paste. Modules raise a subclass of their own (``ConfigError``, ``CheckpointError``, ``DataError``).
    """


class Interrupted(KeyboardInterrupt):
    """A signal has asked for the end of the work.

    Args:
        message: what was saved, and how to go on.
        signum: number of the signal.
    """

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """What a shell gives for the signal: 143 for SIGTERM, 130 for SIGINT."""
        return 128 + self.signum


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that memory ran out, so that less work at a time may fit.

    It may come from Python, NumPy, PyTorch on any device, OpenCV, ONNX Runtime or the system. A :class:`UserError`
    never does, nor any other error about a value: its text may hold any words, and its sentence says the fix.
    """
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, (ValueError, LookupError)):
        return False
    return _OUT_OF_MEMORY.search(f'{type(error).__name__}: {error}') is not None


def shown(value: object, *, most: int = 80) -> str:
    """Return a value from a user's file for a sentence: in few characters, however large or deep it is."""
    try:
        text = value if isinstance(value, str) else reprlib.repr(value)
    except (
        RecursionError,
        ValueError,
    ):  # the latter for a number of more digits than Python turns into text
        text = f'a {type(value).__name__}'
    printable = ''.join(c if c.isprintable() else '?' for c in text[: most + 1])
    return printable if len(printable) <= most else f'{printable[: most - 3]}...'


def quoted(value: object, *, most: int = 80) -> str:
    """Return a value as :func:`shown` does, a text in quotation marks."""
    text = shown(value, most=most)
    return repr(text) if isinstance(value, str) else text
