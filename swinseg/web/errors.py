"""The errors of the server, each with the HTTP status that it is answered by."""

from __future__ import annotations

from http import HTTPStatus

from swinseg.errors import UserError


class ServerError(UserError):
    """The server cannot be started."""


class RequestError(UserError):
    """A request is refused.

    Args:
        status: of the answer.
        sentence: what is wrong, and what to do.
        retry_after: whole seconds after which the same request may succeed; None where it will not.
    """

    def __init__(
        self, status: HTTPStatus, sentence: str, *, retry_after: int | None = None
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.retry_after = retry_after
