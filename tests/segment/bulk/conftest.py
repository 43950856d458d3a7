"""A checkpoint, pictures, and what an undisturbed job makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip('pyarrow', reason="pyarrow is not installed: pip install 'swinseg[bulk]'")

from support import bulk_jobs
from swinseg.segment.bulk.work import Segmenter


@pytest.fixture(scope='session')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bulk_jobs.weights(tmp_path_factory.mktemp('bulk_weights'))


@pytest.fixture(scope='session')
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 12 pictures in three sub-folders; not to be changed."""
    folder = tmp_path_factory.mktemp('bulk') / 'photos'
    bulk_jobs.draw(folder, 12)
    return folder


@pytest.fixture
def segmenter(checkpoint: Path, tmp_path: Path) -> Segmenter:
    """One that writes into ``tmp_path / 'out'``."""
    return Segmenter(bulk_jobs.setup(checkpoint, tmp_path / 'out'), 'cpu')
