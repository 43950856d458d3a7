"""The second version against timm, torchvision and Hugging Face, with the same weights moved both ways."""

import math

import pytest
import torch
from mmengine.config import ConfigDict

from support.mmseg_pairs import randomize
from support.swin_v2_peers import NARROW, VARIANTS, Peer, largest_difference, ours_of
from swinseg.checkpoints import load_backbone_weights
from swinseg.errors import ArchitectureError, CheckpointError
from swinseg.models import SwinBackbone, SwinV2Backbone
from swinseg.models.feature_info import FeatureInfo, fsdp_units, layer_groups, swin_layer_groups

BAR = 1e-4
TINY = {**NARROW, 'window_size': 4}


def image(*size, batch=1):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
@pytest.mark.parametrize(
    ('library', 'built_for', 'size'),
    [
        # The published training size: one window in the last stage, which none of them shifts.
        ('timm', (256, 256), (256, 256)),
        ('torchvision', (256, 256), (256, 256)),
        ('huggingface', (256, 256), (256, 256)),
        # Sizes that the window does not divide. timm rolls before it pads, and is left out.
        ('torchvision', (256, 256), (300, 404)),
        ('huggingface', (512, 512), (301, 402)),
        # Maps that are smaller than a window, square or along one axis.
        ('timm', (96, 96), (96, 96)),
        ('timm', (512, 128), (512, 128)),
        ('timm', (64, 32), (64, 32)),
        ('huggingface', (96, 96), (96, 96)),
    ],
    ids=str,
)
def test_forward__equals_peers(library, built_for, size):
    peer = Peer(library, built_for, NARROW)
    ours = ours_of(peer, NARROW)
    x = image(*size)
    assert largest_difference(ours(x), peer(x)) < BAR


@torch.no_grad()
@pytest.mark.parametrize(
    'options',
    [
        dict(window_size=16, pretrained_window_sizes=(12, 12, 12, 6)),
        dict(window_size=24, pretrained_window_sizes=(12, 12, 12, 6)),
        dict(window_size=16, pretrained_window_sizes=(16, 16, 16, 8)),
        dict(window_size=4, qkv_bias=False),
    ],
    ids=str,
)
@pytest.mark.parametrize('library', ['timm', 'huggingface'])
def test_forward__options_equal_peers(library, options):
    options = {**NARROW, **options}
    side = 192 if options['window_size'] == 24 else 256  # which the windows divide, or contain
    peer = Peer(library, (side, side), options)
    ours = ours_of(peer, options)
    x = image(side, side)
    assert largest_difference(ours(x), peer(x)) < BAR


@torch.no_grad()
@pytest.mark.full
@pytest.mark.parametrize('library', ['timm', 'huggingface'])
@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize('factor', [1, 2])
def test_forward__published_widths_equal_peers(library, variant, factor):
    options = VARIANTS[variant]
    side = factor * (
        384 if options['window_size'] == 24 else 256
    )  # the published size, and twice that
    peer = Peer(library, (side, side), options)
    ours = ours_of(peer, options)
    x = image(side, side)
    found = largest_difference(ours(x), peer(x))
    print(f'SwinV2-{variant}, {side} x {side}, {library}: {found:.1e} of the largest feature')
    assert found < BAR


@torch.no_grad()
def test_forward__pads_before_it_rolls_unlike_timm():
    """At a size that the window does not divide, timm lets opposite borders attend to each other."""
    peer = Peer('timm', (144, 144), TINY)
    ours = ours_of(peer, TINY)
    x = image(144, 144)
    found, expected = ours(x), peer(x)  # 36 tokens are 9 windows, 18 are no whole number
    assert largest_difference(found[:1], expected[:1]) < BAR
    assert largest_difference(found, expected) > 100 * BAR
    torchvision = Peer('torchvision', (144, 144), TINY)
    torchvision.model.load_state_dict(_as_torchvision(ours), strict=False)
    assert largest_difference(found[:2], torchvision(x)[:2]) < BAR


def _as_torchvision(ours):
    from swinseg.checkpoints import from_mmseg

    return from_mmseg(ours.state_dict(), 'torchvision')


