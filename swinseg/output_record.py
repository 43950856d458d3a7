"""Record of what was written into a folder, and from what, so that files of others are told from results.

It is a hidden file of the folder with a line of JSON for each file. A line is added, and on the disk, before the
file gets its name: after a kill at any moment every result has its line, and a line too many names a file that is
not there. Lines are only ever appended, so the cost of one does not grow with their number, and several processes
can write into one folder. A line that cannot be read vouches for nothing.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swinseg.files import OutputError

RECORD_FILE = '.swinseg-outputs.jsonl'

_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, 'O_BINARY', 0)


class OutputRecord:
    """What earlier calls and this one wrote into a folder.

    A file is a result when its size and time of change are those of its line or, where a copy has lost the time,
    its content is.

    Args:
        folder: need not exist; the file is made with its first line.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(os.path.realpath(folder))
        self.path = self.folder / RECORD_FILE
        # Hashes instead of names, for millions of lines: of (file, bytes, time or content) to that of its source.
        self._sources: dict[int, int] = {}
        self._sizes: set[int] = set()
        self._folders: dict[str, str] = {}
        self._offset = 0
        self.refresh()

    def refresh(self) -> None:
        """Read the lines that were added since, by other processes as well.

        Raises:
            OutputError: there is such a file, but it cannot be read.
        """
        for line in self._lines(self._offset):
            self._offset += len(line)
            entry = _entry_of(line)
            if entry is not None:
                self._take(entry)

    def source_name(self, path: str | os.PathLike[str]) -> str:
        """Return how a line names a source: relative to the folder, so that both can be moved together."""
        return self._name(path)

    def holds(self, path: str | os.PathLike[str]) -> bool:
        """Whether a path is in or below the folder."""
        name = self._name(path)
        return not (name.startswith('../') or os.path.isabs(name))

    def is_result(self, path: str | os.PathLike[str], *, source: str | None = None) -> bool:
        """Whether a file is as it was written.

        Args:
            path: in or below the folder.
            source: by :meth:`source_name`; None for whatever it was made from.
        """
        try:
            status = os.lstat(path)
        except OSError:
            return False
        name = self._name(path)
        if hash((name, status.st_size)) not in self._sizes:
            return False
        found = self._sources.get(hash((name, status.st_size, status.st_mtime_ns)))
        if found is None and os.path.isfile(path) and not os.path.islink(path):
            found = self._sources.get(hash((name, status.st_size, checksum(path))))
        return found is not None and (source is None or found == hash(source))

    def may_replace(self, path: str | os.PathLike[str], *, source: str) -> bool:
        """Whether nothing is there, or a result of the same source, which another process may have written."""
        if not os.path.lexists(path) or self.is_result(path, source=source):
            return True
        self.refresh()
        return self.is_result(path, source=source)

    def why_not(self, path: str | os.PathLike[str]) -> str:
        """Return in words why a file is no result of a certain source."""
        name = self._name(path)
        sources = [
            entry['from']
            for line in self._lines(0)
            if (entry := _entry_of(line)) is not None and entry['file'] == name
        ]
        if not sources:
            return 'no earlier call wrote it'
        if self.is_result(path):
            return f'it was made from {os.path.normpath(self.folder / sources[-1])}'
        return 'it was changed after an earlier call had written it'

    def add(
        self, path: str | os.PathLike[str], temporary: str | os.PathLike[str], source: str
    ) -> None:
        """Add a line for a file that is complete but for its name.

        Args:
            path: its final name.
            temporary: its present one.
            source: by :meth:`source_name`.

        Raises:
            OutputError: the line cannot be written.
        """
        status = os.stat(temporary)
        entry = {
            'file': self._name(path),
            'from': source,
            'bytes': status.st_size,
            'modified_ns': status.st_mtime_ns,
            'blake2b': checksum(temporary),
        }
        try:
            # One write at the end of the file, which no other process can fall into.
            descriptor = os.open(self.path, _APPEND, 0o666)
            try:
                # What a kill has cut short is a line of its own.
                size = os.fstat(descriptor).st_size
                start = '' if _ends_in_newline(descriptor, size) else '\n'
                data = f'{start}{json.dumps(entry)}\n'.encode()
                if os.write(descriptor, data) != len(data):
                    raise OSError(0, 'the disk is full')
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise OutputError(f'cannot write {self.path}: {error.strerror or error}') from error
        self._take(entry)

    def _take(self, entry: dict[str, Any]) -> None:
        name, size, source = entry['file'], entry['bytes'], hash(entry['from'])
        self._sizes.add(hash((name, size)))
        self._sources[hash((name, size, entry['modified_ns']))] = source
        self._sources[hash((name, size, entry['blake2b']))] = source

    def _name(self, path: str | os.PathLike[str]) -> str:
        folder, name = os.path.split(os.path.abspath(path))
        if folder not in self._folders:  # once for the many files of a folder
            real = os.path.realpath(folder)
            try:
                self._folders[folder] = Path(os.path.relpath(real, self.folder)).as_posix()
            except ValueError:  # on another drive
                self._folders[folder] = real
        return name if self._folders[folder] == '.' else f'{self._folders[folder]}/{name}'

    def _lines(self, offset: int) -> Iterator[bytes]:
        try:
            with open(self.path, 'rb') as file:
                file.seek(offset)
                for line in file:
                    if line.endswith(b'\n'):
                        yield line
        except OSError as error:
            # Where there is no such folder, there is no record; whether there can be one, writing says.
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                return
            raise OutputError(
                f'cannot read {self.path}, which tells results from files of others: {error.strerror or error}; '
                'choose another folder'
            ) from error


def real_path(path: str | os.PathLike[str]) -> str:
    """Return what is the same for all spellings of a file's path; a link to a file is a file of its own."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(folder), name)


def checksum(path: str | os.PathLike[str]) -> str:
    """Return the BLAKE2b checksum of a file's content, as hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, 'rb') as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _entry_of(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    kinds = {'file': str, 'from': str, 'bytes': int, 'modified_ns': int, 'blake2b': str}
    if isinstance(entry, dict) and all(isinstance(entry.get(k), kind) for k, kind in kinds.items()):
        return entry
    return None


def _ends_in_newline(descriptor: int, size: int) -> bool:
    if size == 0:
        return True
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1) == b'\n'
