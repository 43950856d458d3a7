"""Arguments of the backbone that no network can be built from."""

from __future__ import annotations

import math

import pytest

from swinseg.errors import ArchitectureError
from swinseg.models import SwinBackbone

TINY = dict(embed_dims=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8), window_size=4)

REFUSED = [
    *(dict(window_size=value) for value in (0, -4, 4.0, True, '7', (7, 7), None)),
    *(dict(embed_dims=value) for value in (0, -16, 16.0, True)),
    *(dict(in_channels=value) for value in (0, 3.0)),
    dict(patch_size=0, strides=(0, 2, 2, 2)),
    *(dict(depths=value) for value in ((1, 0, 1, 1), (1, -1, 1, 1), (1, 1.5, 1, 1), 2, '1111')),
    *(dict(num_heads=value) for value in ((0, 2, 4, 8), (-1, 2, 4, 8), ())),
    dict(strides=(4, 2, 2, True)),
    *(dict(mlp_ratio=value) for value in (0, -1, math.nan, 0.01, '4')),
    *(dict(drop_rate=value) for value in (1.5, -0.1, 1, '0')),
    *(dict(attn_drop_rate=value) for value in (-1, math.nan)),
    *(dict(drop_path_rate=value) for value in (1.0, 2, math.nan, True)),
    *(dict(qk_scale=value) for value in (math.nan, math.inf, 0, -1.0)),
    *(dict(frozen_stages=value) for value in (9, -2, 1.0, None)),
    *(dict(pretrain_img_size=value) for value in (0, 2, (224, 224, 224), (), (224, 1.5), None)),
]


@pytest.mark.parametrize('options', REFUSED, ids=str)
def test_arguments__are_refused_by_name(options):
    (name, *_) = options
    with pytest.raises(ArchitectureError, match=f'^{name} of SwinBackbone must be .*, found ') as e:
        SwinBackbone(**{**TINY, **options})
    assert '\n' not in str(e.value)


@pytest.mark.parametrize('out_indices', [(3, 2), (1, 1), (0, 4), (-1,), (), 2, '01', (True,)])
def test_out_indices__name_stages_once_and_in_order(out_indices):
    with pytest.raises(ArchitectureError, match='out_indices must name '):
        SwinBackbone(**{**TINY, 'out_indices': out_indices})


@pytest.mark.parametrize(
    'options',
    [
        dict(window_size=1),
        dict(mlp_ratio=0.5, drop_rate=0, attn_drop_rate=0.5, drop_path_rate=0.99),
        dict(qk_scale=2, frozen_stages=4, out_indices=[1, 3]),
        dict(pretrain_img_size=(224, 112), use_abs_pos_embed=True),
        dict(pretrain_img_size=[32], use_abs_pos_embed=True),
    ],
    ids=str,
)
def test_arguments__at_the_limits_are_taken(options):
    SwinBackbone(**{**TINY, **options})
