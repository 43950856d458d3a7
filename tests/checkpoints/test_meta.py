from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from swinseg.checkpoints.meta import checkpoint_meta, parse_config_text
from swinseg.errors import CheckpointError, shown

CLASSES = ('sky', 'road')
PALETTE = [[1, 2, 3], [4, 5, 6]]
CONFIG = {
    'model': {'type': 'SwinSegmentor', 'backbone': {'depths': [2, 2], 'drop_path_rate': 0.3}},
    'scales': (512, -1),
    'label_map': {0: 0, 255: 1},
    'custom_keys': {'decode_head.conv_seg': {'lr_mult': 10.0}, 'norm': {'decay_mult': 0.0}},
    'load_from': None,
}


@pytest.mark.parametrize(
    'meta',
    [
        {
            'dataset_meta': {'classes': CLASSES, 'palette': PALETTE},
            'cfg': Config(CONFIG).pretty_text,
        },
        {'CLASSES': CLASSES, 'PALETTE': PALETTE, 'config': Config(CONFIG).pretty_text},
        {
            'format': 'pt',
            'classes': '["sky", "road"]',
            'palette': '[[1, 2, 3], [4, 5, 6]]',
            'config': Config(CONFIG).pretty_text,
        },
    ],
    ids=['mmengine', 'mmcv 1', 'safetensors'],
)
def test_checkpoint_meta__every_generation(meta):
    found = checkpoint_meta({'meta': meta, 'state_dict': {'weight': torch.ones(1)}})
    assert found['classes'] == CLASSES
    assert found['palette'] == PALETTE
    assert found['config'] == CONFIG


@pytest.mark.parametrize('checkpoint', [{}, {'meta': None}, {'meta': {'epoch': 3}}])
def test_checkpoint_meta__nothing_known(checkpoint):
    assert checkpoint_meta(checkpoint) == {'classes': None, 'palette': None, 'config': None}


def test_checkpoint_meta__config_with_code_is_ignored_and_not_run(tmp_path):
    trace = tmp_path / 'trace'
    found = checkpoint_meta(
        {
            'meta': {
                'cfg': f'import os\nos.mkdir({str(trace)!r})\n',
                'dataset_meta': {'classes': CLASSES},
            }
        }
    )
    assert found['config'] is None
    assert found['classes'] == CLASSES
    assert not trace.exists()


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('import os', 'line 1 is not an assignment'),
        ('a = 1\nb = open("x")', r'line 2 has something other than a literal: open'),
        ('a = dict(**{})', 'line 1 has something other than a literal'),
        ('a = b.c', 'line 1 has something other than a literal: b.c'),
        ('a, b = 1, 2', 'line 1 is not an assignment to one name'),
        ('a = (', 'line 1 is not Python'),
        ('a = ' + '-' * 100000 + '1', 'nested too deeply'),
        ('a = ' + '[' * 5000 + ']' * 5000, r'nested too deeply|line 1 is not Python'),
        ('a = dict({[]: 1})', 'a key that cannot be one'),
        ('a = {[1]}', 'a key that cannot be one'),
        ('a = 1\n' * 200_000, '1,200,000 characters, more than any config'),
    ],
)
def test_parse_config_text__refuses(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse_config_text(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_parse_config_text__reads_back_any_literal(value):
    assert parse_config_text(f'name = {value!r}') == {'name': value}


def _deep(levels):
    nested = ['sky']
    for _ in range(levels):
        nested = [nested]
    return nested


@pytest.mark.parametrize(
    'classes',
    [
        {'sky': 0},
        7,
        [],
        [['sky'], 'road'],
        [None, 'road'],
        [{}, {}],
        ['sky\x1b[2J', 'road'],
        ['sky\nroad'],
        ['x' * 1000],
        ['x'] * 100_000,
        [b'sky'],
        _deep(5000),
    ],
    ids=lambda value: shown(value)[:20],
)
def test_checkpoint_meta__what_is_no_list_of_names(classes):
    with pytest.raises(CheckpointError, match='expected a list of class names in the checkpoint'):
        checkpoint_meta({'meta': {'dataset_meta': {'classes': classes}}})


def test_checkpoint_meta__numbers_as_names():
    assert checkpoint_meta({'meta': {'CLASSES': [0, 1]}})['classes'] == ('0', '1')


@pytest.mark.parametrize(
    'palette',
    [
        7,
        {'a': 1},
        [1, 2, 3],
        [[1, 2]],
        [['a', 'b', 'c']],
        [[1, 2, 256]],
        [[float('nan')] * 3],
    ],
    ids=repr,
)
def test_checkpoint_meta__what_is_no_palette(palette):
    with pytest.raises(CheckpointError, match='expected a palette of'):
        checkpoint_meta({'meta': {'dataset_meta': {'palette': palette}}})


def test_checkpoint_meta__json_nested_without_end():
    found = checkpoint_meta({'meta': {'classes': '[' * 100_000, 'palette': '{' * 10}})
    assert found == {'classes': None, 'palette': None, 'config': None}
