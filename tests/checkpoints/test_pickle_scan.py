"""Keys that would be hashed without end, found in a pickle before it is unpickled."""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.logging import HistoryBuffer

from swinseg.checkpoints import CheckpointError, read_checkpoint
from swinseg.checkpoints.pickle_scan import has_endless_key

# A tuple of two references to a tuple of two references, sixty times: put into the memo, and on the stack.
DEEP = b'K\x01\x85' + b''.join(b'q%ch%c\x86' % (n, n) for n in range(60))

ENDLESS = {
    'a key': b'\x80\x02}' + DEEP + b'K\x01s.',
    'one of several keys': b'\x80\x02}(K\x01K\x02' + DEEP + b'K\x01u.',
    'a key of a dict in a list': b'\x80\x02]}' + DEEP + b'K\x01sa.',
    'a member of a set': b'\x80\x04\x8f(' + DEEP + b'\x90.',
    'a member of a frozen set': b'\x80\x04(' + DEEP + b'\x91.',
    'an argument of set': b'\x80\x02cbuiltins\nset\n]' + DEEP + b'a\x85R.',
    'in the first protocol': b'(' + DEEP + b'K\x01d.',
    'a copy on the stack': b'\x80\x02}' + DEEP + b'2s.',
}


@pytest.mark.parametrize('kind', ENDLESS)
def test_has_endless_key__finds_it(kind):
    pickletools.dis(ENDLESS[kind], out=io.StringIO())  # it is a whole pickle
    assert has_endless_key(io.BytesIO(ENDLESS[kind]))


@pytest.mark.parametrize('kind', ENDLESS)
@pytest.mark.parametrize('container', ['zip', 'bare'])
def test_read_checkpoint__refuses_it(kind, container, tmp_path):
    path = tmp_path / 'x.pth'
    if container == 'zip':
        with zipfile.ZipFile(path, 'w') as file:
            file.writestr('x/data.pkl', ENDLESS[kind])
    else:
        path.write_bytes(ENDLESS[kind])
    with pytest.raises(CheckpointError, match=r'x\.pth(, found a key| is not one: )'):
        read_checkpoint(path)


def test_has_endless_key__a_deep_value_is_none():
    assert not has_endless_key(io.BytesIO(b'\x80\x02}K\x01' + DEEP + b's.'))


VALUES = st.recursive(
    st.none() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.tuples(st.text(), st.integers()), inner)
        | st.frozensets(st.integers())
        | st.sets(st.text())
    ),
    max_leaves=20,
)


@given(VALUES, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_has_endless_key__lets_any_plain_value_through(value, protocol):
    file = io.BytesIO(pickle.dumps(value, protocol) + b'rest')
    assert not has_endless_key(file)
    assert file.read() == b'rest'


def test_read_checkpoint__what_a_training_saves(tmp_path):
    content = {
        'state_dict': {f'layer.{number}': torch.ones(2) for number in range(50)},
        'optimizer': {'state': {number: {'step': torch.tensor(1.0)} for number in range(50)}},
        'message_hub': {'loss': HistoryBuffer(np.arange(1000.0), np.ones(1000))},
    }
    torch.save(content, tmp_path / 'new.pth')
    torch.save(content, tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    for name in ('new.pth', 'old.pth'):
        assert len(read_checkpoint(tmp_path / name)['state_dict']) == 50
