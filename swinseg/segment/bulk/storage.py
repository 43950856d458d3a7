"""Folders of results and manifests: on this machine, or at an address of fsspec, behind one small interface."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from swinseg import files
from swinseg.datasets.files.images import local_path
from swinseg.files import OutputError
from swinseg.segment.bulk.remote import (
    NotThereError,
    StorageError,
    file_system,
    is_remote,
    persistent,
    scheme_of,
)

# An upload is seen as a whole or not at all there; elsewhere it gets its name when it is complete.
_OBJECT_STORES = frozenset(
    {'s3', 's3a', 'gs', 'gcs', 'az', 'abfs', 'abfss', 'adl', 'oci', 'oss', 'r2'}
)


class TargetError(OutputError):
    """The place of the results does not take them, whatever the input: the job cannot go on."""


class Place(Protocol):
    """A folder of results or of a manifest. Names are relative, with slashes."""

    @property
    def address(self) -> str:
        """The folder."""

    def check(self) -> None:
        """Make sure that files can be written, read and removed there."""

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, or None where there is none."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file, which is seen as a whole or not at all."""

    def put(self, name: str, path: Path) -> None:
        """Do the same with the content of a file of this machine."""

    def names(self) -> list[str]:
        """Return the names of the files in the folder itself, sorted; none where it is not there."""

    def is_empty(self) -> bool:
        """Whether nothing is in it or below it."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def clear(self) -> None:
        """Remove all files in the folder itself, and the folder where there are such."""

    def remove_partial_files(self, beside: str | None = None, *, pid: int | None = None) -> None:
        """Remove what killed processes left of files that were not complete, where that can be seen.

        Args:
            beside: name of a file in whose folder to look; None for all folders.
            pid: of the process; None for any.
        """

    def beginning(self, name: str) -> contextlib.AbstractContextManager[tuple[Path, str]]:
        """Give a folder of this machine, and what file names begin with there; the files are here at the end."""


def place_of(address: str | os.PathLike[str]) -> Place:
    """Return a folder by its path or address.

    Raises:
        StorageError: nothing knows such addresses, or a package for them is missing.
    """
    name = os.fspath(address)
    return RemotePlace(name) if is_remote(name) else LocalPlace(Path(local_path(name)))


class LocalPlace:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def address(self) -> str:
        """The folder."""
        return str(self.root)

    def check(self) -> None:
        """Make sure that files can be written there.

        Raises:
            OutputError: they cannot.
        """
        files.make_folder(self.root)

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, or None where there is none.

        Raises:
            StorageError: it cannot be read.
        """
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(
                f'{self.root / name} cannot be read: {error.strerror or error}; check its permissions'
            ) from error

    def write(self, name: str, data: bytes) -> None:
        """Write a file, which is seen as a whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        files.make_folder((self.root / name).parent)
        files.write_bytes(self.root / name, data)

    def put(self, name: str, path: Path) -> None:
        """Do the same with the content of a file."""
        files.make_folder((self.root / name).parent)
        with files.atomic_path(self.root / name) as temporary:
            shutil.copyfile(path, temporary)

    def names(self) -> list[str]:
        """Return the names of the files in the folder itself, sorted; none where it is not there."""
        try:
            with os.scandir(self.root) as entries:
                return sorted(entry.name for entry in entries if entry.is_file())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(
                f'{self.root} cannot be listed: {error.strerror or error}; choose another folder'
            ) from error

    def is_empty(self) -> bool:
        """Whether nothing is in it."""
        try:
            return not os.listdir(self.root)
        except FileNotFoundError:
            return True
        except OSError as error:
            raise StorageError(
                f'{self.root} cannot be listed: {error.strerror or error}; choose another folder'
            ) from error

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            (self.root / name).unlink()

    def clear(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.root, ignore_errors=True)

    def remove_partial_files(self, beside: str | None = None, *, pid: int | None = None) -> None:
        """Remove what killed processes left of files that were not complete, but the rows of scenes."""
        pattern = re.compile(rf'\..*\.{r"[0-9]+" if pid is None else pid}\.partial.*', re.DOTALL)
        folders: Iterable[str | Path] = (
            (above for above, _, _ in os.walk(self.root))
            if beside is None
            else [(self.root / beside).parent]
        )
        for folder in folders:
            with contextlib.suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith('.') and pattern.fullmatch(entry.name):
                        os.unlink(entry.path)

    @contextlib.contextmanager
    def beginning(self, name: str) -> Iterator[tuple[Path, str]]:
        """Give the file's own folder, and what its name begins with there."""
        path = self.root / name
        yield path.parent, path.name


