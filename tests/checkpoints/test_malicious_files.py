"""Files made to run code when they are unpickled, in every place and container: refused, and nothing is run."""

from __future__ import annotations

import functools
import os
import pickle
import subprocess
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

import swinseg  # noqa: F401  (allows mmengine's checkpoint classes)
from swinseg.checkpoints import CheckpointError, read_checkpoint

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
