"""Repositories of a hub of our own, through the real client."""

import errno
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load

from support.hub_server import COMMIT, TOKEN, Repository
from swinseg import downloads
from swinseg.downloads import DownloadError
from swinseg.errors import CheckpointError
from swinseg.files import OutputError
from swinseg.hub import HubError, huggingface, resolve
from swinseg.hub.folder import read_folder


@pytest.fixture
def repository(hub, model_files):
    hub.content.repositories['me/tiny'] = Repository(dict(model_files))
    return hub.content.repositories['me/tiny']


def kept(tmp_path):
    """Return what is in the cache, whole or not, beside locks and marks."""
    blobs = (tmp_path / 'home').rglob('blobs/*')
    return sorted(path.name for path in blobs if not path.name.endswith('.lock'))


def sentence_of(name, error=HubError):
    with pytest.raises(error) as caught:
        resolve(name)
    assert '\n' not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('hf:me/tiny', ('me/tiny', None)),
        ('hf:me/tiny@main', ('me/tiny', 'main')),
        ('hf:me/tiny@refs/pr/1', ('me/tiny', 'refs/pr/1')),
        ('hf:my-org.x/UPer_Net@v1.0', ('my-org.x/UPer_Net', 'v1.0')),
    ],
)
def test_parse__cases(name, expected):
    found = huggingface.Repository.parse(name)
    assert (found.id, found.revision) == expected
    assert str(found) == name


@pytest.mark.parametrize(
    'name', ['hf:', 'hf:tiny', 'hf:a/b/c', 'hf:a/b@', 'hf:a b/c', 'hf:a/b@c d']
)
def test_parse__no_repository(name):
    with pytest.raises(HubError, match='expected hf:owner/name or hf:owner/name@revision'):
        huggingface.Repository.parse(name)


@pytest.mark.parametrize('revision', ['', '@main', f'@{COMMIT}'])
def test_resolve__a_repository(hub, repository, revision, model_files):
    source = resolve(f'hf:me/tiny{revision}')
    assert source.folder.name == COMMIT
    assert {path.name for path in source.folder.iterdir()} == set(model_files) - {'README.md'}
    assert (source.folder / 'model.safetensors').read_bytes() == model_files['model.safetensors']
    assert source.read()['state_dict'].keys() == read_folder(source.folder)['state_dict'].keys()
    sent = dict(hub.content.sent)
    resolve(f'hf:me/tiny{revision}')
    assert hub.content.sent == sent


def test_resolve__another_version_of_a_branch(hub, repository, model_files):
    first = resolve('hf:me/tiny')
    repository.commit = 'beef' + '0' * 36
    repository.files['config.json'] = model_files['config.json'] + b'\n'
    second = resolve('hf:me/tiny')
    assert second.folder.name == repository.commit
    assert (first.folder / 'config.json').read_bytes() == model_files['config.json']
    # The weights are the same, and are there already.
    large = [path for path in hub.content.sent if path.startswith('/large/')]
    assert hub.content.sent[large[0]] == len(model_files['model.safetensors'])


