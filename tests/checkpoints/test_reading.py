from __future__ import annotations

import argparse
import hashlib
import http.server
import os
import pickle
import threading
from pathlib import Path

import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file

import swinseg  # noqa: F401  (allows mmengine's checkpoint classes)
from swinseg import downloads
from swinseg.checkpoints.reading import cached_path, read_checkpoint, state_dict_of
from swinseg.errors import CheckpointError

WEIGHTS = {'stem.weight': torch.arange(6.0).view(2, 3), 'stem.bias': torch.ones(2)}


class Malicious:
    """Pickles as a call that leaves a file behind when something unpickles it carelessly."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (os.mkdir, (str(self.trace),))


def sentence_of(path, **options) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path, **options)
    message = str(caught.value)
    assert '\n' not in message
    return message


@pytest.mark.parametrize('name', ['w.pth', 'w.pt', 'w.bin', 'w.safetensors'])
def test_read_checkpoint__every_suffix(name, tmp_path):
    path = tmp_path / name
    if path.suffix == '.safetensors':
        save_file(WEIGHTS, path, metadata={'format': 'pt', 'note': 'hello'})
        assert read_checkpoint(path)['meta'] == {'format': 'pt', 'note': 'hello'}
    else:
        torch.save({'state_dict': WEIGHTS}, path)
    found = state_dict_of(read_checkpoint(str(path)))
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[key], WEIGHTS[key]) for key in WEIGHTS)


def test_read_checkpoint__format_before_pytorch_1_6(tmp_path):
    path = tmp_path / 'old.pth'
    torch.save({'model': WEIGHTS}, path, _use_new_zipfile_serialization=False)
    assert torch.equal(state_dict_of(read_checkpoint(path))['stem.bias'], torch.ones(2))


def test_read_checkpoint__mmengine_runner(tmp_path):
    path = tmp_path / 'iter_20.pth'
    history = HistoryBuffer([1.0, 0.5], [1, 1])
    meta = {'dataset_meta': {'classes': ('a', 'b')}, 'iter': 20}
    torch.save(
        {'meta': meta, 'state_dict': WEIGHTS, 'message_hub': {'log_scalars': {'loss': history}}},
        path,
    )
    checkpoint = read_checkpoint(path)
    assert checkpoint['meta'] == meta
    assert checkpoint['message_hub']['log_scalars']['loss'].current() == 0.5


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('share', [0.5, 0.99])
def test_read_checkpoint__truncated(zipped, share, tmp_path):
    whole, path = tmp_path / 'whole.pth', tmp_path / 'cut.pth'
    torch.save({'weight': torch.randn(1000)}, whole, _use_new_zipfile_serialization=zipped)
    data = whole.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    message = sentence_of(path)
    assert 'cut.pth is truncated or damaged' in message
    assert 'delete it and fetch or save it again' in message


@pytest.mark.parametrize('method', [8, 12], ids=['deflate', 'bzip2'])
def test_read_checkpoint__entries_that_claim_a_compression(method, tmp_path):
    path = tmp_path / 'flipped.pth'
    torch.save({'weight': torch.randn(1000)}, path)
    data = bytearray(path.read_bytes())
    # The method stands at byte 8 of an entry's header and at byte 10 of its line in the directory.
    for signature, offset in ((b'PK\x03\x04', 8), (b'PK\x01\x02', 10)):
        start = data.find(signature)
        while start >= 0:
            data[start + offset] = method
            start = data.find(signature, start + 1)
    path.write_bytes(data)
    assert 'flipped.pth is truncated or damaged' in sentence_of(path)


def test_read_checkpoint__truncated_safetensors(tmp_path):
    whole, path = tmp_path / 'whole.safetensors', tmp_path / 'cut.safetensors'
    save_file(WEIGHTS, whole)
    path.write_bytes(whole.read_bytes()[:-8])
    assert 'cut.safetensors is no readable .safetensors file' in sentence_of(path)


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        (b'', r'is empty \(0 bytes\)'),
        (b'hello, this is text\n' * 9, r'bad.pth is not one: it begins with b.hello, this is'),
        (b'<!DOCTYPE html><html>', r'bad.pth is a web page'),
        (b'version https://git-lfs.github.com/spec/v1\noid', r'Git LFS pointer.*git lfs pull'),
        (b'PK\x03\x04' + bytes(100), r'truncated or damaged \(104 bytes\)'),
    ],
)
def test_read_checkpoint__not_a_checkpoint(content, expected, tmp_path):
    path = tmp_path / 'bad.pth'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=expected) as caught:
        read_checkpoint(path)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('bare', [True, False])
def test_read_checkpoint__malicious_pickle_is_refused_and_not_run(bare, tmp_path):
    path, trace = tmp_path / 'evil.pth', tmp_path / 'trace'
    if bare:
        path.write_bytes(pickle.dumps({'state_dict': Malicious(trace)}, protocol=2))
    else:
        torch.save({'state_dict': WEIGHTS, 'extra': Malicious(trace)}, path)
    message = sentence_of(path)
    assert 'needs code to be run (posix.mkdir)' in message or 'needs code to be run (nt.' in message
    assert not trace.exists()
    pickle.loads(pickle.dumps(Malicious(trace)))
    assert trace.exists()  # the trap works, so its absence above means something


def test_read_checkpoint__class_of_another_package(tmp_path):
    path = tmp_path / 'run.pth'
    torch.save({'state_dict': WEIGHTS, 'args': argparse.Namespace(lr=1)}, path)
    message = sentence_of(path)
    assert 'needs code to be run (argparse.Namespace)' in message
    assert 'save only the state dict' in message


def test_read_checkpoint__not_a_mapping(tmp_path):
    path = tmp_path / 'list.pth'
    torch.save([torch.ones(2)], path)
    assert f'one in {path}, found a list' in sentence_of(path)


def test_read_checkpoint__missing(tmp_path):
    torch.save(WEIGHTS, tmp_path / 'swin_tiny_22k.pth')
    assert 'did you mean swin_tiny_22k.pth' in sentence_of(tmp_path / 'swin_tny_22k.pth')
    assert 'check the path' in sentence_of(tmp_path / 'zzz.safetensors')
    assert f'there is no folder {tmp_path / "nowhere"}' in sentence_of(
        tmp_path / 'nowhere' / 'a.pth'
    )
    assert 'is a folder; name one of its files: swin_tiny_22k.pth' in sentence_of(tmp_path)


@pytest.mark.parametrize(
    'wrap',
    [
        lambda weights: weights,
        lambda weights: {'state_dict': weights, 'meta': {}},
        lambda weights: {'model': weights, 'epoch': 3},
        lambda weights: {'state_dict': {'model': weights}},
        lambda weights: {f'module.{key}': value for key, value in weights.items()},
        lambda weights: {'model': {f'_orig_mod.{key}': value for key, value in weights.items()}},
        lambda weights: {f'module._orig_mod.{key}': value for key, value in weights.items()},
        lambda weights: {f'_orig_mod.module.{key}': value for key, value in weights.items()},
    ],
)
def test_state_dict_of__unwraps(wrap):
    assert state_dict_of(wrap(WEIGHTS)).keys() == WEIGHTS.keys()


def test_state_dict_of__no_tensors():
    with pytest.raises(CheckpointError, match='found no tensors under the keys meta, epoch'):
        state_dict_of({'meta': {}, 'epoch': 3})


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server of a folder, and a cache folder of PyTorch's own; gives the address and both folders."""
    served, hub = tmp_path / 'served', tmp_path / 'hub'
    served.mkdir()
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(hub))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, directory=str(served), **options)

        def log_message(self, *arguments):
            pass

        def do_GET(self):
            if 'cut' not in self.path:
                return super().do_GET()
            self.send_response(200)
            self.send_header('Content-Length', '1000')
            self.end_headers()
            self.wfile.write(b'short')
            return None

    http_server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    thread = threading.Thread(target=http_server.serve_forever, daemon=True)
    thread.start()
    yield f'http://127.0.0.1:{http_server.server_port}', served, hub / 'checkpoints'
    http_server.shutdown()
    http_server.server_close()
    thread.join()


