"""What a damaged zip archive is told as, in one place: Python raises very different errors for it."""

from __future__ import annotations

import contextlib
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator

from swinseg.errors import UserError


@contextlib.contextmanager
def damage_told(told: Callable[[Exception], UserError]) -> Iterator[None]:
    """Raise ``told(error)`` in place of an error with which ``zipfile`` answers a damaged archive in the block.

    Errors of the disk, which carry a number, and the user's errors that the block raises itself pass.

    Args:
        told: makes the sentence of the error.
    """
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        # bz2 has no error of its own for a damaged stream.
        if error.errno is not None:
            raise
        raise told(error) from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        RuntimeError,  # an entry that is marked as encrypted, or as of an unknown version or method
        ValueError,  # a position before the beginning of the file
    ) as error:
        raise told(error) from error