def test_resolve__goes_on_where_the_connection_broke(hub, repository, model_files, tmp_path):
    size = len(model_files['model.safetensors'])
    resolve_with_cuts(hub, [size // 2, 0, size // 4])
    large = next(path for path in hub.content.sent if path.startswith('/large/'))
    assert hub.content.sent[large] == size
    assert [name for name in kept(tmp_path) if 'part' in name] == []


def resolve_with_cuts(hub, cuts):
    """Resolve, with cuts of the connections for weights alone."""
    huggingface.fetch(huggingface.Repository('me/tiny'), 'config.json')
    huggingface.fetch(huggingface.Repository('me/tiny'), 'preprocessor_config.json')
    hub.content.cuts = cuts
    return resolve(f'hf:me/tiny@{COMMIT}')


def test_resolve__a_connection_that_breaks_each_time(hub, repository, tmp_path):
    with pytest.raises(
        DownloadError, match=r'100 of .* bytes arrived; what is there so far is kept'
    ):
        resolve_with_cuts(hub, [100] + [0] * 9)
    assert not list((tmp_path / 'home').rglob('model.safetensors'))
    hub.content.cuts = []
    large = next(path for path in hub.content.sent if path.startswith('/large/'))
    resolve('hf:me/tiny')
    assert hub.ranges(large)[-1] == 'bytes=100-'


@pytest.mark.full
def test_resolve__a_kill_in_the_middle_fetches_no_byte_twice(
    hub, repository, model_files, tmp_path
):
    size = len(model_files['model.safetensors'])
    code = (
        'from swinseg.hub import resolve, huggingface\n'
        "first = huggingface.fetch(huggingface.Repository('me/tiny'), 'config.json')\n"
        "resolve('hf:me/tiny')"
    )
    # The place of the weights is known only once they were asked for.
    with pytest.raises(DownloadError):
        resolve_with_cuts(hub, [0] * 9)
    large = next(each.path for each in hub.content.requests if each.path.startswith('/large/'))
    hub.content.cuts = []
    hub.content.stall_after[large] = size // 3
    environment = {
        **os.environ,
        'HF_ENDPOINT': hub.url,
        'HF_HOME': str(tmp_path / 'home'),
        'PYTHONPATH': os.pathsep.join(sys.path),
    }
    process = subprocess.Popen([sys.executable, '-c', code], env=environment)
    try:
        deadline = time.monotonic() + 120
        while sum(each.stat().st_size for each in (tmp_path / 'home').rglob('*.part')) < size // 3:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    hub.content.stall_after.clear()
    source = resolve('hf:me/tiny')
    assert Path(source.weights).read_bytes() == model_files['model.safetensors']
    assert hub.content.sent[large] == size


def test_resolve__wrong_content(hub, repository, model_files, tmp_path):
    with pytest.raises(DownloadError):
        resolve_with_cuts(hub, [0] * 9)
    hub.content.cuts = []
    large = next(each.path for each in hub.content.requests if each.path.startswith('/large/'))
    changed = bytearray(model_files['model.safetensors'])
    changed[-1] ^= 1
    hub.content.files[large] = bytes(changed)
    assert 'its SHA-256 is' in sentence_of('hf:me/tiny', DownloadError)
    assert large.rpartition('/')[2] not in kept(tmp_path)


def test_resolve__weights_of_an_older_kind(hub, repository, model_files):
    buffer = io.BytesIO()
    torch.save(load(repository.files.pop('model.safetensors')), buffer)
    repository.files['pytorch_model.bin'] = buffer.getvalue()
    source = resolve('hf:me/tiny')
    assert Path(source.weights).name == 'pytorch_model.bin'
    assert source.read()['meta']['classes'] == ['sky', 'tree', 'road', 'car']


def test_resolve__no_such_revision(hub, repository):
    message = sentence_of('hf:me/tiny@v9')
    assert 'me/tiny has no revision v9 at 127.0.0.1' in message
    assert 'name a branch, a tag or a commit' in message


def test_resolve__no_such_repository(hub):
    assert 'has no repository me/nothing, or it is private' in sentence_of('hf:me/nothing')


def test_resolve__a_private_repository(hub, repository, monkeypatch):
    repository.private = True
    message = sentence_of('hf:me/tiny')
    assert 'log in with "hf auth login" or HF_TOKEN' in message
    monkeypatch.setenv('HF_TOKEN', TOKEN)
    assert resolve('hf:me/tiny').read()


def test_resolve__a_gated_repository(hub, repository):
    repository.gated = True
    assert 'is for those who were let in; ask for access' in sentence_of('hf:me/tiny')


def test_resolve__no_config(hub, repository):
    del repository.files['config.json']
    assert 'has no config.json, so nothing says how its model is built' in sentence_of('hf:me/tiny')


def test_resolve__no_weights(hub, repository):
    del repository.files['model.safetensors']
    assert 'has none of model.safetensors' in sentence_of('hf:me/tiny')


def test_resolve__another_architecture_is_told_before_its_weights_are_fetched(hub, repository):
    repository.files['config.json'] = b'{"model_type": "segformer"}'
    assert "of the type 'segformer'; expected 'upernet'" in sentence_of(
        'hf:me/tiny', CheckpointError
    )
    assert not [each for each in hub.content.requests if each.path.startswith('/large/')]


def test_resolve__offline(hub, repository, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    message = sentence_of('hf:me/tiny')
    assert 'HF_HUB_OFFLINE is set, and the file is not in' in message
    assert hub.content.requests == []
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
    del repository.files['preprocessor_config.json']
    resolve('hf:me/tiny')
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    # What is not in the repository is known to be missing.
    assert Path(resolve('hf:me/tiny').weights).is_file()


def test_resolve__nobody_answers(hub, repository, monkeypatch):
    resolve('hf:me/tiny')
    gone = 'http://127.0.0.1:1'
    template = gone + '/{repo_id}/resolve/{revision}/{filename}'
    monkeypatch.setattr(constants, 'ENDPOINT', gone)
    monkeypatch.setattr(constants, 'HUGGINGFACE_CO_URL_TEMPLATE', template)
    assert resolve('hf:me/tiny').weights
    message = sentence_of('hf:me/other')
    assert '127.0.0.1:1 is not reached' in message
    assert 'refused' in message


def test_resolve__the_hub_is_ill(hub, repository):
    resolve('hf:me/tiny')
    place = '/me/{}/resolve/main/config.json'
    hub.content.statuses.update({place.format('tiny'): 503, place.format('other'): 503})
    assert resolve('hf:me/tiny').weights
    message = sentence_of('hf:me/other')
    assert 'cannot get config.json of hf:me/other from 127.0.0.1' in message
    assert '503' in message


def test_resolve__no_room(hub, repository, monkeypatch, tmp_path):
    monkeypatch.setattr(
        downloads.shutil, 'disk_usage', lambda folder: SimpleNamespace(free=1000, total=2000)
    )
    assert 'are free; make room' in sentence_of('hf:me/tiny', OutputError)
    assert not list((tmp_path / 'home').rglob('model.safetensors'))


def test_fetch__the_cache_cannot_be_written(hub, repository, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr('huggingface_hub.hf_hub_download', refuse)
    with pytest.raises(OutputError, match='Read-only file system; make room, or name another'):
        huggingface.fetch(huggingface.Repository('me/tiny'), 'config.json')
