from __future__ import annotations

import json

import pytest

from support import hub_folders
from support.hub_uploads import TOKEN, hub_server
from swinseg import cli
from swinseg.cli.push import COMMAND
from swinseg.errors import UserError
from swinseg.hub.folder import FILES
from swinseg.hub.folder_writing import write_folder
from swinseg.hub.push import PushError, push_folder

pytest.importorskip('huggingface_hub')

REPO = 'me/upernet'


@pytest.fixture
def hub(monkeypatch, tmp_path):
    for name in ('HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN', 'HF_TOKEN_PATH'):
        monkeypatch.delenv(name, raising=False)
    # Whoever is logged in on this machine is not asked.
    monkeypatch.setattr('huggingface_hub.constants.HF_TOKEN_PATH', str(tmp_path / 'no-token'))
    # Large files by Git LFS: the other way, Xet, stores parts of them in a format of its own.
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_DISABLE_XET', True)
    with hub_server() as server:
        monkeypatch.setenv('HF_ENDPOINT', server.address)
        # The client reads the variable when it is imported.
        monkeypatch.setattr('huggingface_hub.constants.ENDPOINT', server.address)
        yield server


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp('push')
    source = hub_folders.save(root / 'best.pth', hub_folders.config(root))
    write_folder(source, root / 'out', license='apache-2.0')
    return root / 'out'


@pytest.fixture
def folder(written, tmp_path):
    """Copy the folder, to be changed."""
    copy = tmp_path / 'out'
    copy.mkdir()
    for name in FILES:
        (copy / name).write_bytes((written / name).read_bytes())
    return copy


def uploaded(hub, branch='main'):
    return {
        name: data for (repo, at, name), data in hub.files.items() if (repo, at) == (REPO, branch)
    }


@pytest.mark.parametrize('large_bytes', [10**9, 100_000], ids=['regular', 'Git LFS'])
def test_push_folder__all_files_arrive(large_bytes, hub, written):
    hub.large_bytes = large_bytes
    receipt = push_folder(written, REPO, token=TOKEN)
    assert uploaded(hub) == {name: (written / name).read_bytes() for name in FILES}
    assert any('/info/lfs/' in request for request in hub.requests) == (large_bytes < 10**9)
    assert hub.private == {REPO: False}
    assert len(hub.messages) == 1
    assert receipt.commit == f'{hub.address}/{REPO}/commit/{"0" * 40}'
    assert receipt.remarks == ()
    assert f'uploaded to {hub.address}/{REPO}, revision main' in str(receipt)


def test_push_folder__a_private_repository_and_a_branch_and_again(hub, written):
    push_folder(written, REPO, token=TOKEN, private=True, revision='v1/new')
    assert hub.private == {REPO: True}
    assert hub.branches == {(REPO, 'v1/new')}
    assert sorted(uploaded(hub, 'v1/new')) == sorted(FILES)
    push_folder(written, REPO, token=TOKEN)
    assert sorted(uploaded(hub)) == sorted(FILES)
    assert hub.private == {REPO: True}


def test_push_folder__token_of_the_environment(hub, written, monkeypatch):
    monkeypatch.setenv('HF_TOKEN', TOKEN)
    assert push_folder(written, REPO).commit is not None


def test_push_folder__dry_run_asks_nobody(hub, folder):
    (folder / 'notes.txt').write_text('mine')
    card = (folder / 'README.md').read_text()
    (folder / 'README.md').write_text(card.replace('license: apache-2.0\n', ''))
    receipt = push_folder(folder, REPO, dry_run=True, private=True)
    assert hub.requests == []
    assert receipt.commit is None
    assert [name for name, _ in receipt.files] == [
        'README.md', 'config.json', 'preprocessor_config.json', 'model.safetensors',
    ]  # fmt: skip
    assert dict(receipt.files)['config.json'] == (folder / 'config.json').stat().st_size
    text = str(receipt)
    assert text.startswith(f'would upload to {hub.address}/{REPO}, revision main (private')
    assert 'note: the card names no license' in text
    assert 'left here: notes.txt' in text


def test_push_folder__leaves_files_of_others_here(hub, folder):
    (folder / 'notes.txt').write_text('mine')
    (folder / 'checkpoint-100').mkdir()
    (folder / 'LICENSE').write_text('terms')
    push_folder(folder, REPO, token=TOKEN)
    assert sorted(uploaded(hub)) == sorted([*FILES, 'LICENSE'])


@pytest.mark.parametrize(
    ('refuse', 'token', 'expected'),
    [
        ({}, None, r'^no token for http://127\.0\.0\.1.*"hf auth login", set HF_TOKEN'),
        ({}, 'hf_wrong', r'refused me/upernet \(401: Invalid .*\); make a token with write access'),
        ({'/create': (403, 'No rights')}, TOKEN, r'\(40[34]: .*\); (use a token|check the name)'),
        ({'/commit/main': (403, 'You may not write')}, TOKEN, r'\(403: You may not write.*me, or'),
        ({'/commit/main': (400, 'Bad card')}, TOKEN, r'\(400: .*Bad card.*\); mend what it says'),
        ({'/preupload/main': (404, 'Gone')}, TOKEN, r'\(404: .*\); check the name'),
        ({'/commit/main': (507, 'Storage is full')}, TOKEN, r'\(507: .*full.*\); try again later'),
    ],
)
def test_push_folder__refused(refuse, token, expected, hub, written):
    hub.refuse = refuse
    with pytest.raises(PushError, match=expected) as caught:
        push_folder(written, REPO, token=token)
    assert '\n' not in str(caught.value)
    assert 'hf_' not in str(caught.value)
    assert hub.files == {}


