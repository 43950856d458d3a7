"""Errors that a user can mend, and how values are shown in their sentences.

A command-line tool prints such an error as a single sentence and exits with 2; every other exception is
a defect of ours and keeps its traceback.
"""

from __future__ import annotations

import errno
import re
import reprlib
from http import HTTPStatus

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


class UsageError(UserError):
    """A command was called with arguments that it does not understand."""


class BenchmarkError(UserError):
    """A benchmark's arguments, or the files that it reads, do not fit."""


class CheckpointError(UserError):
    """A weight file cannot be read, is of no known format, or does not fit the model."""


class HubError(CheckpointError):
    """A model's name leads to no model, or to one that is not to be had."""


class DataError(UserError):
    """An image, a label, a folder or a class list is not what training needs; the message says the fix.

    Attributes:
        setting: arguments of the dataset that mend it, as they stand in the message; empty where there are none.
    """

    def __init__(self, message: str, *, setting: str = '') -> None:
        super().__init__(message)
        self.setting = setting


class PrepareError(DataError):
    """A dataset cannot be converted."""


class DecodingError(ValueError):
    """The bytes of an image are not decoded; the message is a clause about the file: ``holds complex numbers``.

    Attributes:
        fix: what to do about it.
    """

    def __init__(self, message: str, *, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


class LabelChannelsError(DataError):
    """A label is a picture with several channels where one channel of class indices is expected."""


class LabelColorsError(DataError):
    """A label whose colors say the class has one that is of no class."""


class ConfigError(UserError):
    """A config cannot be read, or says something that nothing understands."""


class TrainingError(UserError):
    """Training cannot go on."""


class SlideError(UserError):
    """Windows, strides, memory or scores do not fit the image or one another."""


class ArchitectureError(UserError):
    """The arguments of a model contradict each other or the input."""


class ServerError(UserError):
    """The server cannot be started."""


class RequestError(UserError):
    """A request is refused.

    Args:
        status: of the answer.
        sentence: what is wrong, and what to do.
        retry_after: whole seconds after which the same request may succeed; None where it will not.
    """

    def __init__(
        self, status: HTTPStatus, sentence: str, *, retry_after: int | None = None
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.retry_after = retry_after


class PredictorError(UserError):
    """A model cannot be set up from a checkpoint and config, or an image cannot be segmented."""


class ExportError(UserError):
    """A model cannot be exported, or what was exported does not compute the same."""


class ExportedFileError(UserError):
    """An exported file cannot be opened or run."""
