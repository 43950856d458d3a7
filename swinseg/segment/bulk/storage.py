"""Files at addresses: paths of this machine and what fsspec knows, such as ``s3://``, behind one small interface.

Calls that fail for a reason that may pass, such as a server that is restarted, are made again some times with
growing pauses. Everything else is one sentence at once.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar, cast

from swinseg import files
from swinseg.datasets.files.images import local_path
from swinseg.errors import UserError
from swinseg.files import OutputError
from swinseg.segment.bulk.extra import import_extra

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds between the attempts of a call that storage does not answer: it may be away for a minute."""

_SCHEME = re.compile(r'([A-Za-z][A-Za-z0-9+.-]+)://')
# An upload is seen as a whole or not at all there; elsewhere it gets its name when it is complete.
_OBJECT_STORES = frozenset(
    {'s3', 's3a', 'gs', 'gcs', 'az', 'abfs', 'abfss', 'adl', 'oci', 'oss', 'r2'}
)
_PACKAGES = {
    's3': 's3fs', 's3a': 's3fs', 'gs': 'gcsfs', 'gcs': 'gcsfs', 'az': 'adlfs', 'abfs': 'adlfs', 'abfss': 'adlfs',
    'http': 'aiohttp', 'https': 'aiohttp', 'sftp': 'paramiko', 'ssh': 'paramiko', 'smb': 'smbprotocol',
    'hdfs': 'pyarrow',
}  # fmt: skip
_DENIED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_NOT_OFFERED = (HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)
_BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
_PASSING_ERRNOS = frozenset(
    {
        errno.EIO, errno.EBUSY, errno.EAGAIN, errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED,
        errno.ETIMEDOUT, errno.EPIPE, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN,
    }
)  # fmt: skip
# Of botocore, aiohttp and requests, which none of our own imports need.
_PASSING_NAMES = re.compile(
    r'Connection|Timeout|Disconnected|Payload|SSL|ProxyError|IncompleteRead|SlowDown|ServiceUnavailable|HttpError5'
)
_CREDENTIAL_NAMES = re.compile(r'Credential|DefaultCredentialsError|Token')

Result = TypeVar('Result')


class StorageError(UserError):
    """A file at an address cannot be read or listed."""


class TargetError(OutputError):
    """The place of the results does not take them, whatever the input: the job cannot go on."""


def scheme_of(address: str) -> str:
    """Return ``'s3'`` of ``s3://bucket/a.jpg``, and ``''`` of a path or an address ``file://...``."""
    found = _SCHEME.match(address)
    scheme = found[1].lower() if found else ''
    return '' if scheme in ('file', 'local') else scheme


