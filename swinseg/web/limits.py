"""What a server takes on, so that no request and no number of requests can use up the machine."""

from __future__ import annotations

from dataclasses import dataclass, fields

from swinseg.web.errors import ServerError


@dataclass(frozen=True)
class Limits:
    """The limits of a server.

    Attributes:
        bytes: of an image file.
        pixels: of an image, and of the images of a batch together.
        requests: to segment that are taken at a time; those that wait and are received are among them.
        seconds: that a request may take to arrive, and then to be answered.
        batch: images that the model may get at once; None for what suits the device.
    """

    bytes: int = 20_000_000
    pixels: int = 25_000_000
    requests: int = 32
    seconds: float = 60.0
    batch: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not value > 0:
                raise ServerError(f'the limit of {field.name} must be more than 0, but is {value}')
