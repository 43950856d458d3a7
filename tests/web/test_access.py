"""Names under which the server is asked, and pages that ask it."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from swinseg.errors import ServerError
from swinseg.web.access import Access, AccessGuard


def asked(path: str, access: Access | None = None, method: str = 'GET', **headers: str):
    """Return the answer to a request with these headers; underscores stand for hyphens."""
    route = Route('/{rest:path}', lambda _: PlainTextResponse('in'), methods=['GET', 'POST'])
    client = TestClient(AccessGuard(Starlette(routes=[route]), access or Access()))
    return client.request(
        method, path, headers={name.replace('_', '-'): value for name, value in headers.items()}
    )


@pytest.mark.parametrize(
    ('host', 'status'),
    [
        ('localhost', 200),
        ('LocalHost:8000', 200),
        ('localhost.', 200),
        ('127.0.0.1:8000', 200),
        ('[::1]', 200),
        ('[::1]:8000', 200),
        ('seg.example.org', 200),
        ('[2001:db8::1]:80', 200),
        ('testserver', 200),  # The address at which the request comes in.
        ('evil.example', 421),
        ('evil.example:8000', 421),
        ('localhost.evil.example', 421),
        ('evil-localhost', 421),
        ('192.0.2.7', 421),
        ('[::2]', 421),
        ('::1', 421),
        ('localhost:8000@evil.example', 421),
        ('localhost:x', 421),
        ('', 421),
    ],
)
def test_host(host, status):
    access = Access.of('127.0.0.1', ['Seg.example.org', '2001:db8::1'])
    for path in ('/', '/v1/model', '/app.js'):
        answer = asked(path, access, host=host)
        assert answer.status_code == status
        if status != 200:
            assert '--allowed-host' in answer.json()['error']
    assert asked('/healthz', access, host=host).status_code == 200


def test_host__any():
    assert asked('/v1/model', Access.of('::', ['*']), host='evil.example').status_code == 200


@pytest.mark.parametrize(
    ('headers', 'status'),
    [
        ({}, 200),
        ({'origin': 'http://localhost:8000'}, 200),
        ({'origin': 'HTTP://LOCALHOST:8000', 'sec_fetch_site': 'same-origin'}, 200),
        ({'origin': 'https://maps.example.org', 'sec_fetch_site': 'cross-site'}, 200),
        ({'sec_fetch_site': 'none'}, 200),
        ({'origin': 'http://localhost:3000'}, 403),
        ({'origin': 'http://localhost'}, 403),
        ({'origin': 'http://maps.example.org'}, 403),
        ({'origin': 'https://evil.example', 'sec_fetch_site': 'cross-site'}, 403),
        ({'origin': 'null'}, 403),
        ({'origin': ''}, 403),
        ({'origin': 'file://'}, 403),
        ({'sec_fetch_site': 'cross-site'}, 403),
        ({'sec_fetch_site': 'same-site'}, 403),
    ],
)
def test_origin(headers, status):
    access = Access.of('127.0.0.1', origins=['https://maps.example.org'])
    for method, path in (
        ('POST', '/v1/segment?format=geojson'),
        ('GET', '/v1/model'),
        ('GET', '/metrics'),
    ):
        answer = asked(path, access, method, host='localhost:8000', **headers)
        assert answer.status_code == status
        if status != 200:
            assert '--allowed-origin' in answer.json()['error']
    # A link on another page may lead to ours.
    assert asked('/', access, host='localhost:8000', **headers).status_code == 200


def test_origin__behind_a_proxy_with_tls():
    access = Access.of('127.0.0.1', ['seg.example.org'])
    for origin, status in (('https://seg.example.org', 200), ('https://seg.example.org:444', 403)):
        answer = asked('/v1/model', access, host='seg.example.org', origin=origin)
        assert answer.status_code == status


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'hosts': ['http://seg.example.org']}, 'http://seg.example.org'),
        ({'hosts': ['seg.example.org:80']}, 'without port'),
        ({'origins': ['seg.example.org']}, '--allowed-origin takes scheme and host'),
        ({'origins': ['https://seg.example.org/page']}, '--allowed-origin takes scheme and host'),
        ({'origins': ['*']}, '--allowed-origin takes scheme and host'),
    ],
)
def test_access__refused(options, words):
    with pytest.raises(ServerError, match=words):
        Access.of('127.0.0.1', **options)
