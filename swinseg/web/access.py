"""Access to the server: the names it answers to, and the pages that may ask it.

A server on the loopback address is out of reach for other machines, but not for the pages that a browser on its
own machine shows. Such a page can send requests to it (their ``Origin`` and ``Sec-Fetch-Site`` tell), and can let
its own name lead to the loopback address, which makes the browser take the server for the page's own (DNS
rebinding; the ``Host`` tells).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from swinseg.errors import ServerError

_LOOPBACK = ('localhost', '127.0.0.1', '[::1]')
_DEFAULT_PORTS = {'http': '80', 'https': '443'}
_HOST = re.compile(r'(\[[0-9a-f:.]+(?:%[\w.~-]+)?\]|[^\[\]:/@\s]+)(?::(\d{1,5}))?', re.ASCII)
# What machines ask that watch over the server, by whatever address they know; it tells nothing.
_PROBES = ('/healthz', '/readyz')
# What only programs and the page itself ask; all else is the page.
_INTERFACE = ('/v1/', '/metrics', '/openapi.json')


@dataclass(frozen=True)
class Access:
    """Names and origins that are allowed.

    Attributes:
        hosts: names and addresses in lower case, IPv6 in brackets; ``*`` for all. The address at which a request
            comes in is allowed besides, save for names that lead to it.
        origins: of other pages that may ask, such as ``https://maps.example.org``.
    """

    hosts: frozenset[str] = frozenset(_LOOPBACK)
    origins: frozenset[str] = frozenset()

    @classmethod
    def of(cls, listening: str, hosts: Iterable[str] = (), origins: Iterable[str] = ()) -> Access:
        """Return what is allowed on a server that listens on ``listening``, with hosts and origins beside its own.

        Raises:
            ServerError: one of them is none.
        """
        own = {*_LOOPBACK, _bracketed(listening), socket.gethostname()}
        for host in hosts:
            found = _HOST.fullmatch(_bracketed(host.lower()))
            if host != '*' and (found is None or found[2]):
                raise ServerError(
                    f'--allowed-host takes a name or an address without port, or *, but got {host!r}'
                )
            own.add(_bracketed(host))
        for origin in origins:
            if _netloc(origin) is None:
                raise ServerError(
                    f'--allowed-origin takes scheme and host such as https://maps.example.org, but got {origin!r}'
                )
        return cls(
            frozenset(host.lower().rstrip('.') for host in own),
            frozenset(origin.lower() for origin in origins),
        )


class AccessGuard:
    """Refuses requests under a name that is not the server's, or from a page that is not.

    Args:
        app: that answers the others.
        access: what is allowed.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope['type'] == 'http' else None
        if refusal is None:
            await self._app(scope, receive, send)
            return
        status, sentence = refusal
        await JSONResponse({'error': sentence}, status)(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[HTTPStatus, str] | None:
        headers, path = Headers(scope=scope), scope['path']
        host = headers.get('host')
        if path not in _PROBES and not self._is_own(host, scope):
            return (
                HTTPStatus.MISDIRECTED_REQUEST,
                'this server is not known under the name in the header "Host"; where it is meant, start it with '
                '--allowed-host NAME',
            )
        if path.startswith(_INTERFACE) and not self._may_ask(headers, host):
            return (
                HTTPStatus.FORBIDDEN,
                "this server is not asked by other sites' pages; where one may ask, start it with "
                '--allowed-origin ORIGIN',
            )
        return None

    def _is_own(self, host: str | None, scope: Scope) -> bool:
        if '*' in self._access.hosts:
            return True
        # Browsers always send it; programs that speak HTTP/1.0 do not.
        if host is None:
            return True
        found = _HOST.fullmatch(host.lower())
        if found is None:
            return False
        name = found[1].rstrip('.')
        address = scope.get('server') or ('', None)
        return name in self._access.hosts or name == _bracketed(address[0])

    def _may_ask(self, headers: Headers, host: str | None) -> bool:
        origin = headers.get('origin')
        if origin is not None and origin.lower() in self._access.origins:
            return True
        if headers.get('sec-fetch-site', 'none') not in ('same-origin', 'none'):
            return False
        # A proxy may speak https for the server, so the scheme does not count, only its port.
        return origin is None or (host is not None and _same_place(origin, host))


def _same_place(origin: str, host: str) -> bool:
    place = _netloc(origin)
    found = _HOST.fullmatch(host.lower())
    if place is None or found is None:
        return False
    port = _DEFAULT_PORTS[urlsplit(origin).scheme]
    return place == (found[1], found[2] or port)


def _netloc(origin: str) -> tuple[str, str] | None:
    """Return host and port of an origin, or None where it is none."""
    scheme, _, rest = origin.lower().partition('://')
    found = _HOST.fullmatch(rest)
    if scheme not in _DEFAULT_PORTS or found is None:
        return None
    return found[1], found[2] or _DEFAULT_PORTS[scheme]


def _bracketed(host: str) -> str:
    return f'[{host}]' if ':' in host and not host.startswith('[') else host
