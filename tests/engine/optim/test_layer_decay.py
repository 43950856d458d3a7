"""The learning rate of each layer, together with the recipe's rules for weight decay."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import nn

from support.mmseg_pairs import TINY, build_segmentor
from swinseg.engine import ConfigError
from swinseg.engine.optim.layer_decay import layer_of
from swinseg.models.feature_info import swin_layer_groups

DEPTHS = (2, 2, 6, 2)
GROUPS = swin_layer_groups(DEPTHS)


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


@pytest.mark.parametrize(
    ('name', 'layer'),
    [
        ('backbone.patch_embed.projection.weight', 0),
        ('backbone.absolute_pos_embed', 13),
        ('backbone.stages.0.blocks.0.norm1.weight', 1),
        ('backbone.stages.0.blocks.1.ffn.layers.1.bias', 2),
        ('backbone.stages.0.downsample.reduction.weight', 2),
        ('backbone.stages.1.blocks.0.attn.w_msa.qkv.weight', 3),
        ('backbone.stages.2.blocks.5.attn.w_msa.relative_position_bias_table', 10),
        ('backbone.stages.2.downsample.norm.weight', 10),
        ('backbone.stages.3.blocks.1.norm2.bias', 12),
        ('backbone.norm3.weight', 13),
        ('backbone.stages.2.blocks.50.norm2.bias', 13),  # not block 5
        ('decode_head.conv_seg.weight', 13),
        ('decode_head.patch_embed.weight', 13),
        ('auxiliary_head.convs.0.conv.weight', 13),
    ],
)
def test_layer_of__cases(name, layer):
    assert layer_of(name, GROUPS) == layer


def _wrapper(model, **paramwise_cfg):
    cfg = Config(
        dict(
            optim_wrapper=dict(
                type='OptimWrapper',
                constructor='LayerDecayConstructor',
                optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
                paramwise_cfg=paramwise_cfg,
            )
        )
    )
    return build_optim_wrapper(model, cfg.optim_wrapper)


@pytest.mark.parametrize('stock', [False, True], ids=['swinseg', 'mmseg'])
def test_constructor__multiplies_rates_and_keeps_the_rules_for_weight_decay(stock):
    backbone = {**TINY, 'depths': DEPTHS}
    model = build_segmentor(stock=stock, backbone=backbone, channels=16, num_classes=4)
    keys = {'norm': dict(decay_mult=0.0), 'decode_head.conv_seg': dict(lr_mult=10.0)}
    wrapper = _wrapper(model, decay_rate=0.9, custom_keys=keys)
    groups = {id(group['params'][0]): group for group in wrapper.optimizer.param_groups}
    for name, parameter in model.named_parameters():
        group = groups.pop(id(parameter))
        factor = 10 if 'decode_head.conv_seg' in name else 1
        expected = 1e-3 * factor * 0.9 ** (13 - layer_of(name, GROUPS))
        assert group['lr'] == pytest.approx(expected), name
        assert group['weight_decay'] == (0.0 if 'norm' in name else 0.01), name
    assert not groups


def test_constructor__leaves_frozen_layers_out():
    with torch.device('meta'):
        model = build_segmentor(
            stock=False, backbone={**TINY, 'frozen_stages': 1}, channels=16, num_classes=4
        )
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = _wrapper(model, decay_rate=0.8).optimizer.param_groups
    assert [id(group['params'][0]) for group in groups] == [id(p) for p in trained]


@pytest.mark.parametrize(
    ('rate', 'found'), [(None, 'None'), (0.0, '0.0'), (1.5, '1.5'), ('0.9', "'0.9'")]
)
def test_constructor__needs_a_rate(rate, found):
    options = {} if rate is None else {'decay_rate': rate}
    with pytest.raises(
        ConfigError, match=rf'decay_rate above 0 and up to 1, such as 0\.9, found {found}'
    ):
        _wrapper(nn.Linear(1, 1), **options)


def test_constructor__needs_a_backbone():
    with pytest.raises(ConfigError, match='needs a segmentor with a backbone, found Linear'):
        _wrapper(nn.Linear(1, 1), decay_rate=0.9)
