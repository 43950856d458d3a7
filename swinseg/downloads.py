"""Downloads that go on where they stopped, one process at a time, compared with a checksum."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from swinseg.errors import UserError, shown
from swinseg.files import OutputError
from swinseg.terminal import ByteBar, format_bytes

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there, and all bytes, None where the server does not tell."""

_BLOCK = 1 << 20
_TIMEOUT_SECONDS = 30.0
# Between connections that bring nothing: a half of a second, then twice as long each time, at most.
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 8.0
_TRY_AGAIN = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
_KEPT = 'what is there so far is kept, and the same call goes on from there'
_CHECK_ADDRESS = 'check the address'
_YES = ('1', 'ON', 'YES', 'TRUE')


class DownloadError(UserError):
    """A file cannot be downloaded.

    Attributes:
        reason: why, a clause of the message.
        fix: what to do about it, another one.
    """

    def __init__(self, url: str, reason: str, fix: str) -> None:
        super().__init__(f'cannot download {url}: {reason}; {fix}')
        self.reason = reason
        self.fix = fix


@dataclass(frozen=True)
class Checksum:
    """What the digest of a file must be.

    Attributes:
        algorithm: ``hashlib``'s name of one, such as ``'sha256'``.
        digits: hexadecimal ones, all of them or the first.
    """

    algorithm: str
    digits: str

    def matches(self, path: Path) -> bool:
        """Whether the file has it."""
        return self.of(path).startswith(self.digits)

    def of(self, path: Path) -> str:
        """Return the digest of the file, all hexadecimal digits."""
        digest = hashlib.new(self.algorithm, usedforsecurity=False)
        with open(path, 'rb') as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        return digest.hexdigest()

    @property
    def name(self) -> str:
        """What people call the algorithm: ``SHA-256``."""
        return re.sub(r'^SHA(?=\d)', 'SHA-', self.algorithm.upper())


def is_offline() -> bool:
    """Whether the user says that there is no network, in the variable that ``huggingface_hub`` reads."""
    return os.environ.get('HF_HUB_OFFLINE', '').upper() in _YES


def download(
    url: str,
    path: Path,
    *,
    checksum: Checksum | None = None,
    headers: Mapping[str, str] | None = None,
    tries: int = 5,
    progress: Progress | None = None,
) -> None:
    """Download a file, from where an earlier call stopped, and compare its checksum.

    A connection that breaks is made again. What is there so far is in ``<path>.part``; it is gone on with when
    the server still has the same version of the file, or a checksum will tell. Processes that download to one
    path wait for one another, and those that waited find the file.

    Args:
        url: http or https; a redirection leads to no other kind of address.
        path: the file; one that is there already and has the checksum is kept. Its folder exists.
        checksum: of the whole file; None compares its length alone, where the server tells it.
        headers: of the request; ``Authorization`` goes to the host of ``url`` alone.
        tries: connections in a row that may bring nothing new.
        progress: called after each block; None draws a bar where stderr is a terminal.

    Raises:
        DownloadError: the address is wrong, nobody answers, the server refuses, or the checksum differs.
        OutputError: there is no room, or the folder does not take the file.
    """
    if not url.startswith(('http://', 'https://')):
        raise DownloadError(url, 'an http or https address is needed', _CHECK_ADDRESS)
    if _is_there(path, checksum):
        return
    if is_offline():
        raise DownloadError(
            url,
            'HF_HUB_OFFLINE is set, and the file is not here',
            'unset it, or fetch the file where there is a network',
        )
    lock = path.with_name(f'.{path.name}.lock')
    with _locked(lock, path):
        if not _is_there(path, checksum):
            with contextlib.ExitStack() as stack:
                if progress is None:
                    progress = stack.enter_context(ByteBar(path.name))
                transfer = _Transfer(
                    url, path, checksum=checksum, headers=headers or {}, progress=progress
                )
                transfer.run(tries)
        # Who waits for this lock finds the file, whoever takes a new one as well.
        with contextlib.suppress(OSError):
            lock.unlink()


def _is_there(path: Path, checksum: Checksum | None) -> bool:
    return path.is_file() and (checksum is None or checksum.matches(path))


@contextlib.contextmanager
def _locked(lock: Path, path: Path) -> Iterator[None]:
    file_lock = FileLock(lock)
    with _writing(path):
        try:
            file_lock.acquire(timeout=1)
        except Timeout:
            print(f'waiting for another process that downloads {path.name}', file=sys.stderr)
            file_lock.acquire()
    try:
        yield
    finally:
        file_lock.release()


