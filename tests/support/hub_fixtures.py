"""Fixtures of a hub of the tests' own, with the real client, and a small model for it."""

import pytest
import torch
from huggingface_hub import constants

from support import hub_folders, hub_server
from swinseg import downloads
from swinseg.hub.folder_writing import write_folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A server that the client asks, with an empty cache in ``tmp_path / 'home'``."""
    monkeypatch.setattr(downloads, '_FIRST_PAUSE_SECONDS', 0.0)
    for name in ('HF_HUB_OFFLINE', 'HF_TOKEN', 'SWINSEG_HOME'):
        monkeypatch.delenv(name, raising=False)
    with hub_server.running() as server:
        template = server.url + '/{repo_id}/resolve/{revision}/{filename}'
        # What the client makes of HF_ENDPOINT and HF_HOME when it is imported.
        monkeypatch.setattr(constants, 'ENDPOINT', server.url)
        monkeypatch.setattr(constants, 'HUGGINGFACE_CO_URL_TEMPLATE', template)
        monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'home' / 'hub'))
        monkeypatch.setattr(constants, 'HF_TOKEN_PATH', str(tmp_path / 'home' / 'token'))
        monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'home' / 'torch'))
        yield server


@pytest.fixture(scope='session')
def model_files(tmp_path_factory):
    """The files of a small model's folder by their names, as bytes."""
    root = tmp_path_factory.mktemp('model')
    checkpoint = hub_folders.save(root / 'tiny.pth', hub_folders.config(root))
    write_folder(checkpoint, root / 'folder')
    return {path.name: path.read_bytes() for path in (root / 'folder').iterdir()}