def test_push_folder__large_file_is_refused(hub, written):
    hub.large_bytes = 1000
    hub.refuse = {'/info/lfs/objects/batch': (403, 'No room')}
    with pytest.raises(PushError, match=r'\(403: No room.*\); use a token') as caught:
        push_folder(written, REPO, token=TOKEN)
    assert '\n' not in str(caught.value)
    assert hub.files == {}


def test_push_folder__nobody_there(hub, written, monkeypatch):
    monkeypatch.setenv('HF_ENDPOINT', 'http://127.0.0.1:9')
    with pytest.raises(PushError, match=r'cannot upload to http://127\.0\.0\.1:9: .*network'):
        push_folder(written, REPO, token=TOKEN)


def test_push_folder__offline(hub, written, monkeypatch):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    monkeypatch.setattr('huggingface_hub.constants.is_offline_mode', lambda: True, raising=False)
    import huggingface_hub.utils._http as http

    forget_connections = getattr(http, 'close_session', None) or http.reset_sessions
    forget_connections()
    try:
        with pytest.raises(PushError, match=r'cannot upload to .*; check the network, .*OFFLINE'):
            push_folder(written, REPO, token=TOKEN)
    finally:
        forget_connections()
    assert hub.requests == []


@pytest.mark.parametrize(
    ('repo', 'expected'),
    [
        ('upernet', "'owner/name', found 'upernet'"),
        ('me/', "'owner/name', found 'me/'"),
        ('me/a b', "'me/a b' cannot be the name of a repository"),
        ('a/b/c', "'a/b/c' cannot be the name of a repository"),
    ],
)
def test_push_folder__names_that_are_none(repo, expected, hub, written):
    with pytest.raises(PushError, match=expected):
        push_folder(written, repo, dry_run=True)


def cut(folder, name, old, new):
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ('change', 'expected'),
    [
        (lambda f: (f / 'config.json').unlink(), 'has no config.json; expected one with'),
        (lambda f: (f / 'README.md').unlink(), 'has no README.md, without which'),
        (lambda f: (f / 'preprocessor_config.json').unlink(), 'has no preprocessor_config.json'),
        (lambda f: (f / 'model.safetensors').unlink(), 'has no model.safetensors'),
        (lambda f: cut(f, 'config.json', '"upernet"', '"segformer"'), "of the type 'segformer'"),
        (lambda f: cut(f, 'config.json', '"swin"', '"resnet"'), "the backbone 'resnet'"),
        (lambda f: (f / 'config.json').write_text('{'), r'config\.json is not JSON'),
        (lambda f: (f / 'config.json').write_text('[]'), 'where an object is expected'),
        (
            lambda f: cut(f, 'README.md', 'pipeline_tag: image-segmentation\n', ''),
            'lacks pipeline_tag; add "pipeline_tag: image-segmentation"',
        ),
        (
            lambda f: cut(f, 'README.md', 'library_name: transformers\n', ''),
            'lacks library_name; add "library_name: transformers"',
        ),
        (lambda f: (f / 'README.md').write_text('# A model'), 'does not begin with a metadata'),
        (lambda f: (f / 'README.md').write_text('---\na: [\n---\n'), 'README.md is not YAML'),
        (
            lambda f: (
                (f / 'model.safetensors').unlink(),
                (f / 'model.safetensors.index.json').write_text(
                    json.dumps({'weight_map': {'a': 'model-00001-of-00001.safetensors'}})
                ),
            ),
            'lacks model-00001-of-00001.safetensors',
        ),
        (
            lambda f: (
                (f / 'model.safetensors').unlink(),
                (f / 'model.safetensors.index.json').write_text(
                    json.dumps({'weight_map': {'a': '../../secret'}})
                ),
            ),
            'does not name the files of the weights',
        ),
    ],
)
def test_push_folder__incomplete(change, expected, hub, folder):
    change(folder)
    with pytest.raises(UserError, match=expected) as caught:
        push_folder(folder, REPO, token=TOKEN)
    assert '\n' not in str(caught.value)
    assert hub.requests == []


def test_push_folder__no_folder(hub, tmp_path):
    with pytest.raises(UserError, match=r'is no folder; expected one with config\.json'):
        push_folder(tmp_path / 'absent', REPO, dry_run=True)


def test_command_line(hub, folder, capsys, monkeypatch):
    assert cli.main(COMMAND, [str(folder), REPO, '--dry-run']) == 0
    assert f'would upload to {hub.address}/{REPO}' in capsys.readouterr().out
    arguments = [str(folder), REPO, '--private', '--revision', 'new']
    assert cli.main(COMMAND, arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: no token for ')
    assert error.count('\n') == 1
    monkeypatch.setenv('HF_TOKEN', TOKEN)
    assert cli.main(COMMAND, arguments) == 0
    assert 'uploaded to' in capsys.readouterr().out
    assert sorted(uploaded(hub, 'new')) == sorted(FILES)