class _Transfer:
    """The way of one file from a server to a disk, over as many connections as it takes.

    Args:
        url: of the file.
        path: where it goes; ``part`` beside it is what is there so far, and ``origin`` what that is from.
        checksum: of the whole file, or None.
        headers: of each request.
        progress: called after each block.
    """

    def __init__(
        self,
        url: str,
        path: Path,
        *,
        checksum: Checksum | None,
        headers: Mapping[str, str],
        progress: Progress,
    ) -> None:
        self.url, self.path, self.checksum = url, path, checksum
        self.headers, self.progress = headers, progress
        self.part = path.with_name(f'{path.name}.part')
        self.origin = path.with_name(f'{path.name}.part.json')

    def run(self, tries: int) -> None:
        """Bring the file to its path; what does not hold is removed.

        Raises:
            DownloadError: the server refuses, ``tries`` connections in a row brought nothing, or the checksum
                differs.
            OutputError: it cannot be written.
        """
        try:
            with _writing(self.part):
                self.part.touch()
            is_resumed = self._size() > 0
            self._complete(tries)
            if is_resumed and self.checksum is not None and not self.checksum.matches(self.part):
                # What an earlier call left was of another version of the file.
                self._empty()
                self._complete(tries)
            self._verify()
            with _writing(self.path):
                with open(self.part, 'rb+') as file:
                    os.fsync(file.fileno())
                os.replace(self.part, self.path)
            _remove(self.origin)
        finally:
            if self.part.exists() and (self._size() == 0 or not self._can_go_on()):
                _remove(self.part, self.origin)

    def _size(self) -> int:
        return self.part.stat().st_size

    def _empty(self) -> None:
        with _writing(self.part):
            self.part.write_bytes(b'')

    def _verify(self) -> None:
        if self.checksum is None:
            return
        found = self.checksum.of(self.part)
        if not found.startswith(self.checksum.digits):
            _remove(self.part, self.origin)
            raise DownloadError(
                self.url,
                f'its {self.checksum.name} is {found[: max(len(self.checksum.digits), 8)]}, expected '
                f'{self.checksum.digits}',
                'what arrived was removed; start again, and check the address if it stays so',
            )

    def _complete(self, tries: int) -> None:
        """Make connections until the file is whole, as far as its length tells."""
        failures = 0
        while True:
            before = self._size()
            try:
                reason = self._fetch()
                if reason is None:
                    return
            except UserError:
                raise
            except urllib.error.HTTPError as error:
                error.close()
                if error.code not in _TRY_AGAIN:
                    raise _refused(self.url, error) from error
                reason = _answer(error)
            except (OSError, http.client.HTTPException) as error:
                cause = getattr(error, 'reason', error)
                reason = _network_reason(self.url, cause)
                if isinstance(cause, (socket.gaierror, ConnectionRefusedError)) and not before:
                    failures = tries  # no second question: there is no network, or no server
            except ValueError as error:
                raise DownloadError(self.url, shown(str(error)), _CHECK_ADDRESS) from error
            failures = failures + 1 if self._size() <= before else 0
            if failures >= tries:
                fix = _KEPT if self._size() and self._can_go_on() else 'start again later'
                raise DownloadError(self.url, reason, fix)
            if failures > 1:
                pause = _FIRST_PAUSE_SECONDS * 2 ** (failures - 2)
                time.sleep(min(pause, _LONGEST_PAUSE_SECONDS))

    def _can_go_on(self) -> bool:
        """Whether something will tell that what follows is of the version that is there."""
        return self.checksum is not None or self._known_validator() is not None

    def _known_validator(self) -> str | None:
        try:
            known = json.loads(self.origin.read_text(encoding='utf-8'))
            return known['validator'] if known['url'] == self.url else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _fetch(self) -> str | None:
        """Append what the server sends; return None when the file is complete, else what is missing."""
        done = self._size() if self._can_go_on() else 0
        headers = {'User-Agent': 'swinseg', **self.headers, 'Accept-Encoding': 'identity'}
        validator = self._known_validator()
        if done:
            headers['Range'] = f'bytes={done}-'
            if validator is not None:
                headers['If-Range'] = validator
        request = urllib.request.Request(self.url, headers=headers)
        try:
            response = _OPENER.open(request, timeout=_TIMEOUT_SECONDS)
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not done:
                raise
            error.close()
            return self._nothing_follows(error.headers.get('Content-Range'), done)
        with response:
            if response.status != HTTPStatus.PARTIAL_CONTENT:
                done = 0
            elif done != _first_byte(response):
                raise http.client.HTTPException(
                    'the server sends another part than it was asked for'
                )
            total = _total_size(response, done)
            if not done:
                self._begin(_validator(response))
            _require_room(self.part, total, done)
            done = self._append(response, done, total)
        if total is None or done == total:
            return None
        return f'the connection ended early, {done:,} of {total:,} bytes arrived'

    def _nothing_follows(self, content_range: str | None, done: int) -> str | None:
        """Return as :meth:`_fetch`: what is there is complete, or of another file, as its checksum says."""
        whole = re.fullmatch(r'bytes \*/(\d+)', content_range or '')
        if self.checksum is not None or (whole is not None and int(whole[1]) == done):
            return None
        self._empty()
        return 'the server has less than what is there'

    def _begin(self, validator: str | None) -> None:
        self._empty()
        with _writing(self.origin):
            self.origin.write_text(json.dumps(dict(url=self.url, validator=validator)))

    def _append(self, response: http.client.HTTPResponse, done: int, total: int | None) -> int:
        """Write each piece as it arrives, so that a kill loses none; return how many bytes are there."""
        with _writing(self.part):
            file = open(self.part, 'r+b', buffering=0)  # noqa: SIM115 (closed below)
        with file:
            with _writing(self.part):
                file.truncate(done)
                file.seek(done)
            while block := response.read1(_BLOCK):
                with _writing(self.part):
                    rest = memoryview(block)
                    while rest:
                        rest = rest[file.write(rest) :]
                done += len(block)
                self.progress(done, total)
        return done