@torch.no_grad()
@pytest.mark.parametrize('size', [(1, 1), (20, 23), (28, 225), (131, 62)], ids=str)
def test_forward__any_size_is_finite_and_as_wide_as_published(size):
    backbone = randomize(SwinV2Backbone(**TINY)).eval()
    maps = backbone(image(*size, batch=2))
    sides = [tuple(math.ceil(side / stride) for side in size) for stride in (4, 8, 16, 32)]
    assert [x.shape for x in maps] == [(2, 16 << i, *side) for i, side in enumerate(sides)]
    assert all(torch.isfinite(x).all() for x in maps)
    infos = [FeatureInfo(16 << i, 4 << i) for i in range(4)]
    assert list(backbone.feature_info) == infos


def test_forward__gradients_of_the_fast_way_are_those_of_the_plain_one():
    backbone = randomize(SwinV2Backbone(**TINY, drop_path_rate=0.0)).double().train()
    x = image(70, 100).double()
    gradients = []
    for drop in (0.0, 1e-300):  # with any dropout of the weights the plain way is taken
        for stage in backbone.stages:
            for block in stage.blocks:
                block.attn.w_msa.attn_drop.p = drop
        backbone.zero_grad()
        sum(y.square().mean() for y in backbone(x)).backward()
        gradients.append({name: p.grad.clone() for name, p in backbone.named_parameters()})
    for name, value in gradients[0].items():
        torch.testing.assert_close(value, gradients[1][name], rtol=1e-7, atol=1e-9, msg=name)


def test_forward__checkpointing_changes_no_gradient():
    plain = randomize(SwinV2Backbone(**TINY, drop_path_rate=0.0))
    recomputing = SwinV2Backbone(**TINY, drop_path_rate=0.0, with_cp=True)
    recomputing.load_state_dict(plain.state_dict())
    for model in (plain, recomputing):
        sum(x.square().sum() for x in model.train()(image(50, 70))).backward()
    for (name, x), y in zip(plain.named_parameters(), recomputing.parameters(), strict=True):
        torch.testing.assert_close(x.grad, y.grad, msg=name)


def test_forward__stochastic_depth_drops_a_branch_behind_its_norm():
    backbone = randomize(SwinV2Backbone(**TINY, drop_path_rate=0.9)).train()
    (block,) = (backbone.stages[3].blocks[1],)
    x = torch.randn(64, 4, 4, 128)
    torch.manual_seed(0)
    found = block(x)
    unchanged = (found == x).flatten(1).all(1).sum()
    assert 40 < unchanged < 64  # 0.9 squared of the images


@torch.no_grad()
def test_init_weights__a_fresh_block_changes_nothing():
    backbone = SwinV2Backbone(**TINY).eval()
    backbone.init_weights()
    x = torch.randn(1, 9, 6, 16)
    assert torch.equal(backbone.stages[0](x), x)
    attention = backbone.stages[0].blocks[0].attn.w_msa
    torch.testing.assert_close(attention.scale_of_heads(), torch.full((1,), 10.0))
    assert attention.q_bias.abs().max() == 0
    assert attention.cpb_mlp[0].weight.std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize('stages', [0, 1, 3])
def test_frozen_stages__stay_frozen_in_training(stages):
    backbone = SwinV2Backbone(**TINY, frozen_stages=stages).train()
    for name, parameter in backbone.named_parameters():
        stage = name.split('.')[1 if name.startswith('stages') else 0].removeprefix('norm')
        is_frozen = name.startswith('patch_embed') or int(stage) < stages
        assert parameter.requires_grad != is_frozen, name


def test_layers_and_units__are_those_of_the_first_version():
    backbone = SwinV2Backbone(**TINY)
    assert layer_groups(backbone) == swin_layer_groups(TINY['depths'])
    assert len(fsdp_units(backbone)) == sum(TINY['depths']) + 3


