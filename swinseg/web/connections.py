"""Connections that are bounded in number and in time: what uvicorn leaves to a proxy in front of it.

A connection either waits for its client, who must send a request, then its body, and then read the answer; or
for the server. Each wait for a client has a time. Where there are as many connections as may be, the one that
waited for its client the longest gives way to the new one, of the addresses with the most of them first. So
clients that say nothing, or little, keep nobody out.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import sys
import time
from collections import Counter
from collections.abc import Collection
from enum import Enum
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from swinseg.errors import ServerError
from swinseg.web.limits import Limits

if sys.platform != 'win32':
    import resource

# Files that are no connections: libraries, pipes, what is being accepted.
_OTHER_FILES = 256

# What a connection that is closed gets for taking the last bytes.
_SECONDS_TO_CLOSE = 1.0


class _Wait(Enum):
    """What a connection waits for."""

    REQUEST = 'request'
    BODY = 'body'
    READING = 'reading'
    SERVER = 'server'


class Connections:
    """The connections of one server.

    Args:
        limits: of their number and times.
        proxies: addresses whose connections do not count by address: they bring many clients.
    """

    def __init__(self, limits: Limits, proxies: Collection[str] = ()) -> None:
        self.limits = limits
        self._proxies = frozenset(proxies)
        self._open: dict[BoundedProtocol, None] = {}
        self._counts: Counter[str] = Counter()
        self.seconds = {
            _Wait.REQUEST: limits.header_seconds,
            # The application refuses what comes late, and then reads on for a while, both before this.
            _Wait.BODY: limits.seconds + limits.header_seconds + 1,
            _Wait.READING: limits.seconds,
        }

    def protocol(self, **options: Any) -> BoundedProtocol:
        """Make the protocol of a new connection, as uvicorn's option ``http`` does."""
        return BoundedProtocol(self, **options)

    def admit(self, connection: BoundedProtocol) -> bool:
        """Take a new connection, or say that none can give way to it."""
        address = connection.address
        if (
            address not in self._proxies
            and self._counts[address] >= self.limits.connections_per_address
        ):
            if not self._drop_longest([c for c in self._open if c.address == address]):
                return False
        elif len(self._open) >= self.limits.connections and not self._drop_longest(self._open):
            return False
        self._open[connection] = None
        self._counts[address] += 1
        return True

    def remove(self, connection: BoundedProtocol) -> None:
        """Forget a connection."""
        if connection in self._open:
            del self._open[connection]
            self._counts[connection.address] -= 1
            self._counts += Counter()  # Addresses with none are left out.

    def bound_unread(self) -> None:
        """Drop those that read longest, while the answers that are not read yet are too large together."""
        unread = {c: c.unread_bytes() for c in self._open if c.wait is _Wait.READING}
        total = sum(unread.values())
        for connection in sorted(unread, key=lambda c: c.since):
            if total <= self.limits.answer_bytes:
                return
            total -= unread[connection]
            connection.drop()

    def _drop_longest(self, connections: Collection[BoundedProtocol]) -> bool:
        waiting = [c for c in connections if c.wait is not _Wait.SERVER]
        if not waiting:
            return False
        min(waiting, key=lambda c: (-self._counts[c.address], c.since)).drop()
        return True


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP with a time for each wait for the client.

    Args:
        connections: that it is one of.
        **options: of uvicorn's own.

    Attributes:
        address: of the client; for IPv6 its network, of which one client may have all addresses.
        wait: what it waits for.
        since: the time of ``time.monotonic`` at which it began to wait for that.
    """

    def __init__(self, connections: Connections, **options: Any) -> None:
        super().__init__(**options)
        self._connections = connections
        self._is_admitted = False
        self._timer: asyncio.TimerHandle | None = None
        self._waits_for: object = None
        self.address = ''
        self.wait = _Wait.REQUEST
        self.since = time.monotonic()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or refuse it."""
        self.transport = transport
        self.address = _address_of(transport)
        self._is_admitted = self._connections.admit(self)
        if not self._is_admitted:
            self._refuse(
                HTTPStatus.SERVICE_UNAVAILABLE,
                'the server has as many connections as it takes; try again later',
            )
            return
        super().connection_made(transport)
        self._note()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        if self._is_admitted:
            self._connections.remove(self)
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        if self._is_admitted and not self.transport.is_closing():
            super().data_received(data)
            self._note()

    def on_response_complete(self) -> None:
        """Go on to the next request."""
        super().on_response_complete()
        self._note()

    def pause_writing(self) -> None:
        """Note that the client has an answer to read."""
        if self._is_admitted:
            super().pause_writing()
            self._note()
            self._connections.bound_unread()

    def resume_writing(self) -> None:
        """Note that the client has read most of an answer."""
        if self._is_admitted:
            super().resume_writing()
            self._note()

    def shutdown(self) -> None:
        """End when the request at work is answered; one that is still arriving has no longer than a header."""
        super().shutdown()
        if self.wait is _Wait.BODY:
            self._stop_timer()
            self._timer = self.loop.call_later(
                self._connections.limits.header_seconds, self._too_late
            )

    def unread_bytes(self) -> int:
        """Return how much the client has not read."""
        return self.transport.get_write_buffer_size()

    def drop(self) -> None:
        """End the connection: others need its place."""
        self._end(
            HTTPStatus.SERVICE_UNAVAILABLE,
            'the server needed the place of this connection for others; try again later',
        )

    def _note(self) -> None:
        """Note what the connection waits for now, and start the time for it where that is another thing."""
        wait = self._current_wait()
        waits_for = (wait, self.cycle)
        if waits_for == self._waits_for:
            return
        self._stop_timer()
        self._waits_for, self.wait, self.since = waits_for, wait, time.monotonic()
        if wait is not _Wait.SERVER:
            self._timer = self.loop.call_later(self._connections.seconds[wait], self._too_late)

    def _current_wait(self) -> _Wait:
        cycle = self.cycle
        if self.flow.write_paused:
            return _Wait.READING
        if cycle is not None and cycle.more_body:
            return _Wait.BODY
        if cycle is None or cycle.response_complete:
            return _Wait.REQUEST
        return _Wait.SERVER

    def _too_late(self) -> None:
        self._end(
            HTTPStatus.REQUEST_TIMEOUT,
            'the request did not arrive in time; send it faster',
        )

    def _end(self, status: HTTPStatus, sentence: str) -> None:
        """Close the connection, with a word where a request has begun and no answer has."""
        self._stop_timer()
        self._connections.remove(self)
        cycle = self.cycle
        is_silent = (cycle is None or cycle.response_complete) and not self.conn.trailing_data[0]
        is_answered = cycle is not None and cycle.response_started
        if self.transport.is_closing() or self.flow.write_paused or is_silent or is_answered:
            self.transport.abort()
        else:
            self._refuse(status, sentence)
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        """Answer without a look at the request, and close."""
        content = json.dumps({'error': sentence}).encode()
        head = (
            f'HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n'
            f'content-length: {len(content)}\r\nretry-after: 1\r\nconnection: close\r\n\r\n'
        )
        self.transport.write(head.encode() + content)
        self.transport.close()
        self.loop.call_later(_SECONDS_TO_CLOSE, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _address_of(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info('peername')
    if not isinstance(peer, tuple):
        return ''
    address = ipaddress.ip_address(str(peer[0]).partition('%')[0])
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False).network_address)


def allow_open_files(connections: int) -> None:
    """Let this process open as many files as so many connections need.

    Raises:
        ServerError: it may not.
    """
    # Elsewhere sockets are no files, and a process has no limit of its own.
    if sys.platform != 'win32':
        needed = connections + _OTHER_FILES
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY or soft >= needed:
            return
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise ServerError(
                f'{connections} connections need {needed} open files, but this process may have {hard}; give a '
                'smaller --connections, or allow more with ulimit -n'
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
