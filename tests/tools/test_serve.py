"""The server as a process of its own, under load and under attack."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support import costly_images, scripts, tiny_checkpoint
from support.hostile_uploads import hostile_uploads
from swinseg.web.limits import Limits

# How many uploads the test of malformed ones sends; 2,000 take some minutes.
UPLOADS = int(os.environ.get('SWINSEG_TEST_UPLOADS', '150'))


@dataclass(frozen=True)
class Server:
    """A running ``tools/serve.py`` and a client of it."""

    process: subprocess.Popen[str]
    client: httpx.Client
    log: Path

    def memory_of_all(self) -> int:
        """Return the resident memory in bytes, of its own processes too."""
        own = psutil.Process(self.process.pid)
        return sum(process.memory_info().rss for process in (own, *own.children(recursive=True)))

    def memory(self) -> float:
        """Return the resident memory in bytes."""
        return self.figures()['process_resident_memory_bytes']

    def figures(self) -> dict[str, float]:
        families = text_string_to_metric_families(self.client.get('metrics').text)
        return {sample.name: sample.value for family in families for sample in family.samples}


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint.make_folder(tmp_path_factory.mktemp('serve'))


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    """Run the script with a small model."""
    log = folder / f'log_{len(list(folder.glob("log_*")))}'
    command = [
        sys.executable, str(scripts.TOOLS / 'serve.py'), str(folder / 'tiny.pth'), '--port', '0',
        '--device', 'cpu', *options,
    ]  # fmt: skip
    with (
        log.open('w') as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, '')
            address = next(line for line in lines if line.startswith('serving on ')).split()[-1]
            limits = httpx.Limits(max_connections=32)
            with httpx.Client(base_url=address, timeout=120, limits=limits) as client:
                yield Server(process, client, log)
        finally:
            process.kill()


@pytest.fixture(scope='module')
def server(folder: Path) -> Iterator[Server]:
    options = ('--queue', '8', '--max-pixels', '300000', '--max-bytes', '1M', '--workers', '2')
    with serving(folder, *options) as server:
        yield server


TIMEOUT = 2

SHORT = (
    '--timeout', str(TIMEOUT), '--header-timeout', '1', '--decode-timeout', '0.3', '--max-bytes', '1M',
    '--max-pixels', '6250000', '--connections', '200',
)  # fmt: skip


@pytest.fixture(scope='module')
def attacked(folder: Path) -> Iterator[Server]:
    """A server whose times are short, but which takes large images."""
    with serving(folder, *SHORT) as server:
        server.client.post('v1/segment', content=(folder / 'images' / '1.png').read_bytes())
        yield server


@pytest.mark.slow
def test_load__each_request_is_answered_or_told_to_wait(server, folder):
    data = [(folder / 'images' / f'{n}.png').read_bytes() for n in range(3)]

    def ask(number: int) -> httpx.Response:
        return server.client.post('v1/segment?format=png', content=data[number % 3])

    expected = [ask(number).content for number in range(3)]
    before = server.memory()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(200)))

    statuses = Counter(answer.status_code for answer in answers)
    print('answers by status:', dict(statuses), 'growth in MB:', (server.memory() - before) / 1e6)
    assert set(statuses) <= {200, 429}
    assert statuses[200] >= 8
    for number, answer in enumerate(answers):
        if answer.status_code == 200:
            assert answer.content == expected[number % 3]
        else:
            assert int(answer.headers['Retry-After']) >= 1
    figures = server.figures()
    assert figures['swinseg_requests_in_flight'] == 0
    assert figures['swinseg_workers'] == 2
    assert server.memory() - before < 100e6


@pytest.mark.slow
def test_hostile_uploads__are_refused(server):
    uploads = hostile_uploads(UPLOADS, seed=2026)
    # What the decoders allocate once is not growth.
    for body, kind in hostile_uploads(30, seed=1):
        server.client.post('v1/segment', content=body, headers={'Content-Type': kind})
    before = server.memory()
    statuses: Counter[int] = Counter()
    for body, kind in uploads:
        answer = server.client.post('v1/segment', content=body, headers={'Content-Type': kind})
        statuses[answer.status_code] += 1
        assert answer.status_code in (200, 400, 413, 415, 422), answer.text
        if answer.status_code != 200:
            assert list(answer.json()) == ['error']

    print('answers by status:', dict(statuses), 'growth in MB:', (server.memory() - before) / 1e6)
    assert statuses[400] > UPLOADS // 10
    assert statuses[415] > UPLOADS // 50
    assert server.client.get('readyz').status_code == 200
    assert server.memory() - before < 100e6


@pytest.fixture(scope='module')
def idle_memory(attacked: Server) -> int:
    return attacked.memory_of_all()


def silent(server: Server, stack: ExitStack) -> None:
    for _ in range(300):
        connect(server, stack)


def slow_bodies(server: Server, stack: ExitStack) -> None:
    for _ in range(70):
        connect(server, stack).sendall(
            b'POST /v1/segment HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\nx'
        )


def slow_headers(server: Server, stack: ExitStack) -> None:
    for _ in range(70):
        connect(server, stack).sendall(b'GET /v1/model HTTP/1.1\r\nHost: loc')


def slow_readers(server: Server, stack: ExitStack) -> None:
    for _ in range(40):
        connect(server, stack).sendall(b'GET /app.js HTTP/1.1\r\nHost: localhost\r\n\r\n' * 300)


def uploads_of(data: bytes) -> Callable[[Server, ExitStack], None]:
    """Return an attack of four clients that send this again and again."""

    def attack(server: Server, stack: ExitStack) -> None:
        ends = threading.Event()
        pool = stack.enter_context(ThreadPoolExecutor(4))

        def send() -> None:
            with suppress(httpx.HTTPError):
                while not ends.is_set():
                    httpx.post(f'{server.client.base_url}v1/segment', content=data, timeout=60)

        for _ in range(4):
            pool.submit(send)
        stack.callback(ends.set)

    return attack


def connect(server: Server, stack: ExitStack) -> socket.socket:
    url = server.client.base_url
    return stack.enter_context(socket.create_connection((url.host, url.port), 20))


ATTACKS = {
    'silent connections': silent,
    'slow headers': slow_headers,
    'slow bodies': slow_bodies,
    'slow readers': slow_readers,
    'repeated scans': uploads_of(costly_images.jpeg_of_scans(3000, side=500)),
    'as many scans as are taken': uploads_of(costly_images.jpeg_of_scans(100, side=2500)),
    'shared tags': uploads_of(costly_images.tiff_of_tags(5, 120_000, 273, 258, 339, size=960_000)),
    'empty pixels': uploads_of(costly_images.empty_png(2500)),
}
QUICK_ATTACKS = ('silent connections', 'slow bodies', 'repeated scans')
"""One of each kind, for the plain suite: connections, requests and images."""


@pytest.mark.slow
@pytest.mark.parametrize(
    'attack',
    [
        attack if attack in QUICK_ATTACKS else pytest.param(attack, marks=pytest.mark.full)
        for attack in ATTACKS
    ],
)
def test_attack__honest_clients_are_answered(attacked, idle_memory, folder, attack):
    data = (folder / 'images' / '1.png').read_bytes()
    before = attacked.log.stat().st_size
    bound = idle_memory + Limits(bytes=2**20, pixels=6_250_000, connections=200).memory
    with ExitStack() as stack:
        ATTACKS[attack](attacked, stack)
        for _ in range(4):
            answer = httpx.post(
                f'{attacked.client.base_url}v1/segment?format=png',
                content=data,
                timeout=TIMEOUT + 2,
            )
            # 504 from a machine that has more to do than to serve.
            assert answer.status_code in (200, 429, 503, 504), answer.text
            assert attacked.memory_of_all() < bound
    # What was taken of the attack is done, or left out, after a while.
    deadline = time.monotonic() + 30
    while attacked.client.post('v1/segment', content=data).status_code != 200:
        assert time.monotonic() < deadline
    assert attacked.log.stat().st_size - before < 20_000


@pytest.mark.slow
def test_attacks__signal_ends_the_server(folder):
    with serving(folder, *SHORT) as server, ExitStack() as stack:
        children = psutil.Process(server.process.pid).children(recursive=True)
        for attack in ('slow bodies', 'slow readers', 'as many scans as are taken'):
            ATTACKS[attack](server, stack)
        time.sleep(0.3)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(TIMEOUT + 2) == -signal.SIGTERM
        assert psutil.wait_procs(children, timeout=20)[1] == []


@pytest.mark.slow
def test_signal__ends_it(server):
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == -signal.SIGTERM
    assert 'Traceback' not in server.log.read_text()


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['--queue', '0'], 'limit of requests must be more than 0'),
        (['--port', '99999'], 'cannot listen on 127.0.0.1, port 99999'),
        (['--host', '203.0.113.1'], 'choose another --host or --port'),
    ],
)
def test_bad_arguments__one_clear_line(folder, arguments, sentence, capsys):
    code = scripts.run('serve', folder / 'tiny.pth', *arguments)
    scripts.assert_one_clear_line(code, capsys, sentence)


def test_port_in_use__one_clear_line(folder, capsys):
    with socket.create_server(('127.0.0.1', 0)) as other:
        port = other.getsockname()[1]
        code = scripts.run('serve', folder / 'tiny.pth', '--port', port)
    scripts.assert_one_clear_line(code, capsys, f'port {port}: .*in use')


def test_no_checkpoint__one_clear_line(tmp_path, capsys):
    code = scripts.run('serve', tmp_path / 'none.pth', '--port', 0)
    scripts.assert_one_clear_line(code, capsys, 'none.pth')