def _answer(error: urllib.error.HTTPError) -> str:
    return f'the server answers {error.code} {shown(error.reason)}'


def _refused(url: str, error: urllib.error.HTTPError) -> DownloadError:
    if error.code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        fix = 'it is not for everybody: fetch it where you are logged in'
        return DownloadError(url, _answer(error), fix)
    return DownloadError(url, _answer(error), _CHECK_ADDRESS)


def _network_reason(url: str, error: object) -> str:
    if isinstance(error, socket.gaierror):
        host = urllib.parse.urlsplit(url).hostname
        return f'{host} is not found, so there is no network or no such host'
    if isinstance(error, TimeoutError):
        return f'nothing arrived for {_TIMEOUT_SECONDS:g} seconds'
    return shown(' '.join(str(error).split()) or type(error).__name__, most=200)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Block in which errors of the system are the disk's, not the network's.

    Raises:
        OutputError: there is one.
    """
    try:
        yield
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        fix = (
            f'make room; {_KEPT}' if is_full else 'choose another folder, or change its permissions'
        )
        raise OutputError(f'cannot write {path}: {error.strerror or error}; {fix}') from error


def _require_room(part: Path, total: int | None, done: int) -> None:
    """Make sure that the rest of a file fits on the disk, before it is fetched.

    Raises:
        OutputError: it does not.
    """
    if total is None:
        return
    free = shutil.disk_usage(part.parent).free
    if total - done > free:
        raise OutputError(
            f'cannot write {part}: {format_bytes(total - done)} are needed on its disk, {format_bytes(free)} are '
            'free; make room, or name another folder in SWINSEG_HOME'
        )


def _validator(response: http.client.HTTPResponse) -> str | None:
    """Return what ``If-Range`` takes: a strong tag, else a date."""
    tag = response.headers.get('ETag')
    if tag and not tag.startswith('W/'):
        return tag
    return response.headers.get('Last-Modified')


def _first_byte(response: http.client.HTTPResponse) -> int | None:
    found = re.match(r'bytes (\d+)-', response.headers.get('Content-Range') or '')
    return int(found[1]) if found else None


def _total_size(response: http.client.HTTPResponse, done: int) -> int | None:
    """Return the size of the whole file, of which the response holds what follows ``done`` bytes."""
    found = re.fullmatch(r'bytes \d+-\d+/(\d+)', response.headers.get('Content-Range') or '')
    if found:
        return int(found[1])
    length = response.headers.get('Content-Length')
    return done + int(length) if length is not None and length.isdecimal() else None


class _Redirections(urllib.request.HTTPRedirectHandler):
    """Follows redirections to http and https alone, never from https to http, and keeps secrets to their host."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme not in ('http', 'https') or (req.type == 'https' and scheme == 'http'):
            raise ValueError(f'the server leads to {shown(newurl)}, which is not followed')
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and request.host != req.host:
            request.remove_header('Authorization')
        return request


_OPENER = urllib.request.build_opener(_Redirections)


def _remove(*paths: Path) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
