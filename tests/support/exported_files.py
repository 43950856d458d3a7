"""Exported files of the tiny checkpoint, each made once in a session."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from unittest import mock

import pytest

from support import tiny_checkpoint
from swinseg.exporting import Exported, export
from swinseg.exporting.targets import TARGETS

SLIDE = dict(mode='slide', crop_size=(48, 64), stride=(32, 40))


class ExportedFiles:
    """A folder with images, checkpoints and what is exported of them.

    Args:
        root: an empty folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images = tiny_checkpoint.make_images(root)
        self.checkpoint = cache(self._checkpoint)
        self.exported = cache(self._exported)

    def _checkpoint(self, mode: str = 'whole') -> Path:
        """Save a checkpoint: ``'whole'`` and ``'slide'`` resize images, ``'plain'`` and ``'windows'`` do not."""
        is_slide = mode in ('slide', 'windows')
        cfg = tiny_checkpoint.config(self.root, **(SLIDE if is_slide else {}))
        cfg.model.backbone.depths = (1, 1, 1, 1)
        if mode in ('plain', 'windows'):
            del cfg.test_dataloader.dataset.pipeline[1]
        return tiny_checkpoint.save(self.root / f'{mode}.pth', cfg)

    def _exported(self, to: str = 'onnx', mode: str = 'whole', **options) -> Path:
        """Export a checkpoint; the test is skipped where a package is missing."""
        for package in TARGETS[to].needs:
            pytest.importorskip(package)
        name = '_'.join([mode, *map(str, options.values())]).replace(' ', '')
        out = self.root / f'{name}{TARGETS[to].suffix}'
        # The tests here compare what comes out; that of the export takes most of its time.
        with mock.patch('swinseg.exporting.export.compare', return_value=[]):
            made: Exported = export(self.checkpoint(mode), out, to=to, **options)
        return made.path
