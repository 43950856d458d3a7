"""Downloads that go on where they stopped, and archives that stay in their folder."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import stat
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from swinseg.datasets.prepare.source import PrepareError
from swinseg.files import zip_errors_as

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there, and all bytes, None where the server does not tell."""

_BLOCK = 1 << 20
_TIMEOUT = 60.0


def download(
    url: str,
    path: Path,
    *,
    sha1: str,
    tries: int = 5,
    progress: Progress = lambda done, total: None,
) -> None:
    """Download a file, from where an earlier call stopped, and compare its checksum.

    A connection that breaks is made again. What is there so far is in ``<path>.part``.

    Args:
        url: http or https.
        path: the file; one that is there already and has the checksum is kept.
        sha1: of the whole file, in hexadecimal digits.
        tries: connections in a row that may bring nothing new.
        progress: called after each block.

    Raises:
        PrepareError: the address is wrong, the server does not answer, or the checksum differs.
    """
    if not url.startswith(('http://', 'https://')):
        raise PrepareError(f'a download needs an http or https address, found {url}')
    if path.is_file() and _sha1(path) == sha1:
        return
    part = path.with_name(path.name + '.part')
    part.touch()
    failures = 0
    while True:
        before = part.stat().st_size
        try:
            if _fetch(url, part, progress):
                break
            reason = 'the connection ended early'
        except urllib.error.HTTPError as error:
            raise PrepareError(f'{url} answers {error.code} {error.reason}; check it') from error
        except (
            urllib.error.URLError,
            http.client.HTTPException,
            TimeoutError,
            ConnectionError,
        ) as error:
            reason = str(getattr(error, 'reason', error))
        failures = failures + 1 if part.stat().st_size <= before else 0
        if failures == tries:
            raise PrepareError(
                f'{url} cannot be downloaded: {reason}; what is there so far is kept, start again later'
            )
    found = _sha1(part)
    if found != sha1:
        part.unlink()
        raise PrepareError(
            f'what was downloaded from {url} has the SHA-1 {found}, expected {sha1}; it was removed, start again'
        )
    os.replace(part, path)


def _fetch(url: str, part: Path, progress: Progress) -> bool:
    """Append what the server sends, and return whether the file is complete."""
    done = part.stat().st_size
    request = urllib.request.Request(url, headers={'Range': f'bytes={done}-'} if done else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        # Nothing follows what is there: it is complete, or of another file, as its checksum says.
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and done:
            return True
        raise
    with response, open(part, 'r+b') as file:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            done = 0
        total = _total_size(response, done)
        file.seek(done)
        file.truncate()
        while block := response.read(_BLOCK):
            file.write(block)
            done += len(block)
            progress(done, total)
    return total is None or done == total


def _total_size(response: http.client.HTTPResponse, done: int) -> int | None:
    """Return the size of the whole file, of which the response holds what follows ``done`` bytes."""
    content_range = re.fullmatch(
        r'bytes (\d+)-\d+/(\d+)', response.headers.get('Content-Range') or ''
    )
    if content_range and int(content_range[1]) == done:
        return int(content_range[2])
    length = response.headers.get('Content-Length')
    return None if length is None else done + int(length)


def _sha1(path: Path) -> str:
    with open(path, 'rb') as file:
        digest = hashlib.sha1(usedforsecurity=False)
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def unpack_zip(
    archive: Path,
    folder: Path,
    *,
    most_bytes: int,
    most_files: int,
    progress: Progress = lambda done, total: None,
) -> None:
    """Unpack a zip archive whose entries are plain files inside ``folder``, and no more than expected.

    Args:
        archive: the file.
        folder: an empty one.
        most_bytes: of all files together, unpacked.
        most_files: entries.
        progress: called with the bytes written.

    Raises:
        PrepareError: the archive is damaged, an entry leads out of the folder or is a link, or there is more
            than expected; nothing of an archive with such entries is unpacked.
    """

    def told(error: Exception) -> PrepareError:
        return PrepareError(f'{archive} is damaged or no zip archive: {error}; get it again')

    with zip_errors_as(told), zipfile.ZipFile(archive) as content:
        entries = content.infolist()
        total = sum(entry.file_size for entry in entries)
        if len(entries) > most_files or total > most_bytes:
            raise PrepareError(
                f'{archive} has {len(entries)} entries of {total} bytes, expected {most_files} and '
                f'{most_bytes} at most; it is not the archive that is meant'
            )
        for entry in entries:
            _check_entry(entry, archive)
        done = 0
        for entry in entries:
            # It reads no more than the size that was counted, and compares the CRC.
            content.extract(entry, folder)
            done += entry.file_size
            progress(done, total)


def _check_entry(entry: zipfile.ZipInfo, archive: Path) -> None:
    # What backslashes mean depends on the system that unpacks.
    name = PurePosixPath(entry.filename.replace('\\', '/'))
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    if name.is_absolute() or '..' in name.parts or ':' in entry.filename or is_link:
        raise PrepareError(
            f'{archive} has the entry {entry.filename!r}, a link or a name that leads out of its folder; '
            'do not use this archive'
        )
