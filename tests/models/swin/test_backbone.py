"""The backbone against mmseg's SwinTransformer, and its ablations against their definitions."""

import pytest
import torch
from mmengine.config import ConfigDict

from support.mmseg_pairs import TINY, build_backbone_pair, randomize
from swinseg.errors import ArchitectureError
from swinseg.models import SwinBackbone
from swinseg.models.swin.blocks import MLP, ShiftedWindowAttention


def tiny(**options):
    return randomize(SwinBackbone(**{**TINY, **options})).eval()


@pytest.mark.parametrize(
    'size',
    [(224, 224), (333, 517), (20, 23), (1, 1), (28, 225)],
    ids=lambda size: f'{size[0]}x{size[1]}',
)
def test_forward__equals_mmseg(size):
    stock, ours = build_backbone_pair(**TINY)
    stock.eval()  # returns None
    ours.eval()
    image = torch.randn(2, 3, *size)
    with torch.no_grad():
        expected, found = stock(image), ours(image)
    assert [x.shape for x in found] == [x.shape for x in expected]
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    'options',
    [
        dict(window_size=12),
        dict(in_channels=5),
        dict(qkv_bias=False),
        dict(qk_scale=0.3),
        dict(patch_norm=False),
        dict(mlp_ratio=2),
        dict(out_indices=(1, 3)),
        dict(use_abs_pos_embed=True, pretrain_img_size=96),
        dict(patch_size=2, strides=(2, 2, 2, 2)),
        dict(act_cfg=dict(type='ReLU')),
    ],
    ids=str,
)
def test_forward__options_equal_mmseg(options):
    stock, ours = build_backbone_pair(**{**TINY, **options})
    stock.eval()
    ours.eval()
    image = torch.randn(1, options.get('in_channels', 3), 96, 96)
    with torch.no_grad():
        expected, found = stock(image), ours(image)
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-5)


def test_forward__stochastic_depth_draws_as_mmseg():
    stock, ours = build_backbone_pair(**TINY, drop_path_rate=0.5, drop_rate=0.1, attn_drop_rate=0.1)
    image = torch.randn(4, 3, 64, 64)
    stock.train()
    ours.train()
    torch.manual_seed(3)
    expected = stock(image)
    torch.manual_seed(3)
    found = ours(image)
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-5)


def test_forward__selected_stages_only_are_computed():
    calls = []
    backbone = tiny(out_indices=(0, 1))
    for i, stage in enumerate(backbone.stages):
        stage.register_forward_hook(lambda *_, i=i: calls.append(i))
    outputs = backbone(torch.randn(1, 3, 64, 64))
    assert [x.shape[1] for x in outputs] == [16, 32]
    assert calls == [0, 1]


def test_forward__checkpointing_changes_no_gradient():
    plain = SwinBackbone(**TINY, drop_path_rate=0.0)
    recomputing = SwinBackbone(**TINY, drop_path_rate=0.0, with_cp=True)
    randomize(plain)
    recomputing.load_state_dict(plain.state_dict())
    image = torch.randn(1, 3, 50, 70)
    for model in (plain, recomputing):
        sum(x.square().sum() for x in model.train()(image)).backward()
    for (name, x), y in zip(plain.named_parameters(), recomputing.parameters(), strict=True):
        torch.testing.assert_close(x.grad, y.grad, msg=name)


