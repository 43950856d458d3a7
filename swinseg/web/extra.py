"""Check that the packages of the extra ``web`` are there."""

from __future__ import annotations

from importlib.util import find_spec

from swinseg.errors import ServerError

_PACKAGES = ('fastapi', 'uvicorn', 'python_multipart', 'prometheus_client')


def require_extra() -> None:
    """Make sure that the server's packages are installed, before a model is loaded for it.

    Raises:
        ServerError: one of them is not.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise ServerError(
            f'the server needs the package {missing[0]}; install it with: pip install "swinseg[web]"'
        )
