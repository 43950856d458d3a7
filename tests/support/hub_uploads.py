"""A hub that takes uploads on the loopback, by the requests that ``huggingface_hub`` makes for them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = 'hf_right'


class Hub:
    """What was uploaded, and how to answer.

    Attributes:
        address: of the server.
        files: content by (repository, branch, name).
        private: whether each repository was made private, by name.
        branches: made besides main.
        messages: of the commits.
        large_bytes: files of at least so many go by Git LFS.
        refuse: path suffix -> (status, message) of requests that are refused.
        requests: method and path of each.
    """

    def __init__(self) -> None:
        self.address = ''
        self.files: dict[tuple[str, str, str], bytes] = {}
        self.private: dict[str, bool] = {}
        self.branches: set[tuple[str, str]] = set()
        self.messages: list[str] = []
        self.large_bytes = 100_000
        self.refuse: dict[str, tuple[int, str]] = {}
        self.requests: list[str] = []
        self.objects: dict[str, bytes] = {}


@contextlib.contextmanager
def hub_server() -> Iterator[Hub]:
    """Serve a hub in a thread."""
    hub = Hub()
    server = ThreadingHTTPServer(('127.0.0.1', 0), _handler(hub))
    hub.address = f'http://127.0.0.1:{server.server_port}'
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._answer_to('GET')

        def do_POST(self) -> None:
            self._answer_to('POST')

        def do_PUT(self) -> None:
            self._answer_to('PUT')

        def _answer_to(self, method: str) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append(f'{method} {path}')
            body = self._body()
            for suffix, (status, message) in hub.refuse.items():
                if path.endswith(suffix):
                    return self._send(status, {'error': message})
            if method == 'PUT':  # the store of large files is another server, which knows no token
                hub.objects[path.rpartition('/')[2]] = body
                return self._send(200, {})
            if self.headers.get('Authorization') != f'Bearer {TOKEN}':
                return self._send(401, {'error': 'Invalid credentials in Authorization header'})
            parts = path.strip('/').split('/')
            if path == '/api/validate-yaml':
                return self._send(200, {'errors': [], 'warnings': []})
            if path == '/api/repos/create':
                return self._create(json.loads(body))
            if path.endswith('/info/lfs/objects/batch'):
                return self._batch(json.loads(body))
            repo = '/'.join(parts[2:4])
            if parts[:2] == ['api', 'models'] and repo not in hub.private:
                return self._send(404, {'error': 'Repository not found'})
            if parts[4:5] == ['branch']:
                hub.branches.add((repo, '/'.join(parts[5:])))
                return self._send(201, {})
            if parts[4:5] == ['preupload']:
                return self._preupload(json.loads(body))
            if parts[4:5] == ['commit']:
                return self._commit(repo, '/'.join(parts[5:]), body)
            return self._send(404, {'error': f'nothing at {path}'})

        def _create(self, asked: dict) -> None:
            repo = f'{asked.get("organization") or "me"}/{asked["name"]}'
            if repo in hub.private:
                said = 'You already created this model repo'
                return self._send(409, {'error': said, 'url': f'{hub.address}/{repo}'})
            hub.private[repo] = asked.get('visibility') == 'private' or bool(asked.get('private'))
            return self._send(200, {'url': f'{hub.address}/{repo}', 'name': repo})

        def _preupload(self, asked: dict) -> None:
            modes = [
                {
                    'path': file['path'],
                    'uploadMode': 'lfs' if file['size'] >= hub.large_bytes else 'regular',
                    'shouldIgnore': False,
                }
                for file in asked['files']
            ]
            return self._send(200, {'files': modes})

        def _batch(self, asked: dict) -> None:
            objects = [
                {
                    **each,
                    'authenticated': True,
                    'actions': {'upload': {'href': f'{hub.address}/store/{each["oid"]}'}},
                }
                for each in asked['objects']
            ]
            return self._send(200, {'transfer': 'basic', 'objects': objects})

        def _commit(self, repo: str, branch: str, body: bytes) -> None:
            if branch != 'main' and (repo, branch) not in hub.branches:
                return self._send(404, {'error': 'Invalid rev id'})
            for line in body.splitlines():
                entry = json.loads(line)
                value = entry['value']
                if entry['key'] == 'header':
                    hub.messages.append(value['summary'])
                elif entry['key'] == 'file':
                    content = base64.b64decode(value['content'])
                    hub.files[repo, branch, value['path']] = content
                elif entry['key'] == 'lfsFile':
                    content = hub.objects[value['oid']]
                    assert hashlib.sha256(content).hexdigest() == value['oid']
                    hub.files[repo, branch, value['path']] = content
            address = f'{hub.address}/{repo}/commit/{"0" * 40}'
            return self._send(200, {'commitUrl': address, 'commitOid': '0' * 40})

        def _body(self) -> bytes:
            if self.headers.get('Transfer-Encoding') == 'chunked':
                content = b''
                while size := int(self.rfile.readline(), 16):
                    content += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return content
            return self.rfile.read(int(self.headers.get('Content-Length') or 0))

        def _send(self, status: int, content: dict) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header('Content-Type', 'application/json')
            self.send_header('Content-Length', str(len(body)))
            if 'error' in content:
                self.send_header('X-Error-Message', content['error'])
            self.end_headers()
            self.wfile.write(body)

    return Handler
