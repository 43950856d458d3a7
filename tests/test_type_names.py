"""The names by which classes of a config are compared."""

from __future__ import annotations

import pytest
from mmengine.config.lazy import LazyObject
from mmseg.models import UPerHead

from swinseg.type_names import has_type, type_name


class UPerNetHead:
    """A class of a user's that is called as one of ours."""


@pytest.mark.parametrize(
    ('kind', 'name'),
    [
        ('UPerHead', 'UPerHead'),
        ('mmseg.UPerHead', 'UPerHead'),
        ('mmseg.models.decode_heads.uper_head.UPerHead', 'UPerHead'),
        (UPerHead, 'UPerHead'),
        (LazyObject('mmseg.models', 'UPerHead'), 'UPerHead'),
        (LazyObject('mmseg').models.UPerHead, 'UPerHead'),
        ('mine.UPerHead', 'mine.UPerHead'),
        (UPerNetHead, f'{__name__}.UPerNetHead'),
        (LazyObject('mine', 'UPerHead'), 'mine.UPerHead'),
        ('', ''),
        (3, '3'),
        (None, 'None'),
    ],
)
def test_type_name__of_all_that_a_config_may_have(kind, name):
    assert type_name(kind) == name


@pytest.mark.parametrize(
    ('node', 'expected'),
    [
        (dict(type='UPerHead'), True),
        (dict(type=UPerHead), True),
        (dict(type='FCNHead'), True),
        (dict(type='PSPHead'), False),
        (dict(type=UPerNetHead), False),
        (dict(), False),
        (None, False),
        ('UPerHead', False),
        (UPerHead, False),
    ],
)
def test_has_type__compares_with_several_names(node, expected):
    assert has_type(node, 'UPerHead', 'FCNHead') is expected
