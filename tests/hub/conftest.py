"""A hub of the tests' own, and a checkpoint that a folder can be written from."""

from pathlib import Path

import pytest

from support import hub_folders
from support.hub_fixtures import hub, model_files  # noqa: F401


@pytest.fixture
def trained(tmp_path):
    """Save a checkpoint by a config; the returned path is ``best.pth``."""

    def save(**options) -> Path:
        more = options.pop('more', {})
        return hub_folders.save(
            tmp_path / 'best.pth', hub_folders.config(tmp_path / 'data', **options), **more
        )

    return save
