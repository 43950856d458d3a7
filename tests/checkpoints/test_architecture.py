from __future__ import annotations

import pytest

from swinseg.checkpoints.architecture import difference, infer_architecture, is_complete


def test_infer_architecture__segmentor(build_segmentor, small):
    expected = {**small, 'version': 1, 'in_channels': 3, 'patch_size': 4, 'num_classes': 7}
    assert infer_architecture(build_segmentor().state_dict()) == expected


def test_infer_architecture__backbone(build_backbone, small):
    state_dict = build_backbone(in_channels=5).state_dict()
    expected = {**small, 'version': 1, 'in_channels': 5, 'patch_size': 4, 'num_classes': None}
    assert infer_architecture(state_dict) == expected
    del state_dict['patch_embed.projection.weight']
    assert infer_architecture(state_dict)['embed_dims'] == 16


def test_infer_architecture__nothing():
    assert set(infer_architecture({}).values()) == {None}


@pytest.mark.parametrize(
    'lost',
    [
        'patch_embed.projection.weight',
        'stages.2.blocks.1.',
        'stages.2.blocks.0.attn.w_msa.qkv.bias',
        'stages.1.downsample.',
        'stages.1.',
    ],
)
def test_is_complete__notices_what_is_lost(lost, build_backbone):
    state_dict = build_backbone().state_dict()
    assert is_complete(state_dict)
    kept = {key: value for key, value in state_dict.items() if not key.startswith(lost)}
    assert not is_complete(kept)


def test_difference__compares_common_stages(build_backbone):
    whole = infer_architecture(build_backbone().state_dict())
    assert difference(whole, {**whole, 'depths': (2, 2), 'num_heads': (1, 2)}) is None
    assert difference(whole, {**whole, 'window_size': 7, 'in_channels': 5}) is None
    assert difference(whole, {**whole, 'depths': (2, 6)}) == 'depths'
    assert difference(whole, {**whole, 'num_heads': None}) is None
