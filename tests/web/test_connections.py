"""Connections of clients that are silent, slow, many or impatient, beside one that is honest."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from support.server import served
from swinseg.errors import ServerError
from swinseg.web.connections import allow_open_files
from swinseg.web.limits import Limits

LIMITS = Limits(
    seconds=0.8, header_seconds=0.4, connections=8, connections_per_address=6, pixels=100_000
)
POST = b'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n'
GET = b'GET /large HTTP/1.1\r\nHost: x\r\n\r\n'


def make_app() -> FastAPI:
    app = FastAPI()

    @app.post('/echo')
    async def echo(request: Request) -> Response:
        return Response(await request.body())

    @app.get('/large')
    async def large() -> Response:
        return Response(bytes(20_000_000))

    return app


@pytest.fixture(scope='module')
def address() -> Iterator[str]:
    with served(make_app(), LIMITS) as address:
        yield address


@contextmanager
def connected(
    address: str, sent: bytes = b'', source: str = '127.0.0.1'
) -> Iterator[socket.socket]:
    """A connection that has sent this."""
    url = httpx.URL(address)
    with socket.create_connection((url.host, url.port), 20, (source, 0)) as client:
        client.sendall(sent)
        yield client


def rest_of(client: socket.socket) -> bytes:
    """Return what comes until the server closes the connection."""
    parts = []
    while True:
        try:
            part = client.recv(65536)
        except ConnectionResetError:
            break
        if not part:
            break
        parts.append(part)
    return b''.join(parts)


def assert_honest_is_answered(address: str) -> None:
    assert httpx.post(f'{address}echo', content=b'abc', timeout=20).content == b'abc'


@pytest.mark.slow
@pytest.mark.parametrize(
    ('sent', 'told'),
    [
        (b'', b''),  # silent
        (b'POST /echo HT', b'408'),  # a header that does not end
        (POST + b'abc', b'408'),  # a body that does not end
        (b'POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na', b'404'),  # answered early
        (b'POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nab', b'408'),
    ],
)  # fmt: skip
def test_client_that_stalls__is_closed(address, sent, told):
    with connected(address, sent) as client:
        assert_honest_is_answered(address)
        answer = rest_of(client)
    assert answer[9:12] == told
    if told == b'408':
        assert answer.endswith(b'{"error": "the request did not arrive in time; send it faster"}')


@pytest.mark.slow
@pytest.mark.parametrize('sent', [b'GET /echo HTTP/1.1\r\nX: ', POST[:-4] + b'\r\nX: '])
def test_client_that_trickles__is_closed(address, sent):
    started = time.monotonic()
    with connected(address, sent) as client, suppress(OSError):
        while True:
            assert time.monotonic() - started < 20
            client.sendall(b'x')
            time.sleep(0.05)


def test_client_that_does_not_read__is_closed(address):
    with connected(address, GET * 3) as client:
        time.sleep(LIMITS.seconds + 0.3)
        assert_honest_is_answered(address)
        assert len(rest_of(client)) < 20_000_000


def test_answers_that_are_not_read__are_bounded(address):
    """800,000 bytes may be unread, and each of these answers is larger, so the first gives way at once."""
    with connected(address, GET) as first:
        started = time.monotonic()
        assert len(rest_of(first)) < 20_000_000
        assert time.monotonic() - started < LIMITS.seconds + 10


def test_many_from_one_address__the_longest_silent_gives_way(address):
    with ExitStack() as stack:
        first = stack.enter_context(connected(address, b'G'))
        assert_honest_is_answered(address)  # by then the server has read what the first has sent
        for _ in range(30):
            stack.enter_context(connected(address, b'G'))
        assert_honest_is_answered(address)
        assert b' 503 ' in rest_of(first)
        stack.enter_context(connected(address, source='127.0.0.2'))
        assert_honest_is_answered(address)


def test_many_from_many_addresses__give_way_too(address):
    with ExitStack() as stack:
        for number in range(40):
            stack.enter_context(connected(address, source=f'127.0.0.{2 + number % 20}'))
        assert_honest_is_answered(address)


def test_pipelined__are_answered_in_order(address):
    with connected(address, (POST + b'123456789') * 200) as client:
        client.settimeout(20)
        answer = b''
        while answer.count(b'123456789') < 200:
            answer += client.recv(65536)
    assert answer.count(b'HTTP/1.1 200 OK') == 200


def test_keep_alive__goes_on_after_an_answer(address):
    with httpx.Client(base_url=address, timeout=20) as client:
        for _ in range(3):
            assert client.post('echo', content=b'abc').content == b'abc'
            time.sleep(0.15)


def test_all_at_work__is_told():
    app = FastAPI()

    @app.get('/slow')
    async def slow() -> None:
        import asyncio

        await asyncio.sleep(0.5)

    limits = Limits(connections_per_address=1)
    with (
        served(app, limits) as address,
        connected(address, b'GET /slow HTTP/1.1\r\nHost: x\r\n\r\n') as busy,
    ):
        time.sleep(0.1)
        with connected(address) as late:
            assert b'as many connections as it takes' in rest_of(late)
        assert busy.recv(99).startswith(b'HTTP/1.1 200')


def test_open_files__are_allowed_or_refused():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
        allow_open_files(300)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 556
        with pytest.raises(
            ServerError, match='smaller --connections, or allow more with ulimit -n'
        ):
            allow_open_files(hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