@pytest.mark.parametrize('size', [(28, 28), (29, 40), (5, 6), (7, 35)])
@pytest.mark.parametrize('window', [4, 7])
def test_shifted_windows__padding_is_the_same_function(size, window):
    options = dict(attention='window', embed_dims=12, num_heads=3, use_rel_pos_bias=True)
    cyclic = randomize(
        ShiftedWindowAttention(window, window // 2, shifted_windows='cyclic', **options).double()
    )
    padding = ShiftedWindowAttention(window, window // 2, shifted_windows='padding', **options)
    padding.double().load_state_dict(cyclic.state_dict())
    x = torch.randn(2, *size, 12, dtype=torch.float64)
    # The cyclic form leaves exp(-100) of attention on masked pairs.
    torch.testing.assert_close(cyclic(x), padding(x), atol=1e-12, rtol=1e-12)


def test_shifted_windows__none_is_the_unshifted_layer_everywhere():
    backbone = tiny(shifted_windows='none')
    assert {block.attn.shift_size for stage in backbone.stages for block in stage.blocks} == {0}


def test_attention__global_equals_one_window_over_all():
    options = dict(embed_dims=12, num_heads=3, use_rel_pos_bias=False)
    everywhere = randomize(
        ShiftedWindowAttention(7, 0, shifted_windows='cyclic', attention='global', **options)
    )
    one_window = ShiftedWindowAttention(
        14, 0, shifted_windows='cyclic', attention='window', **options
    )
    one_window.load_state_dict(everywhere.state_dict())
    x = torch.randn(2, 14, 14, 12)
    torch.testing.assert_close(everywhere(x), one_window(x))


@pytest.mark.parametrize('relative', [True, False])
@pytest.mark.parametrize('absolute', [True, False])
def test_position_encoding__has_the_parameters_it_needs_and_no_others(relative, absolute):
    backbone = tiny(use_rel_pos_bias=relative, use_abs_pos_embed=absolute)
    names = set(backbone.state_dict())
    assert ('absolute_pos_embed' in names) == absolute
    assert any('relative_position' in name for name in names) == relative
    assert all(torch.isfinite(x).all() for x in backbone(torch.randn(1, 3, 40, 72)))


def test_position_encoding__none_cannot_tell_windows_apart():
    # Without any position, a map of equal windows gives equal windows.
    backbone = tiny(use_rel_pos_bias=False, shifted_windows='none', out_indices=(0,))
    patch = torch.randn(1, 3, 28, 28)
    output = backbone(patch.repeat(1, 1, 2, 2))[0]
    torch.testing.assert_close(output[..., :7, :7], output[..., 7:, 7:], atol=1e-5, rtol=1e-5)


def test_position_encoding__absolute_is_resized_to_other_sizes():
    backbone = tiny(use_abs_pos_embed=True, pretrain_img_size=32)
    assert backbone.absolute_pos_embed.shape == (1, 64, 16)
    resized = backbone._position_embedding((16, 8))
    assert resized.shape == (1, 16, 8, 16)
    # Bicubic resampling keeps a constant.
    torch.nn.init.constant_(backbone.absolute_pos_embed, 0.5)
    torch.testing.assert_close(backbone._position_embedding((5, 9)), torch.full((1, 5, 9, 16), 0.5))


@pytest.mark.parametrize('stages', [0, 1, 3])
def test_frozen_stages__stay_frozen_in_training(stages):
    backbone = SwinBackbone(**TINY, frozen_stages=stages, use_abs_pos_embed=True, drop_rate=0.1)
    assert backbone.train() is backbone
    trained = {name for name, p in backbone.named_parameters() if p.requires_grad}
    frozen = {name for name, p in backbone.named_parameters() if not p.requires_grad}
    assert any(name.startswith('patch_embed') for name in frozen)
    assert 'absolute_pos_embed' in frozen
    for i in range(4):
        mine = {name for name in trained | frozen if name.startswith((f'stages.{i}.', f'norm{i}.'))}
        assert mine <= (frozen if i < stages else trained)
        assert backbone.stages[i].training == (i >= stages)


def test_init_weights__draws_the_paper_initialization():
    backbone = SwinBackbone(
        embed_dims=96, depths=(2, 2), num_heads=(3, 6), strides=(4, 2), out_indices=(1,)
    )
    backbone.init_weights()
    weight = backbone.stages[1].blocks[0].ffn.layers[1].weight
    assert weight.std().item() == pytest.approx(0.02, rel=0.03)
    assert backbone.stages[0].blocks[0].attn.w_msa.qkv.bias.abs().max() == 0


def test_init_weights__pretrained_file_of_its_own(tmp_path):
    source = randomize(SwinBackbone(**TINY))
    torch.save(source.state_dict(), tmp_path / 'backbone.pth')
    target = SwinBackbone(
        **TINY,
        init_cfg=ConfigDict(type='Pretrained', checkpoint=str(tmp_path / 'backbone.pth')),
    )
    target.init_weights()
    for (name, x), y in zip(source.state_dict().items(), target.state_dict().values(), strict=True):
        assert torch.equal(x, y), name


@pytest.mark.parametrize(
    ('options', 'sentence'),
    [
        (dict(depths=(2, 2)), 'one entry for each stage'),
        (dict(patch_size=2), r'strides must be \(patch_size, 2, 2, ...\)'),
        (dict(num_heads=(3, 6, 12, 24)), 'num_heads=3 does not divide'),
        (dict(out_indices=(0, 4)), 'between 0 and 3'),
        (dict(shifted_windows='roll'), "found 'roll'"),
        (dict(attention='local'), "found 'local'"),
        (dict(attention='global'), 'use_rel_pos_bias=False'),
        (dict(pretrained='a', init_cfg=dict(type='Pretrained', checkpoint='b')), 'not both'),
        (dict(pretrained=123), r'a path or an address, found 123; leave'),
        (dict(pretrained=False), r'a path or an address, found False'),
        (
            dict(pretrain_img_size=(224, 224, 3)),
            r'\(height, width\) in pixels, from 4 on, found \(224, 224, 3\)',
        ),
        (dict(pretrain_img_size=0, use_abs_pos_embed=True), r'in pixels, from 4 on, found 0'),
        (dict(pretrain_img_size='224'), r"in pixels, from 4 on, found '224'"),
        (dict(embed_dims=-16), r'embed_dims of SwinBackbone must be a whole number .*found -16'),
    ],
)
def test_arguments__contradictions_have_a_sentence(options, sentence):
    with pytest.raises(ArchitectureError, match=sentence):
        SwinBackbone(**{**TINY, **options})


@pytest.mark.parametrize(
    ('drop_rate', 'activation'), [(0.0, 'GELU'), (0.3, 'GELU'), (0.0, 'RReLU')]
)
def test_mlp__keeps_the_hidden_channels_once_for_the_gradient(drop_rate, activation):
    options = dict(act_cfg=dict(type=activation), drop_rate=drop_rate)
    mlp = MLP(8, 32, **options).double()
    x = torch.randn(2, 5, 7, 8, dtype=torch.float64, requires_grad=True)
    sizes = []

    def count(saved):
        sizes.append(saved.numel())
        return saved

    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda saved: saved):
        found = mlp(x)
    torch.manual_seed(1)
    expected = mlp.layers(x)  # every layer with the tensors of its own
    assert sizes.count(2 * 5 * 7 * 32) <= 1
    torch.testing.assert_close(found, expected)
    leaves = [x, *mlp.parameters()]
    direction = torch.randn_like(expected)
    for ours, plain in zip(
        torch.autograd.grad(found, leaves, direction),
        torch.autograd.grad(expected, leaves, direction),
        strict=True,
    ):
        torch.testing.assert_close(ours, plain)


def test_position_encoding__sides_of_the_pretraining_images():
    grids = [
        SwinBackbone(**TINY, use_abs_pos_embed=True, pretrain_img_size=size).position_grid
        for size in (32, (32,), [32, 48])
    ]
    assert grids == [(8, 8), (8, 8), (8, 12)]
