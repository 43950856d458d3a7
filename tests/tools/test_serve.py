"""The server as a process of its own, under load and under attack."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support import scripts, tiny_checkpoint
from support.hostile_uploads import hostile_uploads

# How many uploads the test of malformed ones sends; 2,000 take some minutes.
UPLOADS = int(os.environ.get('SWINSEG_TEST_UPLOADS', '150'))


@dataclass(frozen=True)
class Server:
    """A running ``tools/serve.py`` and a client of it."""

    process: subprocess.Popen[str]
    client: httpx.Client

    def memory(self) -> float:
        """Return the resident memory in bytes."""
        return self.figures()['process_resident_memory_bytes']

    def figures(self) -> dict[str, float]:
        families = text_string_to_metric_families(self.client.get('metrics').text)
        return {sample.name: sample.value for family in families for sample in family.samples}


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint.make_folder(tmp_path_factory.mktemp('serve'))


@pytest.fixture(scope='module')
def server(folder: Path) -> Iterator[Server]:
    command = [
        sys.executable, str(scripts.TOOLS / 'serve.py'), str(folder / 'tiny.pth'), '--port', '0',
        '--device', 'cpu', '--queue', '8', '--max-pixels', '300000', '--max-bytes', '1M',
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=(folder / 'log').open('w'), text=True
    ) as process:
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, '')
            address = next(line for line in lines if line.startswith('serving on ')).split()[-1]
            limits = httpx.Limits(max_connections=32)
            with httpx.Client(base_url=address, timeout=120, limits=limits) as client:
                yield Server(process, client)
        finally:
            process.kill()


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
    assert server.memory() - before < 100e6


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


def test_signal__ends_it(server, folder):
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == -signal.SIGTERM
    assert 'Traceback' not in (folder / 'log').read_text()


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
