"""Writing files so that a kill at any moment leaves either the old file or the new one."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from swinseg.errors import UserError


class OutputError(UserError):
    """A file or folder cannot be written."""


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Create a folder with its parents and make sure that files can be written into it.

    Raises:
        OutputError: the folder cannot be created, or nothing can be written there.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f'cannot write to the output folder {folder}: {error.strerror or error}; '
            'choose another folder or change its permissions'
        ) from error
    return folder


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path`` (same suffix) that becomes ``path`` when the block succeeds.

    The file is flushed to disk before the rename, and the rename before the block is left; when the block fails
    the temporary file is removed and the old one stays.

    Raises:
        OutputError: the folder does not take the file.
    """
    final = Path(path)
    temporary = final.with_name(f'.{final.stem}.{os.getpid()}.partial{final.suffix}')
    try:
        yield temporary
        with open(temporary, 'rb+') as file:
            os.fsync(file.fileno())
        os.replace(temporary, final)
        _flush_folder(final.parent)
    except OSError as error:
        raise OutputError(f'cannot write {final}: {error.strerror or error}') from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def full_disk_told(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Say in one sentence that no more can be written to ``folder``, whoever in the block tried to.

    Raises:
        OutputError: the disk is full, or a quota or a limit of the size of files is reached.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise OutputError(
            f'cannot write to {os.fspath(folder)}: {error.strerror}; make room, and go on with --resume where '
            'there is a checkpoint'
        ) from error


def remove_partial_files(folder: str | os.PathLike[str], *, suffix: str) -> None:
    """Remove what :func:`atomic_path` left of files ending in ``suffix`` when its process was killed."""
    for path in Path(folder).glob(f'.*.partial{suffix}'):
        with contextlib.suppress(OSError):
            path.unlink()


def _flush_folder(folder: Path) -> None:
    """Write a folder's names to disk, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
