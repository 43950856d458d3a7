"""The application behind a real server, for tests that need a socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from swinseg.web.limits import Limits
from swinseg.web.server import configuration, open_socket


@contextmanager
def served(app: FastAPI, limits: Limits | None = None) -> Iterator[str]:
    """Serve on a free port in a thread, and give the address, which ends in a slash."""
    with open_socket('127.0.0.1', 0) as listening:
        server = uvicorn.Server(configuration(app, limits=limits or Limits()))
        thread = threading.Thread(target=server.run, kwargs={'sockets': [listening]})
        thread.start()
        # Who connects before it has started waits in the socket's queue.
        yield f'http://127.0.0.1:{listening.getsockname()[1]}/'
        server.should_exit = True
        thread.join()
