"""A small HTTP server on loopback: plain files, and repositories as the Hugging Face hub serves them.

Its client is the real ``huggingface_hub``, told of it by ``HF_ENDPOINT``. It can end connections early, stall,
lead elsewhere, refuse, and give other content than it announces.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field

COMMIT = 'c0ffee' + '0' * 34
TOKEN = 'hf_secret'


@dataclass
class Repository:
    """What the server has of ``owner/name``.

    Attributes:
        files: content by name.
        commit: of the branch ``main``.
        private: whether a request needs the token.
        gated: whether it is refused with a token as well.
        large: names of the files that are kept elsewhere, under their SHA-256, as the hub keeps weights.
    """

    files: dict[str, bytes]
    commit: str = COMMIT
    private: bool = False
    gated: bool = False
    large: tuple[str, ...] = ('model.safetensors', 'pytorch_model.bin')


@dataclass
class Request:
    """What was asked: ``GET`` or ``HEAD``, the path, the range, and the token."""

    method: str
    path: str
    range: str | None
    token: str | None


@dataclass
class Content:
    """Content of the server, and what it does wrong.

    Attributes:
        files: content by path, ``/a.pth``.
        repositories: by ``owner/name``.
        redirections: where a path leads.
        statuses: codes with which a path is answered.
        cuts: bytes after which the next connections end, one after the other.
        stall_after: bytes of a path after which the connection stays open and says nothing more.
        resumes: whether ranges are known.
        tags: whether versions are told by ETag.
        sent: bytes of content that were sent, by path.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    repositories: dict[str, Repository] = field(default_factory=dict)
    redirections: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    stall_after: dict[str, int] = field(default_factory=dict)
    resumes: bool = True
    tags: bool = True
    requests: list[Request] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)


class Server(http.server.ThreadingHTTPServer):
    """The server; ``content`` is changed by tests while it runs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(('127.0.0.1', 0), _Handler)
        self.content = Content()
        self.is_ending = threading.Event()

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f'http://127.0.0.1:{self.server_port}'

    def ranges(self, path: str) -> list[str | None]:
        """Return the ranges that were asked of a path, None for the whole."""
        return [
            each.range
            for each in self.content.requests
            if each.path == path and each.method == 'GET'
        ]


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Run a server in a thread within the block."""
    with Server() as server:
        thread = threading.Thread(target=functools.partial(server.serve_forever, 0.02))
        thread.start()
        try:
            yield server
        finally:
            server.is_ending.set()
            server.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *arguments: object) -> None:
        """Be quiet."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        content = self.server.content
        path = urllib.parse.urlsplit(self.path).path
        token = self.headers.get('Authorization')
        content.requests.append(Request(self.command, path, self.headers.get('Range'), token))
        if path in content.statuses:
            self._refuse(content.statuses[path])
        elif path in content.redirections:
            self._lead(content.redirections[path], {})
        elif path in content.files:
            self._send(path, content.files[path], {})
        elif '/resolve/' in path:
            self._resolve(path, token)
        else:
            self._refuse(404)

    def _resolve(self, path: str, token: str | None) -> None:
        name, _, rest = path[1:].partition('/resolve/')
        revision, _, file = rest.partition('/')
        repository = self.server.content.repositories.get(name)
        if repository is None or (repository.private and token != f'Bearer {TOKEN}'):
            self._refuse(401, {'X-Error-Code': 'RepoNotFound'})
        elif repository.gated:
            self._refuse(403, {'X-Error-Code': 'GatedRepo'})
        elif revision not in ('main', repository.commit):
            self._refuse(404, {'X-Error-Code': 'RevisionNotFound'})
        elif file not in repository.files:
            headers = {'X-Error-Code': 'EntryNotFound', 'X-Repo-Commit': repository.commit}
            self._refuse(404, headers)
        else:
            self._send_of(repository, path, file)

    def _send_of(self, repository: Repository, path: str, file: str) -> None:
        data, commit = repository.files[file], {'X-Repo-Commit': repository.commit}
        if file not in repository.large:
            self._send(path, data, commit)
            return
        digest = hashlib.sha256(data).hexdigest()
        place = f'/large/{digest}'
        self.server.content.files.setdefault(place, data)
        linked = {'X-Linked-Etag': f'"{digest}"', 'X-Linked-Size': str(len(data))}
        # Another host, as the hub's storage is: the client does not follow for what it asks of a file.
        storage = self.server.url.replace('127.0.0.1', 'localhost')
        self._lead(storage + place, {**commit, **linked})

    def _lead(self, place: str, headers: dict[str, str]) -> None:
        self.send_response(302)
        for key, value in {**headers, 'Location': place, 'Content-Length': '0'}.items():
            self.send_header(key, value)
        self.end_headers()

    def _refuse(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {**(headers or {}), 'Content-Length': '0'}.items():
            self.send_header(key, value)
        self.end_headers()

    def _send(self, path: str, data: bytes, headers: dict[str, str]) -> None:
        content = self.server.content
        tag = f'"{hashlib.sha1(data, usedforsecurity=False).hexdigest()}"'
        start = self._start(tag) if content.resumes else 0
        if start and start >= len(data):
            self._refuse(416, {'Content-Range': f'bytes */{len(data)}'})
            return
        self.send_response(206 if start else 200)
        if start:
            headers = {**headers, 'Content-Range': f'bytes {start}-{len(data) - 1}/{len(data)}'}
        if content.tags:
            headers = {**headers, 'ETag': tag}
        for key, value in {**headers, 'Content-Length': str(len(data) - start)}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == 'GET':
            self._send_body(path, data, start)

    def _start(self, tag: str) -> int:
        asked = self.headers.get('Range')
        if asked is None or self.headers.get('If-Range', tag) != tag:
            return 0
        return int(asked.removeprefix('bytes=').rstrip('-'))

    def _send_body(self, path: str, data: bytes, start: int) -> None:
        content = self.server.content
        end = start + content.cuts.pop(0) if content.cuts else len(data)
        end = min(end, content.stall_after.get(path, end))
        body = data[start:end]
        with contextlib.suppress(ConnectionError):  # the client may have had enough
            self.wfile.write(body)
            self.wfile.flush()
        content.sent[path] = content.sent.get(path, 0) + len(body)
        if path in content.stall_after:
            self.server.is_ending.wait()
        self.close_connection = True