def is_remote(address: str | os.PathLike[str]) -> bool:
    """Whether an address is none of this machine's paths."""
    return scheme_of(os.fspath(address)) != ''


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
        self._fs, self._root = _file_system(self._address)
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
            data: bytes = _persistent(
                lambda: self._fs.cat_file(self._path(name)), f'{self._address}/{name}', 'read'
            )
        except _NotThereError:
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
            _persistent(upload, f'{self._address}/{name}', 'written')
        except StorageError as error:
            raise TargetError(str(error)) from error

    def names(self) -> list[str]:
        """Return the names of the files in the folder itself, sorted; none where it is not there."""

        def listed() -> list[dict[str, Any]]:
            self._fs.invalidate_cache(self._root)
            found: list[dict[str, Any]] = self._fs.ls(self._root, detail=True)
            return found

        try:
            entries = _persistent(listed, self._address, 'listed')
        except _NotThereError:
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
            return _persistent(listed, self._address, 'listed')
        except _NotThereError:
            return True

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(_NotThereError):
            _persistent(
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


class _NotThereError(StorageError):
    """There is no such file."""


def fetch(address: str, folder: Path) -> Path:
    """Return a path of this machine with the content of an input: its own, or a copy in ``folder``.

    Raises:
        StorageError: it cannot be read.
    """
    if not is_remote(address):
        return Path(address)
    fs, path = _file_system(address)
    # What a file is depends on its suffix, too.
    name = files.fitted_name(last_part(address), 200) or 'input'
    target = folder / name
    _persistent(lambda: fs.get_file(path, str(target)), address, 'read')
    return target


def last_part(address: str) -> str:
    """Return the name of the file at an address, without a query."""
    plain = re.split(r'[?#]', address, maxsplit=1)[0] if is_remote(address) else address
    return plain.replace('\\', '/').rstrip('/').rpartition('/')[2]


@contextlib.contextmanager
def opened(address: str) -> Iterator[BinaryIO]:
    """Give a file to be read from its beginning; a name that ends in ``.gz`` is unpacked.

    Raises:
        StorageError: it cannot be opened.
    """
    if is_remote(address):
        fs, path = _file_system(address)
        file: Any = _persistent(lambda: fs.open(path, 'rb'), address, 'read')
    else:
        try:
            file = open(local_path(address), 'rb')  # noqa: SIM115
        except OSError as error:
            raise _explained(error, address, 'read') from error
    with file:
        if not address.lower().endswith('.gz'):
            yield file
            return
        with gzip.open(file) as unpacked:
            yield cast(BinaryIO, unpacked)


def remote_files(address: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    """Yield the addresses of a remote file, folder or glob, sorted folder by folder.

    Args:
        address: a folder ends in a slash, or is one by what the storage says.
        suffixes: of the files that are looked for in folders.

    Raises:
        StorageError: it cannot be listed.
    """
    fs, path = _file_system(address)
    scheme = scheme_of(address)
    if '*' in path or '[' in path:
        found = sorted(_persistent(lambda: fs.glob(path), address, 'listed'))
        yield from (_address_of(scheme, each) for each in found)
        return
    is_web = scheme in ('http', 'https')
    is_folder = address.endswith('/') or (
        not is_web and _persistent(lambda: fs.isdir(path), address, 'read')
    )
    if not is_folder:
        yield address
        return
    waiting = [path]
    while waiting:
        folder = waiting.pop()
        entries = _persistent(lambda f=folder: fs.ls(f, detail=True), address, 'listed')  # type: ignore[misc]
        entries = sorted(entries, key=lambda entry: str(entry['name']))
        below = []
        for entry in entries:
            name = str(entry['name'])
            if name.rstrip('/') == folder.rstrip('/'):
                continue
            if entry['type'] == 'directory' or (is_web and name.endswith('/')):
                # A page lists what lies above it as well.
                if name.startswith(folder):
                    below.append(name)
            elif last_part(name).lower().endswith(suffixes):
                yield _address_of(scheme, name)
        waiting.extend(reversed(below))


def _address_of(scheme: str, path: str) -> str:
    return path if _SCHEME.match(path) else f'{scheme}://{path.lstrip("/")}'


def _file_system(address: str) -> tuple[Any, str]:
    """Return fsspec's file system of an address, and the path in it.

    Raises:
        StorageError: there is none.
    """
    scheme = scheme_of(address)
    fsspec = import_extra('fsspec', f'the address {address}')
    try:
        fs, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        package = _PACKAGES.get(scheme)
        hint = f'pip install {package}' if package else str(error)
        raise StorageError(
            f'{address} cannot be used, for the package for {scheme}:// is not installed: {hint}'
        ) from error
    except (ValueError, TypeError) as error:
        if 'rotocol' in str(error):
            raise StorageError(
                f'{address} cannot be used, for {scheme}:// is no kind of storage that fsspec knows; use a '
                'path, s3://, gs://, https:// or another of its kinds'
            ) from error
        raise StorageError(f'{address} is no address that can be read: {error}') from error
    return fs, str(path)


def _persistent(call: Callable[[], Result], address: str, verb: str) -> Result:
    """Return what a call gives, which is made again as long as its failure may pass.

    Args:
        call: of fsspec.
        address: for the message.
        verb: what was to be done: ``'read'``, ``'written'``, ``'listed'`` or ``'removed'``.

    Raises:
        StorageError: it failed for good.
    """
    for pause in (*PAUSES, None):
        try:
            return call()
        except UserError:
            raise
        except Exception as error:
            if pause is None or not may_pass(error):
                raise _explained(error, address, verb) from error
            time.sleep(pause)
    raise AssertionError('the last attempt returns or raises')


def may_pass(error: BaseException) -> bool:
    """Whether a failure of storage may be over in a moment."""
    status = _status(error)
    if status is not None:
        return status in _BUSY or (
            status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in _NOT_OFFERED
        )
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | FileExistsError):
        return False
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    names = ' '.join(kind.__name__ for kind in type(error).__mro__)
    if _CREDENTIAL_NAMES.search(names):
        return False
    if _PASSING_NAMES.search(names):
        return True
    return isinstance(error, OSError) and error.errno in _PASSING_ERRNOS


def _status(error: BaseException) -> int | None:
    """Return the HTTP status of an error of aiohttp, botocore or gcsfs, or of what it was made from."""
    seen: BaseException | None = error
    for _ in range(4):
        if seen is None:
            return None
        answer = getattr(seen, 'response', None)
        if isinstance(answer, dict):
            status = answer.get('ResponseMetadata', {}).get('HTTPStatusCode')
            if isinstance(status, int):
                return status
        for name in ('status', 'code'):
            status = getattr(seen, name, None)
            if isinstance(status, int) and 100 <= status < 600:
                return status
        seen = seen.__cause__
    return None


def _explained(error: Exception, address: str, verb: str) -> StorageError:
    status = _status(error)
    detail = ' '.join(str(error).split())[:200] or type(error).__name__
    names = ' '.join(kind.__name__ for kind in type(error).__mro__)
    if isinstance(error, FileNotFoundError) or status == HTTPStatus.NOT_FOUND:
        return _NotThereError(f'{address} does not exist; check the address')
    if isinstance(error, IsADirectoryError):
        return StorageError(f'{address} is a folder, but a file is expected; name the files in it')
    if isinstance(error, PermissionError) or status in _DENIED or _CREDENTIAL_NAMES.search(names):
        return StorageError(
            f'{address} cannot be {verb}: permission denied ({detail}); check the credentials and the rights'
        )
    if isinstance(error, NotImplementedError) or status in _NOT_OFFERED:
        return StorageError(
            f'{address} cannot be {verb}, which {scheme_of(address)}:// does not offer; choose a folder or s3://, '
            'gs:// or another kind of storage'
        )
    if may_pass(error):
        return StorageError(
            f'{address} cannot be {verb}: the storage did not answer in {len(PAUSES) + 1} attempts ({detail}); '
            'check that it can be reached, and give the same command again'
        )
    return StorageError(f'{address} cannot be {verb}: {detail}')