class RemotePlace:
    """A folder at an address of fsspec.

    Args:
        address: such as ``s3://bucket/masks``.

    Raises:
        StorageError: nothing knows such addresses, or a package for them is missing.
    """

    def __init__(self, address: str) -> None:
        self._address = address.rstrip('/')
        self._fs, self._root = file_system(self._address)
        self._is_object_store = scheme_of(address) in _OBJECT_STORES

    @property
    def address(self) -> str:
        """The folder."""
        return self._address

    def check(self) -> None:
        """Make sure that files can be written there, by one that is removed again.

        Raises:
            TargetError: they cannot.
        """
        self.write('.swinseg-check', b'swinseg')
        self.remove('.swinseg-check')

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, or None where there is none."""
        try:
            data: bytes = persistent(
                lambda: self._fs.cat_file(self._path(name)), f'{self._address}/{name}', 'read'
            )
        except NotThereError:
            return None
        return data

    def write(self, name: str, data: bytes) -> None:
        """Write a file, which is seen as a whole or not at all."""
        with tempfile.TemporaryDirectory(prefix='swinseg-') as folder:
            path = Path(folder) / 'data'
            path.write_bytes(data)
            self.put(name, path)

    def put(self, name: str, path: Path) -> None:
        """Do the same with the content of a file.

        Raises:
            TargetError: it cannot be written.
        """
        final = self._path(name)

        def upload() -> None:
            if self._is_object_store:
                self._fs.put_file(str(path), final)
                return
            parent = final.rpartition('/')[0]
            if parent:
                self._fs.makedirs(parent, exist_ok=True)
            folder, _, last = final.rpartition('/')
            temporary = f'{folder}/.{last}.{os.getpid()}.partial'
            self._fs.put_file(str(path), temporary)
            if self._fs.exists(final):
                self._fs.rm_file(final)
            self._fs.mv(temporary, final)

        try:
            persistent(upload, f'{self._address}/{name}', 'written')
        except StorageError as error:
            raise TargetError(str(error)) from error

    def names(self) -> list[str]:
        """Return the names of the files in the folder itself, sorted; none where it is not there."""

        def listed() -> list[dict[str, Any]]:
            self._fs.invalidate_cache(self._root)
            found: list[dict[str, Any]] = self._fs.ls(self._root, detail=True)
            return found

        try:
            entries = persistent(listed, self._address, 'listed')
        except NotThereError:
            return []
        return sorted(
            str(entry['name']).rstrip('/').rpartition('/')[2]
            for entry in entries
            if entry['type'] == 'file'
        )

    def is_empty(self) -> bool:
        """Whether nothing is in it or below it."""

        def listed() -> bool:
            self._fs.invalidate_cache(self._root)
            return not self._fs.ls(self._root, detail=False)

        try:
            return persistent(listed, self._address, 'listed')
        except NotThereError:
            return True

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(NotThereError):
            persistent(
                lambda: self._fs.rm_file(self._path(name)), f'{self._address}/{name}', 'removed'
            )

    def clear(self) -> None:
        """Remove all files in the folder itself."""
        for name in self.names():
            self.remove(name)

    def remove_partial_files(self, beside: str | None = None, *, pid: int | None = None) -> None:
        """Do nothing: an upload that was cut off is no file."""

    @contextlib.contextmanager
    def beginning(self, name: str) -> Iterator[tuple[Path, str]]:
        """Give a folder of this machine, and what file names begin with there; its files are uploaded."""
        above, _, last = name.rpartition('/')
        with tempfile.TemporaryDirectory(prefix='swinseg-') as folder:
            yield Path(folder), last
            for path in sorted(Path(folder).iterdir()):
                if path.is_file() and not files.is_partial(path):
                    self.put(f'{above}/{path.name}' if above else path.name, path)

    def _path(self, name: str) -> str:
        return f'{self._root.rstrip("/")}/{name}'
