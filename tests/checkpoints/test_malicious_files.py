"""Files made to run code when they are unpickled, in every place and container: refused, and nothing is run."""

from __future__ import annotations

import functools
import os
import pickle
import re
import subprocess
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

import swinseg  # noqa: F401  (allows mmengine's checkpoint classes)
from swinseg.checkpoints import CheckpointError, read_checkpoint, state_dict_of

WEIGHTS = {'stem.bias': torch.ones(2)}


class Call:
    """Pickles as a call of ``function``."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def _hidden_in_history(trace):
    """A history as mmengine saves it, whose numbers are the result of a call."""
    history = HistoryBuffer([1.0], [1])
    history._log_history = Call(os.mkdir, trace)
    return history


GADGETS = {
    'os.system': lambda trace: Call(os.system, f'mkdir {trace}'),
    'os.mkdir': lambda trace: Call(os.mkdir, trace),
    'eval': lambda trace: Call(eval, f'__import__("os").mkdir({trace!r})'),
    'exec': lambda trace: Call(exec, f'import os; os.mkdir({trace!r})'),
    'subprocess': lambda trace: Call(subprocess.check_call, ['mkdir', trace]),
    'partial': lambda trace: Call(functools.partial(os.mkdir, trace)),
    'another pickle': lambda trace: Call(pickle.loads, pickle.dumps(Call(os.mkdir, trace))),
    'numpy that unpickles': lambda trace: Call(np.load, trace, None, True),
    'inside a history': _hidden_in_history,
}

PLACES = {
    'beside the weights': lambda evil: {'state_dict': WEIGHTS, 'extra': evil},
    'among the weights': lambda evil: {'state_dict': {**WEIGHTS, 'stem.weight': evil}},
    'in the message hub': lambda evil: {
        'state_dict': WEIGHTS,
        'message_hub': {'log_scalars': {'loss': evil}, 'runtime_info': {}, 'resumed_keys': {}},
    },
    'in the meta': lambda evil: {'state_dict': WEIGHTS, 'meta': {'dataset_meta': [evil]}},
}


def _save_zip(content, path):
    torch.save(content, path)


def _save_legacy(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def _save_bare(content, path):
    path.write_bytes(pickle.dumps(content, protocol=4))


def _save_old_protocol(content, path):
    path.write_bytes(pickle.dumps(content, protocol=0))


CONTAINERS = {
    'zip': _save_zip,
    'legacy': _save_legacy,
    'bare': _save_bare,
    'old': _save_old_protocol,
}


def _assert_refused(path, trace):
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message
    assert '\n' not in message
    assert not trace.exists()
    return message


@pytest.mark.parametrize('gadget', GADGETS)
@pytest.mark.parametrize('place', PLACES)
def test_gadget__is_refused_by_name_and_not_run(tmp_path, gadget, place):
    trace = tmp_path / 'trace'
    path = tmp_path / 'evil.pth'
    torch.save(PLACES[place](GADGETS[gadget](str(trace))), path)
    assert 'it needs code to be run' in _assert_refused(path, trace)


@pytest.mark.parametrize('container', CONTAINERS)
@pytest.mark.parametrize('name', ['evil.pth', 'evil.pth.tar', 'evil.pt', 'evil.bin', 'evil.ckpt'])
def test_gadget__in_every_container(tmp_path, container, name):
    trace = tmp_path / 'trace'
    path = tmp_path / name
    CONTAINERS[container](PLACES['in the meta'](GADGETS['os.mkdir'](str(trace))), path)
    _assert_refused(path, trace)


def test_gadget__the_trap_works(tmp_path):
    """So that its absence above means something."""
    path = tmp_path / 'evil.pth'
    torch.save(PLACES['in the meta'](GADGETS['os.mkdir'](str(tmp_path / 'trace'))), path)
    torch.load(path, weights_only=False)
    assert (tmp_path / 'trace').is_dir()


def test_zip__names_that_leave_the_folder_write_nothing(tmp_path):
    path = tmp_path / 'deep' / 'evil.pth'
    path.parent.mkdir()
    torch.save({'state_dict': WEIGHTS}, path)
    with zipfile.ZipFile(path, 'a') as file:
        file.writestr('../../trace', b'written')
    before = sorted(tmp_path.rglob('*'))
    with pytest.raises(CheckpointError, match=r'evil\.pth is truncated or damaged'):
        read_checkpoint(path)
    assert sorted(tmp_path.rglob('*')) == before


def test_zip__a_flipped_bit_of_a_weight_is_found(tmp_path):
    """torch.load itself reads such a file without a word."""
    path = tmp_path / 'w.pth'
    weights = {'stem.weight': torch.arange(1000.0)}
    torch.save({'state_dict': weights}, path)
    data = bytearray(path.read_bytes())
    data[data.index(weights['stem.weight'][500:504].numpy().tobytes())] ^= 1
    path.write_bytes(data)
    loaded = torch.load(path, weights_only=True)['state_dict']['stem.weight']
    assert not torch.equal(loaded, weights['stem.weight'])
    with pytest.raises(
        CheckpointError, match=r'w\.pth is damaged: the checksum of its part \S+ is'
    ):
        read_checkpoint(path)


def _itself(weights):
    weights['state_dict'] = weights
    return weights


def _many_by_reference(depth):
    names = ['name']
    for _ in range(depth):
        names = [names] * 10
    return names


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (_itself(dict(WEIGHTS)), 'a container that contains itself'),
        ({'a': [_itself({}), WEIGHTS]}, 'a container that contains itself'),
        ({**WEIGHTS, 'meta': {'CLASSES': _many_by_reference(9)}}, 'more than 50,000,000 entries'),
        ({**WEIGHTS, 'optimizer': {0: tuple(_many_by_reference(12))}}, 'more than 50,000,000 entr'),
    ],
)
def test_extent__what_never_ends_is_refused(content, reason, tmp_path):
    path = tmp_path / 'endless.pth'
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=rf'in .*endless\.pth, found {reason}'):
        read_checkpoint(path)


def test_extent__containers_that_are_shared_are_fine(tmp_path):
    shared = {'weight': torch.ones(2)}
    torch.save([{'state_dict': shared, 'ema': [shared, [shared]]}][0], tmp_path / 'w.pth')
    assert 'weight' in read_checkpoint(tmp_path / 'w.pth')['ema'][1][0]


def test_wrappers__more_than_any_library_writes():
    nested = WEIGHTS
    for _ in range(20):
        nested = {'model': nested}
    with pytest.raises(CheckpointError, match='found no tensors'):
        state_dict_of(nested)


@pytest.mark.parametrize('method', [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip__that_unpacks_to_more_than_it_has(method, tmp_path):
    path = tmp_path / 'bomb.pth'
    with zipfile.ZipFile(path, 'w', method) as file:
        file.writestr('bomb/data.pkl', bytes(20_000_000))
    with pytest.raises(
        CheckpointError, match=r'bomb\.pth has [\d,]+ bytes but unpacks to 20,000,000'
    ):
        read_checkpoint(path)


TENSORS = {
    'sparse': (lambda: torch.eye(2).to_sparse(), 'of the layout sparse_coo'),
    'sparse rows': (lambda: torch.eye(2).to_sparse_csr(), 'of the layout sparse_csr'),
    'nested': (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), 'nested'),
    'meta': (lambda: torch.empty(2, device='meta'), 'without values'),
    'quantized': (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), 'qint8'),
    'complex': (lambda: torch.ones(2, dtype=torch.complex64), 'complex64'),
    'a view': (lambda: torch.ones(1).expand(10**9), r'a view of 1,000,000,000 numbers on 4 bytes'),
}


@pytest.mark.parametrize('kind', TENSORS)
def test_tensor__that_is_no_plain_array(kind, tmp_path):
    make, reason = TENSORS[kind]
    path = tmp_path / 'w.pth'
    try:
        torch.save({'state_dict': {**WEIGHTS, 'stem.weight': make()}}, path)
    except RuntimeError:
        pytest.skip('this PyTorch saves no such tensor')
    with pytest.raises(CheckpointError) as caught:
        state_dict_of(read_checkpoint(path))
    assert re.search(
        rf'at stem\.weight, found .*{reason}|is truncated or damaged', str(caught.value)
    )
