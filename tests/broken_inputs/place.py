"""Where a broken input is made: a folder, a good dataset, a good checkpoint, and a config that fits both."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

CommandLine = list[object]
"""Name of a script under ``tools/`` and its arguments."""


@dataclass(frozen=True)
class Place:
    """What a broken input is made of.

    Attributes:
        folder: empty at first; everything that is broken lies here.
        run: work directory of a short training; not to be changed.
        write_config: of the fixture ``write_tiny_config``.
        good_data: the dataset that the config reads; not to be changed.
    """

    folder: Path
    run: Path
    write_config: Callable[..., Path]
    good_data: Path

    @property
    def checkpoint(self) -> Path:
        """The checkpoint of :attr:`run`."""
        return self.run / 'iter_4.pth'

    def file(self, name: str, content: bytes | str = b'') -> Path:
        """Write a file and return its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def pairs(self, labels: Mapping[str, np.ndarray]) -> Path:
        """Write photographs of noise and PNG labels into ``images`` and ``labels``; return their folder."""
        root = self.folder / 'pairs'
        rng = np.random.default_rng(0)
        for name, label in labels.items():
            for kind, suffix in (('images', 'jpg'), ('labels', 'png')):
                (root / kind).mkdir(parents=True, exist_ok=True)
                shape = label.shape[:2]
                pixels = label if kind == 'labels' else rng.integers(0, 256, (*shape, 3), np.uint8)
                Image.fromarray(pixels).save(root / kind / f'{name}.{suffix}')
        return root

    def options(self, *options: str) -> CommandLine:
        """Return ``--work-dir`` and, where there are any, ``--cfg-options``."""
        return [
            '--work-dir',
            self.folder / 'work',
            *(['--cfg-options', *options] if options else []),
        ]

    def train(
        self, *arguments: object, extra: str = '', options: tuple[str, ...] = ()
    ) -> CommandLine:
        """Train with a config that ``extra`` and ``options`` change."""
        return ['train', self.write_config(extra=extra), *arguments, *self.options(*options)]

    def test(
        self, *arguments: object, checkpoint: Path | None = None, extra: str = '',
        options: tuple[str, ...] = (),
    ) -> CommandLine:  # fmt: skip
        """Evaluate a checkpoint, likewise."""
        config = self.write_config(extra=extra)
        return [
            'test', config, checkpoint or self.checkpoint, *arguments, *self.options(*options),
        ]  # fmt: skip

    def segment(self, *inputs: object, checkpoint: Path | None = None) -> CommandLine:
        """Segment files."""
        return ['segment', checkpoint or self.checkpoint, *inputs, '--out', self.folder / 'out']


def png_header(width: int, height: int) -> bytes:
    """Return a small PNG file that claims to be as large as one likes, 8-bit RGB."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))
        )

    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    return b''.join(
        [
            b'\x89PNG\r\n\x1a\n',
            chunk(b'IHDR', header),
            chunk(b'IDAT', zlib.compress(bytes(1000))),
            chunk(b'IEND', b''),
        ]
    )
