"""Bulk jobs on pictures of a moment, and what is left of them."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from support import tiny_checkpoint
from swinseg.models.prepare import usual_kernels
from swinseg.segment import Options
from swinseg.segment.bulk.manifest import VARYING, Manifest
from swinseg.segment.bulk.work import Outcome, Segmenter, Setup, Unit


def weights(folder: Path) -> Path:
    """Write a checkpoint that segments a picture whole, and return its path."""
    cfg = tiny_checkpoint.config(folder)
    del cfg.test_dataloader.dataset.pipeline[1]
    return tiny_checkpoint.save(folder / 'tiny.pth', cfg)


def draw(folder: Path, count: int, *, seed: int = 0) -> list[Path]:
    """Write pictures of colored blocks into sub-folders, and return their paths, sorted."""
    rng = np.random.default_rng(seed)
    paths = []
    for number in range(count):
        height, width = (int(side) for side in rng.integers(36, 72, 2))
        blocks = rng.integers(0, 256, (height // 12 + 1, width // 12 + 1, 3))
        pixels = np.kron(blocks, np.ones((12, 12, 1)))[:height, :width].astype(np.uint8)
        path = folder / f'{number % 3}' / f'{number:04d}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        paths.append(path)
    return sorted(paths)


def setup(checkpoint: Path, out: Path | str, **options: Any) -> Setup:
    """Return how to segment by the checkpoint of :func:`weights`."""
    model = dict(
        checkpoint=str(checkpoint), config=None, trust=False, dtype='float32', compile=False,
        value_range=None, provider=None, device_type='cpu',
    )  # fmt: skip
    kernels = usual_kernels(torch.float32)
    return Setup(model=model, options=Options(**options), out=str(out), threads=1, kernels=kernels)


def table(place: Path | str) -> list[dict[str, Any]]:
    """Return the rows of a manifest, without what tells how the work went."""
    return [
        {name: value for name, value in vars(row).items() if name not in VARYING}
        for row in Manifest(str(place)).rows()
    ]


def contents(folder: Path) -> dict[str, str]:
    """Return the checksum of each file below a folder, hidden ones among them, but those of the manifest."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob('*')
        if path.is_file() and path.relative_to(folder).parts[0] != 'manifest'
    }


class Poisonable(Segmenter):
    """One that dies of inputs named ``kill...`` and ``crash...``, and lacks memory for ``much...``."""

    def _work(self, unit: Unit) -> Outcome:
        name = Path(unit.address).name
        if name.startswith('kill'):
            os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith('crash'):
            os.kill(os.getpid(), signal.SIGSEGV)
        if name.startswith('much'):
            raise MemoryError('400 GB')
        return super()._work(unit)


@contextmanager
def s3_server(port: int = 0) -> Iterator[Any]:
    """Run a server that speaks S3 on this machine, and give moto's, whose state outlives it."""
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address='127.0.0.1', port=port, verbose=False)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def in_a_while(seconds: float, call: Any) -> threading.Timer:
    """Call something later, from a thread."""
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()
    return timer
