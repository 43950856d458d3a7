"""Files at addresses that fsspec knows, such as ``s3://bucket/a.jpg``: found, read, and what their errors mean.

Calls that fail for a reason that may pass, such as a server that is restarted, are made again some times with
growing pauses. Everything else is one sentence at once.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from swinseg import files
from swinseg.datasets.files.images import local_path
from swinseg.errors import UserError
from swinseg.segment.bulk.extra import import_extra

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds between the attempts of a call that storage does not answer: it may be away for a minute."""

_SCHEME = re.compile(r'([A-Za-z][A-Za-z0-9+.-]+)://')
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


class NotThereError(StorageError):
    """There is no such file."""


def scheme_of(address: str) -> str:
    """Return ``'s3'`` of ``s3://bucket/a.jpg``, and ``''`` of a path or an address ``file://...``."""
    found = _SCHEME.match(address)
    scheme = found[1].lower() if found else ''
    return '' if scheme in ('file', 'local') else scheme


def is_remote(address: str | os.PathLike[str]) -> bool:
    """Whether an address is none of this machine's paths."""
    return scheme_of(os.fspath(address)) != ''


def fetch(address: str, folder: Path) -> Path:
    """Return a path of this machine with the content of an input: its own, or a copy in ``folder``.

    Raises:
        StorageError: it cannot be read.
    """
    if not is_remote(address):
        return Path(address)
    fs, path = file_system(address)
    # What a file is depends on its suffix, too.
    name = files.fitted_name(last_part(address), 200) or 'input'
    target = folder / name
    persistent(lambda: fs.get_file(path, str(target)), address, 'read')
    return target


def size_of(address: str) -> int | None:
    """Return the bytes of the file at an address, or None where its storage does not say.

    Raises:
        StorageError: it cannot be asked.
    """
    fs, path = file_system(address)
    size = persistent(lambda: fs.info(path).get('size'), address, 'read')
    return None if size is None else int(size)


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
        fs, path = file_system(address)
        file: Any = persistent(lambda: fs.open(path, 'rb'), address, 'read')
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
    fs, path = file_system(address)
    scheme = scheme_of(address)
    if '*' in path or '[' in path:
        found = sorted(persistent(lambda: fs.glob(path), address, 'listed'))
        yield from (_address_of(scheme, each) for each in found)
        return
    is_web = scheme in ('http', 'https')
    is_folder = address.endswith('/') or (
        not is_web and persistent(lambda: fs.isdir(path), address, 'read')
    )
    if not is_folder:
        yield address
        return
    waiting = [path]
    while waiting:
        folder = waiting.pop()
        entries = persistent(partial(fs.ls, folder, detail=True), address, 'listed')
        entries.sort(key=lambda entry: str(entry['name']))
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


def file_system(address: str) -> tuple[Any, str]:
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


def persistent(call: Callable[[], Result], address: str, verb: str) -> Result:
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
        return NotThereError(f'{address} does not exist; check the address')
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
