"""Items of lists, called by their types."""

from __future__ import annotations

import pytest

from swinseg.config.list_items import item_names, named_key, numbered_key
from swinseg.errors import ConfigError

CONTENT = dict(
    pipeline=[dict(type='LoadImage'), dict(type='mmseg.RandomFlip', prob=0.5), dict(type='Pad'), dict(type='Pad')],
    depths=[2, 2, dict(a=1)],
    groups=[[dict(type='Pad')], dict(type='lib.own.Flip')],
    loops=({'type': 'A'},),
)  # fmt: skip


def test_item_names__a_type_of_ones_own_or_a_number():
    assert item_names(CONTENT['pipeline']) == ['LoadImage', 'RandomFlip', '2', '3']
    assert item_names(CONTENT['depths']) == ['0', '1', '2']
    assert item_names(CONTENT['groups']) == ['0', '1']
    assert item_names([]) == []


@pytest.mark.parametrize(
    ('named', 'numbered'),
    [
        ('pipeline.RandomFlip.prob', 'pipeline.1.prob'),
        ('pipeline.3.size', 'pipeline.3.size'),
        ('depths.2.a', 'depths.2.a'),
        ('groups.0.Pad.size', 'groups.0.0.size'),
        ('groups.1.prob', 'groups.1.prob'),
        ('pipeline', 'pipeline'),
        ('gone.0.x', 'gone.0.x'),
        ('loops.0.x', 'loops.0.x'),  # a tuple's items stay
    ],
)
def test_keys__both_ways(named, numbered):
    assert numbered_key(CONTENT, named) == numbered
    if not named.startswith('loops'):
        assert named_key(CONTENT, numbered) == named_key(CONTENT, named) == named


@pytest.mark.parametrize(
    ('key', 'sentence'),
    [
        ('pipeline.1.prob', r'called by their types, not by numbers: write pipeline\.RandomFlip\.prob for '),
        ('groups.0.0.size', r'write groups\.0\.Pad\.size for groups\.0\.0\.size'),
        ('pipeline.Pad.size', r'pipeline has 2 items of type Pad: write pipeline\.2 or pipeline\.3$'),
        ('pipeline.RandomFlp.prob', r'without an item RandomFlp; .*; did you mean pipeline\.RandomFlip\?'),
        ('pipeline.9.prob', r'without an item 9; it has LoadImage, RandomFlip, 2, 3$'),
    ],
)  # fmt: skip
def test_numbered_key__says_what_to_write(key, sentence):
    with pytest.raises(ConfigError, match=sentence) as caught:
        numbered_key(CONTENT, key)
    assert '\n' not in str(caught.value)
