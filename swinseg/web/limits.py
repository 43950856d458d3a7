"""Limits of a server, so that no request and no number of requests can use up the machine."""

from __future__ import annotations

from dataclasses import dataclass, fields

from swinseg.errors import ServerError

# What decoding needs: an image of 3 bytes a pixel with the decoder's own rows and coefficients, up to 10 bytes in
# what was measured; the file; and small things.
_DECODER_BYTES_PER_PIXEL = 16
_DECODER_FILES = 3
_DECODER_REST = 64 * 2**20

# What is read of a connection at once, and what uvicorn keeps of it.
_CONNECTION_BYTES = 512 * 1024


@dataclass(frozen=True)
class Limits:
    """The limits of a server.

    Attributes:
        bytes: of an image file.
        pixels: of an image, and of the images of a batch together.
        requests: to segment whose image has arrived that are taken at a time.
        seconds: that a request may take to arrive, and then to be answered.
        batch: images that the model may get at once; None for what suits the device.
        decoders: processes that decode.
        decode_seconds: that an image may take to be decoded.
        uploads: image files that are held at a time as bytes, counted in files of the most bytes; those that
            arrive are among them.
        connections: that are open at a time.
        connections_per_address: of them, from one address of a client.
        header_seconds: that a connection may be silent before a request, and its header may take to arrive.
    """

    bytes: int = 20_000_000
    pixels: int = 25_000_000
    requests: int = 32
    seconds: float = 60.0
    batch: int | None = None
    decoders: int = 2
    decode_seconds: float = 5.0
    uploads: int = 16
    connections: int = 512
    connections_per_address: int = 64
    header_seconds: float = 10.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not value > 0:
                raise ServerError(f'the limit of {field.name} must be more than 0, but is {value}')

    @property
    def upload_bytes(self) -> int:
        """Bytes of the files that are held at a time."""
        return self.uploads * self.bytes

    @property
    def decoder_memory(self) -> int:
        """Bytes of data that a process which decodes may have for an image."""
        return self.pixels * _DECODER_BYTES_PER_PIXEL + self.bytes * _DECODER_FILES + _DECODER_REST

    @property
    def decoded_pixels(self) -> int:
        """Pixels of the decoded images that wait for the model or are being decoded."""
        return (self.decoders + 2) * self.pixels

    @property
    def memory(self) -> int:
        """Bytes that requests may need at most, beyond what the idle server and the model's work take."""
        return (
            2 * self.upload_bytes
            + 3 * (self.decoded_pixels + self.pixels)
            + self.decoders * self.decoder_memory
            + 2 * self.answer_bytes
            + self.connections * _CONNECTION_BYTES
        )

    @property
    def answer_bytes(self) -> int:
        """Bytes of answers that clients have not read yet."""
        return 8 * self.pixels