def test_read_checkpoint__url_is_fetched_once(server):
    address, served, cache = server
    torch.save(WEIGHTS, served / 'w.pth')
    digest = hashlib.sha256((served / 'w.pth').read_bytes()).hexdigest()
    name = f'swin-{digest[:8]}.pth'
    (served / 'w.pth').rename(served / name)
    assert torch.equal(read_checkpoint(f'{address}/{name}')['stem.bias'], torch.ones(2))
    assert [file.name for file in cache.rglob('*.pth')] == [name]
    (served / name).unlink()
    assert torch.equal(read_checkpoint(f'{address}/{name}')['stem.bias'], torch.ones(2))


def test_read_checkpoint__one_name_at_several_addresses(server):
    address, served, _ = server
    for number, folder in enumerate(('one', 'two', 'two/deeper')):
        (served / folder).mkdir()
        torch.save({'weight': torch.full((2,), float(number))}, served / folder / 'model.pth')
    places = ['one/model.pth', 'two/model.pth', 'two/deeper/model.pth', 'one/model.pth?version=2']
    found = [
        read_checkpoint(f'{address}/{place}')['weight'].tolist() for place in [*places, *places]
    ]
    assert found == [[0, 0], [1, 1], [2, 2], [0, 0]] * 2


def test_read_checkpoint__a_checksum_behind_the_address(server):
    address, served, _ = server
    torch.save(WEIGHTS, served / 'model.pth')
    digest = hashlib.sha256((served / 'model.pth').read_bytes()).hexdigest()
    assert 'stem.bias' in read_checkpoint(f'{address}/model.pth#sha256={digest}')
    assert f'its SHA-256 is {digest}, expected {"0" * 64}' in sentence_of(
        f'{address}/model.pth#sha256={"0" * 64}'
    )