def test_state_dict__names_written_down_by_hand():
    """Parameters alone: what depends on the window is computed, so a file fits every window."""
    names = SwinV2Backbone(**TINY).state_dict()
    of_attention = {
        key.removeprefix('stages.0.blocks.1.attn.'): tuple(value.shape)
        for key, value in names.items()
        if key.startswith('stages.0.blocks.1.attn.')
    }
    assert of_attention == {
        'w_msa.logit_scale': (1, 1, 1),
        'w_msa.cpb_mlp.0.weight': (512, 2),
        'w_msa.cpb_mlp.0.bias': (512,),
        'w_msa.cpb_mlp.2.weight': (1, 512),
        'w_msa.q_bias': (16,),
        'w_msa.v_bias': (16,),
        'w_msa.qkv.weight': (48, 16),
        'w_msa.proj.weight': (16, 16),
        'w_msa.proj.bias': (16,),
    }
    assert names['stages.0.downsample.norm.weight'].shape == (32,)
    assert names.keys() == SwinV2Backbone(**{**TINY, 'window_size': 24}).state_dict().keys()


@torch.no_grad()
def test_init_cfg__another_window_by_the_pretrained_one(tmp_path):
    """From window 6 to 12: a difference of positions has the same bias in both."""
    small = randomize(SwinV2Backbone(**{**TINY, 'window_size': 6}))
    torch.save(small.state_dict(), tmp_path / 'small.pth')
    large = SwinV2Backbone(
        **{**TINY, 'window_size': 12},
        pretrained_window_sizes=(6, 6, 6, 6),
        init_cfg=ConfigDict(type='Pretrained', checkpoint=str(tmp_path / 'small.pth')),
    )
    large.init_weights()
    ours, theirs = (
        model.stages[1].blocks[0].attn.w_msa.relative_position_bias() for model in (large, small)
    )
    corner = ours.view(2, 12, 12, 12, 12)[:, :6, :6, :6, :6].reshape(2, 36, 36)
    torch.testing.assert_close(corner, theirs)


def test_load_weights__of_the_other_version_are_refused():
    """They would fill nearly all of it."""
    wide = dict(embed_dims=64, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8))
    first, second = SwinBackbone(**wide), SwinV2Backbone(**wide)
    for model, file in ((second, first), (first, second)):
        with pytest.raises(CheckpointError, match=r'[Vv]ersion|another network|fills') as error:
            load_backbone_weights(model, file.state_dict(), minimum=0.5, logger='silent')
        assert f"backbone=dict(type='{type(file).__name__}', embed_dims=64" in str(error.value)
        assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'options',
    [
        *(dict(window_size=value) for value in (0, 8.0, True, '8', (8, 8), None)),
        *(
            dict(pretrained_window_sizes=value)
            for value in (8, (8, 8, 8), (8, 8, 8, -1), (8, 8, 8, 8.0), '8888', ())
        ),
        dict(depths=(1, 0, 1, 1)),
        dict(drop_path_rate=1.0),
        dict(frozen_stages=9),
        dict(pretrain_img_size=0),
    ],
    ids=str,
)
def test_arguments__are_refused_by_name(options):
    (name,) = options
    with pytest.raises(ArchitectureError, match=f'^{name} of SwinV2Backbone must be .*, found '):
        SwinV2Backbone(**{**TINY, **options})


@pytest.mark.parametrize(
    'options',
    [
        dict(window_size=1),
        dict(window_size=1, pretrained_window_sizes=(1, 1, 1, 1)),
        dict(pretrained_window_sizes=[0, 0, 0, 2]),
        dict(use_abs_pos_embed=True, pretrain_img_size=64),
        dict(patch_norm=False, out_indices=(1, 3)),
    ],
    ids=str,
)
def test_arguments__at_the_limits_are_taken(options):
    backbone = randomize(SwinV2Backbone(**{**TINY, **options})).eval()
    assert all(torch.isfinite(x).all() for x in backbone(image(40, 72)))


def test_attention_weights__of_a_block():
    backbone = randomize(SwinV2Backbone(**TINY)).eval()
    weights = backbone.attention_weights(image(96, 8, batch=2), stage=0, block=1)
    # 24 x 2 tokens in windows of 4 x 2.
    assert weights.shape == (2, 6, 1, 8, 8)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 6, 1, 8))
