"""A process that decodes images, as its parent sees it: asked, waited for, ended and started anew."""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinseg.datasets.files.value_range import ValueRange
from swinseg.errors import RequestError
from swinseg.web.decoding.child import START
from swinseg.web.limits import Limits

# A first start reads the libraries from the disk.
_SECONDS_TO_START = 30.0
_LONGEST_LINE = 65_536


class DecoderError(RuntimeError):
    """The process cannot be started."""


class _Ended(Exception):  # noqa: N818
    """The process has closed its output, or took too long."""


class Decoder:
    """One process, asked for one image at a time.

    It is started when it is first needed, and again after it was ended.

    Args:
        limits: of an image, and of decoding it.
        value_range: which values of a file of more than 8 bits become 0 and 255; None refuses such files.
    """

    def __init__(self, limits: Limits, value_range: ValueRange | None = None) -> None:
        self._limits = limits
        self._value_range = value_range
        self._process: subprocess.Popen[bytes] | None = None
        self._is_closed = False

    def start(self) -> None:
        """Make sure that the process runs.

        Raises:
            DecoderError: it cannot be started.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self._end()
        options = {
            'pixels': self._limits.pixels,
            'memory': self._limits.decoder_memory,
            'seconds': self._limits.decode_seconds,
            'value_range': None if self._value_range is None else self._value_range.setting,
        }
        command = [sys.executable, '-c', START, json.dumps(options)]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
                # Ctrl-C is for the server, which lets the requests at work end.
                env=self._environment(), start_new_session=True,
                creationflags=getattr(subprocess, 'CREATE_NEW_PROCESS_GROUP', 0),
            )  # fmt: skip
            if sys.platform != 'win32':
                os.set_blocking(self._pipes()[0].fileno(), False)
            deadline = time.monotonic() + _SECONDS_TO_START
            with self._killed_at(deadline):
                self._read_line(deadline)
        except (OSError, _Ended) as error:
            self._end()
            raise DecoderError(
                f'the process that decodes images does not start: {error}'
            ) from error
        if self._is_closed:
            self._end()

    def decode(self, data: bytes | bytearray) -> NDArray[np.uint8]:
        """Decode an image file.

        Returns:
            (H, W, 3) uint8 RGB, turned as its EXIF orientation says.

        Raises:
            RequestError: it is refused.
            DecoderError: the process cannot be started.
        """
        self.start()
        seconds = self._limits.decode_seconds
        deadline = time.monotonic() + seconds
        try:
            with self._killed_at(deadline):
                return self._ask(data, deadline)
        except (_Ended, OSError) as error:
            in_time = time.monotonic() < deadline
            self._end()
            what = (
                'ended the process that decodes it'
                if in_time
                else f'was not decoded within {seconds:g} seconds'
            )
            raise RequestError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f'the image {what}; save it anew, or send a smaller one',
            ) from error

    def close(self) -> None:
        """End the process, whatever it does."""
        self._is_closed = True
        process = self._process
        if process is not None:
            process.kill()
            process.wait()

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        process = self._process
        return process is not None and process.poll() is None

    def _ask(self, data: bytes | bytearray, deadline: float) -> NDArray[np.uint8]:
        self._send(len(data).to_bytes(8, 'big'), deadline)
        self._send(data, deadline)
        answer = self._read_line(deadline)
        try:
            return self._taken(answer, deadline)
        finally:
            if answer['last']:
                self._end()

    def _taken(self, answer: dict[str, Any], deadline: float) -> NDArray[np.uint8]:
        if 'sentence' in answer:
            raise RequestError(HTTPStatus(answer['status']), answer['sentence'])
        height, width = answer['size']
        if not 0 < height * width <= self._limits.pixels:
            raise _Ended
        image = np.empty((height, width, 3), np.uint8)
        self._read_into(image.data.cast('B'), deadline)
        return image

    def _send(self, data: bytes | bytearray, deadline: float) -> None:
        output = self._pipes()[0]
        view = memoryview(data)
        while view:
            self._wait(output, deadline, to_write=True)
            view = view[output.write(view[: 1 << 20]) or 0 :]

    def _read_line(self, deadline: float) -> dict[str, Any]:
        """Read up to the end of a line and no further: pixels may follow."""
        source = self._pipes()[1]
        line = b''
        while not line.endswith(b'\n') and len(line) < _LONGEST_LINE:
            self._wait(source, deadline)
            byte = source.read(1)
            if not byte:
                raise _Ended('its output has ended')
            line += byte
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _read_into(self, view: memoryview, deadline: float) -> None:
        source = self._pipes()[1]
        while view:
            self._wait(source, deadline)
            count = source.readinto(view)
            if not count:
                raise _Ended('its output has ended')
            view = view[count:]

    def _wait(self, pipe: io.FileIO, deadline: float, *, to_write: bool = False) -> None:
        """Wait until a pipe can be read or written; unlike ``select``, ``poll`` knows no highest descriptor."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise _Ended('it takes too long')
        # On Windows see _killed_at.
        if sys.platform != 'win32':
            poll = select.poll()
            poll.register(pipe.fileno(), select.POLLOUT if to_write else select.POLLIN)
            if not poll.poll(1000 * left):
                raise _Ended('it takes too long')

    @contextlib.contextmanager
    def _killed_at(self, deadline: float) -> Iterator[None]:
        """Where a pipe cannot be waited for, on Windows, kill the process at the deadline: all reads end then."""
        process = self._process
        if sys.platform != 'win32' or process is None:
            yield
            return
        timer = threading.Timer(max(0.0, deadline - time.monotonic()), process.kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _pipes(self) -> tuple[io.FileIO, io.FileIO]:
        """Return the ends of the process's input and output."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise _Ended('it has ended')
        # Without a buffer they are plain files.
        assert isinstance(process.stdin, io.FileIO)
        assert isinstance(process.stdout, io.FileIO)
        return process.stdin, process.stdout

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            'PYTHONPATH': os.pathsep.join(path for path in sys.path if path),
            # Threads that compute are of no use here, and each of them takes memory.
            'OMP_NUM_THREADS': '1',
            'OPENBLAS_NUM_THREADS': '1',
            'OPENCV_LOG_LEVEL': 'SILENT',
            # A second look at the size, by the decoder itself.
            'OPENCV_IO_MAX_IMAGE_PIXELS': str(self._limits.pixels),
        }
