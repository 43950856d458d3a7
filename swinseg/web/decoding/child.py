"""The process that decodes: reads files from its standard input, and writes pixels to its standard output.

A file goes in as its length (8 bytes, big-endian) and its bytes. What comes out is a line of JSON, either
``{"size": [H, W]}``, followed by H x W x 3 bytes of RGB, or ``{"status": ..., "sentence": ...}``, a refusal. The
first line is written when the process is ready. It ends when its input does, and so with its parent. An answer
with ``"last": true`` asks for another process: what decoders do not free must not be at the cost of later files.

It must start in a moment and stay small, so it imports neither PyTorch nor the models; ``START`` has it that
importing a module of swinseg does not run ``swinseg/__init__.py``, which does.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO

import cv2

from swinseg.datasets.files.heif import use_one_thread
from swinseg.datasets.files.value_range import ValueRange
from swinseg.errors import RequestError
from swinseg.web.decoding.images import decode

if sys.platform != 'win32':
    import resource

START = f"""
import sys
sys.path = [path for path in sys.path if path]  # Not the folder in which the server was started.
import types
for name in ('swinseg', 'swinseg.datasets', 'swinseg.web', 'swinseg.web.decoding'):
    package = types.ModuleType(name)
    package.__path__ = [{str(Path(__file__).parents[3])!r} + '/' + name.replace('.', '/')]
    sys.modules[name] = package
from swinseg.web.decoding.child import main
main()
"""
"""Program that runs :func:`main`, for ``python -c``."""

# The model shares the processors with the decoders, and no client shall slow it down by what it sends.
_NICENESS = 5


def main() -> None:
    """Decode what comes, with the options that the one argument has as JSON.

    They are ``pixels`` of an image at most; ``memory``, bytes of data beyond what the process has when it is
    ready; ``seconds`` of processor time for a file; and ``value_range`` of the model, or null.
    """
    options = json.loads(sys.argv[1])
    setting = options['value_range']
    value_range = None if setting is None else ValueRange.of(setting)
    files, answers = _take_streams()
    if hasattr(os, 'nice'):
        os.nice(_NICENESS)
    cv2.setNumThreads(1)
    # Before the limits are set: what is loaded then is not at the cost of the first file.
    use_one_thread()
    most = options['memory']
    held = _held_memory()
    _bound(held + most)
    _write(answers, {'ready': True})
    while head := files.read(8):
        data = files.read(int.from_bytes(head, 'big'))
        _bound_seconds(options['seconds'])
        _answer(answers, data, options['pixels'], value_range, most_held=held + most // 2)
        del data


def _take_streams() -> tuple[BinaryIO, BinaryIO]:
    """Return input and output, and let what the decoders print go nowhere: clients could fill a log with it."""
    answers = os.fdopen(os.dup(1), 'wb', buffering=0)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return sys.stdin.buffer, answers


def _held_memory() -> int:
    """Return the bytes of data of this process, or 0 where only another system could say."""
    with suppress(OSError):
        for line in (
            Path('/proc/self/status').read_text(encoding='ascii', errors='replace').splitlines()
        ):
            if line.startswith('VmData:'):
                return int(line.split()[1]) * 1024
    return 0


def _bound(memory: int) -> None:
    # Windows has no limits that a process sets itself; the parent's deadline is left there.
    if sys.platform != 'win32':
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # Files of no length: the process has nothing to write but its answers.
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        with suppress(
            OSError, ValueError
        ):  # Linux counts what can be written to; others have no such limit.
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _bound_seconds(seconds: float) -> None:
    """End this process after some more seconds of processor time, whatever becomes of its parent."""
    if sys.platform != 'win32':
        most = math.ceil(time.process_time() + seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))


def _answer(
    answers: BinaryIO,
    data: bytes,
    pixels: int,
    value_range: ValueRange | None,
    *,
    most_held: int,
) -> None:
    """Decode a file and write the answer; the last one where this process holds more than ``most_held`` by now."""
    try:
        image = decode(data, pixels=pixels, value_range=value_range)
    except RequestError as error:
        is_last = _held_memory() > most_held
        _write(answers, {'status': error.status, 'sentence': str(error), 'last': is_last})
    except MemoryError:
        content = {
            'status': HTTPStatus.UNPROCESSABLE_ENTITY,
            'sentence': 'decoding the image needs more memory than this server gives it; send a smaller one',
            'last': True,
        }
        _write(answers, content)
    else:
        is_last = _held_memory() - image.nbytes > most_held
        _write(answers, {'size': image.shape[:2], 'last': is_last})
        view = image.data.cast('B')
        while view:
            view = view[answers.write(view) :]


def _write(answers: BinaryIO, content: dict[str, Any]) -> None:
    answers.write(json.dumps(content).encode() + b'\n')
