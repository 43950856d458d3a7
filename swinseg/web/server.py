"""Running the application until it is told to stop."""

from __future__ import annotations

import math
import socket
from collections.abc import Sequence

import uvicorn
from fastapi import FastAPI

from swinseg.errors import ServerError
from swinseg.web.connections import Connections, allow_open_files
from swinseg.web.limits import Limits
from swinseg.web.logs import bound_logs

# Connections that wait to be accepted. asyncio accepts as many at once, and where it cannot, logs as many errors.
_BACKLOG = 128

_SECONDS_BETWEEN_REQUESTS = 5


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens; ``port`` 0 takes a free one.

    Raises:
        ServerError: the address cannot be had.
    """
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise ServerError(
            f'cannot listen on {host}, port {port}: {reason}; choose another --host or --port'
        ) from error


def serve(
    app: FastAPI, listening: socket.socket, *, limits: Limits, proxies: Sequence[str] = ()
) -> None:
    """Say the address, and answer requests until SIGINT or SIGTERM comes.

    Requests at work get ``limits.seconds`` after the signal.

    Args:
        app: the application.
        listening: from :func:`open_socket`.
        limits: of connections and times.
        proxies: addresses whose header ``X-Forwarded-For`` is believed.

    Raises:
        ServerError: this process may not open as many files as there may be connections.
    """
    allow_open_files(limits.connections)
    host, port = listening.getsockname()[:2]
    print(f'serving on http://{f"[{host}]" if ":" in host else host}:{port}/', flush=True)
    uvicorn.Server(configuration(app, limits=limits, proxies=proxies)).run(sockets=[listening])


def configuration(app: FastAPI, *, limits: Limits, proxies: Sequence[str] = ()) -> uvicorn.Config:
    """Return what uvicorn is run with; arguments as of :func:`serve`."""
    # Its own logging would write each request; what fails is written in any case.
    config = uvicorn.Config(
        app,
        http=Connections(limits, proxies).protocol,  # type: ignore[arg-type]
        ws='none',
        log_level='warning',
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=min(_SECONDS_BETWEEN_REQUESTS, math.ceil(limits.header_seconds)),
        timeout_graceful_shutdown=max(1, int(limits.seconds)),
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
    )
    bound_logs()
    return config
