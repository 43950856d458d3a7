"""Parts of a segmentor that do not fit each other."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from mmengine.config import ConfigDict
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from swinseg.errors import UserError

HEAD = dict(
    type='UPerNetHead',
    in_channels=[16, 32, 64, 128],
    in_index=[0, 1, 2, 3],
    channels=8,
    num_classes=3,
    norm_cfg=dict(type='BN'),
    pool_scales=(1, 2),
)
AUXILIARY = dict(
    type='FCNHead',
    in_channels=64,
    in_index=2,
    channels=8,
    num_convs=1,
    num_classes=3,
    norm_cfg=dict(type='BN'),
)
MODEL = dict(
    type='SwinSegmentor',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[1.0, 2.0, 3.0], std=[1.0, 1.0, 1.0], size=(64, 64)
    ),
    backbone=dict(
        type='SwinBackbone',
        embed_dims=16,
        depths=(1, 1, 1, 1),
        num_heads=(1, 2, 4, 8),
        window_size=4,
    ),
    decode_head=HEAD,
    auxiliary_head=AUXILIARY,
    test_cfg=dict(mode='whole'),
)


def build(**changes):
    """Build the model with entries of its parts changed: ``decode_head__in_index`` and so on."""
    cfg = copy.deepcopy(MODEL)
    for key, value in changes.items():
        *parts, last = key.split('__')
        node = cfg
        for part in parts:
            node = node[part]
        node[last] = value
    return MODELS.build(ConfigDict(cfg))


MISFITS = [
    (
        dict(decode_head__in_index=[0, 1, 2, 4]),
        r'in_index=\[0, 1, 2, 4\] of decode_head asks for map 4, but SwinBackbone gives 4, .* \[16, 32, 64, 128\]',
    ),
    (
        dict(backbone__embed_dims=32),
        r'decode_head takes .* \[16, 32, 64, 128\] channels, but SwinBackbone gives '
        r'\[32, 64, 128, 256\] .* set in_channels=\[32, 64, 128, 256\] of decode_head',
    ),
    (
        dict(decode_head__in_channels=[16, 32, 64, 256]),
        r'decode_head takes maps of \[16, 32, 64, 256\]',
    ),
    (
        dict(backbone__out_indices=(0, 1, 2)),
        r'in_index=\[0, 1, 2, 3\] of decode_head asks for map 3, .* gives 3',
    ),
    (
        dict(auxiliary_head__in_channels=32),
        r'auxiliary_head takes maps of 32 channels, .* set in_channels=64 of',
    ),
    (dict(auxiliary_head__in_index=-5), r'in_index=-5 of auxiliary_head asks for map -5'),
    (
        dict(auxiliary_head=[AUXILIARY, {**AUXILIARY, 'in_index': 4}]),
        r'in_index=4 of auxiliary_head\.1 asks for',
    ),
    (
        dict(
            auxiliary_head__input_transform='resize_concat',
            auxiliary_head__in_channels=[16, 64],
            auxiliary_head__in_index=[0, 1],
        ),
        r'auxiliary_head takes maps of 80 .* selects \[16, 32\] of them',
    ),
    (
        dict(decode_head__num_classes=2, decode_head__out_channels=1, decode_head__threshold=2.0),
        r'threshold of decode_head, .* from 0 to below 1, found 2\.0',
    ),
]


@pytest.mark.parametrize(('changes', 'sentence'), MISFITS)
def test_heads__are_compared_with_the_backbone(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        build(**changes)


@pytest.mark.parametrize(
    'changes',
    [
        dict(auxiliary_head__in_index=-2),
        dict(
            auxiliary_head__input_transform='resize_concat',
            auxiliary_head__in_channels=[16, 64],
            auxiliary_head__in_index=[0, 2],
        ),
        dict(
            backbone=dict(
                type='MixVisionTransformer',
                embed_dims=16,
                num_heads=[1, 2, 4, 8],
                num_layers=[1, 1, 1, 1],
            ),
            decode_head__in_channels=[16, 32, 64, 128],
        ),
        dict(
            neck=dict(type='FPN', in_channels=[16, 32, 64, 128], out_channels=64, num_outs=4),
            decode_head__in_channels=[64, 64, 64, 64],
        ),
    ],
)
def test_heads__that_fit_are_taken(changes):
    build(**changes)


def test_heads__are_compared_with_a_backbone_of_mmsegs():
    backbone = dict(
        type='MixVisionTransformer', embed_dims=32, num_heads=[1, 2, 5, 8], num_layers=[1] * 4
    )
    with pytest.raises(UserError, match=r'MixVisionTransformer gives \[32, 64, 160, 256\]'):
        build(backbone=backbone)


PREPROCESSORS = [
    (
        dict(std=[0.0, 1.0, 1.0]),
        r'std of data_preprocessor, which .* above 0, found \[0\.0, 1\.0, 1\.0\]',
    ),
    (dict(std=[1.0, -1.0, 1.0]), 'above 0'),
    (
        dict(mean=[math.nan, 1.0, 1.0]),
        r'mean of data_preprocessor must be finite numbers, found \[nan, ',
    ),
    (dict(std=[math.inf, 1.0, 1.0]), 'std of data_preprocessor must be finite'),
    (
        dict(mean=[1.0] * 4),
        'mean of data_preprocessor has 4 numbers, .* takes images of 3 channels',
    ),
    (dict(mean=[1.0] * 3, std=[1.0] * 2), 'std of data_preprocessor has 2 numbers'),
    (
        dict(size_divisor=32),
        r'has both size=\(64, 64\) and size_divisor=32, .* set the other to None',
    ),
    (
        dict(size=64),
        r'size of data_preprocessor must be \(height, width\) .* 64; write size=\(64, 64\)',
    ),
    (dict(size=(0, 64)), r'must be \(height, width\) in whole pixels, found \(0, 64\)'),
    (dict(size=None, size_divisor=0), 'size_divisor of data_preprocessor must be'),
    (
        dict(test_cfg=dict(size=(64, 64), size_divisor=32)),
        'test_cfg of data_preprocessor takes either size or',
    ),
    (dict(test_cfg=dict(sides=64)), 'test_cfg of data_preprocessor takes either size or'),
    (dict(test_cfg=dict(size=64)), r'size of data_preprocessor\.test_cfg must be'),
    (dict(pad_val=math.nan), 'pad_val of data_preprocessor must be a number, found nan'),
]


@pytest.mark.parametrize(('settings', 'sentence'), PREPROCESSORS)
def test_preprocessor__settings_that_break_images(settings, sentence):
    with pytest.raises(UserError, match=sentence):
        build(**{f'data_preprocessor__{key}': value for key, value in settings.items()})


def test_preprocessor__takes_one_number_for_all_channels():
    build(data_preprocessor__mean=[100.0], data_preprocessor__std=[50.0], backbone__in_channels=5)
    build(
        data_preprocessor__mean=[1.0] * 4, data_preprocessor__std=[1.0] * 4, backbone__in_channels=4
    )


@pytest.mark.parametrize(('channels', 'is_refused'), [(3, False), (1, False), (4, True), (2, True)])
def test_preprocessor__names_the_image_with_other_channels(channels, is_refused):
    model = build().eval()
    sample = SegDataSample(metainfo=dict(img_path='a.png', img_shape=(64, 64), ori_shape=(64, 64)))
    batch = dict(inputs=[torch.zeros(channels, 64, 64, dtype=torch.uint8)], data_samples=[sample])
    if not is_refused:
        model.val_step(batch)
        return
    with pytest.raises(UserError, match=rf'a\.png has {channels} channels .* the model takes 3'):
        model.val_step(batch)


def test_built_model__can_be_copied():
    model = copy.deepcopy(build())
    with pytest.raises(UserError, match='an image has 4 channels'):
        model.data_preprocessor({'inputs': [torch.zeros(4, 8, 8)]}, False)