def test_read_checkpoint__a_download_of_other_tools_counts_when_its_checksum_is_right(server):
    address, _, cache = server
    cache.mkdir(parents=True)
    torch.save(WEIGHTS, cache / 'w.pth')
    digest = hashlib.sha256((cache / 'w.pth').read_bytes()).hexdigest()
    (cache / 'w.pth').rename(cache / f'swin-{digest[:8]}.pth')
    torch.save(WEIGHTS, cache / 'swin-01234567.pth')
    assert 'stem.bias' in read_checkpoint(f'{address}/swin-{digest[:8]}.pth')
    assert '404' in sentence_of(f'{address}/swin-01234567.pth')


def test_read_checkpoint__a_part_of_a_file_is_not_kept(server):
    address, served, _ = server
    whole = served / 'w.pth'
    torch.save(WEIGHTS, whole)
    content = whole.read_bytes()
    whole.write_bytes(content[:700])
    assert 'is truncated or damaged' in sentence_of(f'{address}/w.pth')
    whole.write_bytes(content)
    assert 'stem.bias' in read_checkpoint(f'{address}/w.pth')


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        ('absent.pth', '404'),
        ('cut.pth', '5 of 1,000 bytes arrived'),
        ('swin-0123abcd.pth', ', expected 0123abcd'),
    ],
)
def test_read_checkpoint__failed_download_says_where_to_put_the_file(
    name, reason, server, monkeypatch
):
    monkeypatch.setattr(downloads, '_FIRST_PAUSE_SECONDS', 0.0)
    address, served, cache = server
    torch.save(WEIGHTS, served / 'swin-0123abcd.pth')
    message = sentence_of(f'{address}/{name}')
    assert message.startswith(f'cannot download {address}/{name}: ')
    assert reason in message
    assert f'put it at {cached_path(f"{address}/{name}")}' in message
    assert [path.suffix for path in cache.rglob('*') if path.is_file()] == ['.lock']


def test_read_checkpoint__swinseg_home(server, tmp_path, monkeypatch):
    address, served, cache = server
    torch.save(WEIGHTS, served / 'w.pth')
    monkeypatch.setenv('SWINSEG_HOME', str(tmp_path / 'home'))
    assert 'stem.bias' in read_checkpoint(f'{address}/w.pth')
    kept = [path.name for path in (tmp_path / 'home' / 'checkpoints').rglob('*') if path.is_file()]
    assert kept == ['w.pth']
    assert not cache.exists()


def test_read_checkpoint__no_server(server):
    with http.server.ThreadingHTTPServer(
        ('127.0.0.1', 0), http.server.BaseHTTPRequestHandler
    ) as gone:
        port = gone.server_port
    assert 'cannot download' in sentence_of(f'http://127.0.0.1:{port}/w.pth')
