"""Running the application until it is told to stop."""

from __future__ import annotations

import socket

import uvicorn
from fastapi import FastAPI

from swinseg.web.errors import ServerError


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens; ``port`` 0 takes a free one.

    Raises:
        ServerError: the address cannot be had.
    """
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except (OSError, OverflowError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise ServerError(
            f'cannot listen on {host}, port {port}: {reason}; choose another --host or --port'
        ) from error


def serve(app: FastAPI, listening: socket.socket, *, grace: float) -> None:
    """Say the address, and answer requests until SIGINT or SIGTERM comes.

    Args:
        app: the application.
        listening: from :func:`open_socket`.
        grace: seconds that requests at work get after the signal.
    """
    host, port = listening.getsockname()[:2]
    print(f'serving on http://{f"[{host}]" if ":" in host else host}:{port}/', flush=True)
    # Its own logging would write each request; what fails is written in any case.
    config = uvicorn.Config(
        app,
        log_level='warning',
        server_header=False,
        timeout_graceful_shutdown=max(1, int(grace)),
    )
    uvicorn.Server(config).run(sockets=[listening])
