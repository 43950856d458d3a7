"""Files: atomic writes, names that fit, and damaged archives."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import lzma
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from swinseg.errors import UserError

NAME_BYTES = 255
"""Longest name of a file that the common file systems take, in bytes."""

_HEAD_BYTES = 2**16

_watched: dict[str, Callable[[Path, Path], None]] = {}


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
    end = f'.{os.getpid()}.partial{final.suffix}'
    stem = fitted_name(final.stem, NAME_BYTES - len(os.fsencode(f'.{end}')))
    temporary = final.with_name(f'.{stem}{end}')
    try:
        yield temporary
        with open(temporary, 'rb+') as file:
            os.fsync(file.fileno())
        _notify_watchers(final, temporary)
        os.replace(temporary, final)
        _flush_folder(final.parent)
    except OSError as error:
        raise OutputError(f'cannot write {final}: {error.strerror or error}') from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def watching(
    folder: str | os.PathLike[str], before_replacing: Callable[[Path, Path], None]
) -> Iterator[None]:
    """Within the block, call a function before :func:`atomic_path` gives a file its name in or below a folder.

    Args:
        folder: whoever writes into it, from whichever thread of this process.
        before_replacing: called with the final path and the temporary one, whose content is complete; what it
            raises keeps the final one as it is.

    Raises:
        OutputError: another call of this process watches the folder.
    """
    key = os.path.abspath(folder)
    if key in _watched:
        raise OutputError(
            f'{key} is being written by another call of this process; wait for its end'
        )
    _watched[key] = before_replacing
    try:
        yield
    finally:
        del _watched[key]


def _notify_watchers(final: Path, temporary: Path) -> None:
    if not _watched or is_partial(final):
        return
    path = Path(os.path.abspath(final))
    above = [folder for folder in list(_watched) if path.is_relative_to(folder)]
    if above:
        _watched[max(above, key=len)](final, temporary)


def is_partial(path: str | os.PathLike[str]) -> bool:
    """Whether a name is one of those under which results are kept while they are incomplete."""
    name = os.path.basename(path)
    return name.startswith('.') and '.partial' in name


def fitted_name(name: str, room: int) -> str:
    """Return a name of at most ``room`` bytes; one that is cut ends in a checksum of the whole, ``~1f3a99c0``."""
    if len(os.fsencode(name)) <= room:
        return name
    tag = f'~{short_checksum(name)}'
    length = min(len(name), room)
    while len(os.fsencode(name[:length])) > room - len(tag):
        length -= 1
    return name[:length] + tag


def short_checksum(text: str) -> str:
    """Return eight hexadecimal digits that tell a text from others, the same in every process."""
    return hashlib.blake2b(os.fsencode(text), digest_size=4).hexdigest()


def require_other_file(output: str | os.PathLike[str], source: str | os.PathLike[str]) -> None:
    """Make sure that writing ``output`` does not destroy ``source``, which it is made from.

    Raises:
        OutputError: they are one file, by whatever names.
    """
    try:
        is_same = os.path.samefile(output, source)
    except (OSError, ValueError):  # one of them is not there
        return
    if is_same:
        raise OutputError(
            f'{os.fspath(output)} would be written over {os.fspath(source)}, which it is made from; name another '
            'file or folder for the output'
        )


def require_own(path: str | os.PathLike[str], mark: str) -> None:
    """Make sure that a file may be replaced: it is not there, or is of the kind that is to be written.

    Args:
        path: of a file to write.
        mark: what stands near the beginning of such files of swinseg, and of few others.

    Raises:
        OutputError: another file is there, or it cannot be read.
    """
    try:
        with open(path, 'rb') as file:
            is_own = mark.encode() in file.read(_HEAD_BYTES)
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f'cannot write {os.fspath(path)}: {error.strerror or error}') from error
    if not is_own:
        raise OutputError(
            f'{os.fspath(path)} is there already, and swinseg did not write it; name another output, or remove '
            'the file'
        )


@contextlib.contextmanager
def explain_full_disk(folder: str | os.PathLike[str]) -> Iterator[None]:
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


@contextlib.contextmanager
def zip_errors_as(told: Callable[[Exception], UserError]) -> Iterator[None]:
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
