from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from safetensors.torch import save_file
from torch import nn

from swinseg.checkpoints import formats
from swinseg.checkpoints.loading import load_backbone_weights, load_weights
from swinseg.errors import CheckpointError

KINDS = ['mmseg', 'swinseg']
BACKBONES = {'mmseg': 'SwinTransformer', 'swinseg': 'SwinBackbone'}


@pytest.fixture
def trained(build_segmentor, randomize):
    model = build_segmentor('mmseg')
    randomize(model)
    return model


def assert_equal_states(model, other):
    expected = other.state_dict()
    for key, value in model.state_dict().items():
        assert torch.equal(value, expected[key]), key


def sentence_of(load, *arguments, **options) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(*arguments, **options)
    message = str(caught.value)
    assert '\n' not in message
    return message


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize('target', ['mmseg', 'official', 'huggingface', 'huggingface-v5'])
def test_load_weights__segmentor_of_every_format(
    kind, suffix, target, trained, build_segmentor, tmp_path
):
    path = tmp_path / f'weights{suffix}'
    weights = formats.from_mmseg(trained.state_dict(), target)
    if suffix == '.pth':
        torch.save({'meta': {'iter': 1}, 'state_dict': weights}, path)
    else:
        save_file(weights, path)
    model = build_segmentor(kind)
    receipt = load_weights(model, path, strict=True)
    assert_equal_states(model, trained)
    assert receipt.format == target
    assert receipt.backbone_fraction == 1
    assert receipt.missing == receipt.unexpected == receipt.resized == ()
    assert receipt.mismatched == {}
    assert receipt.source == str(path)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('target', ['official', 'timm', 'torchvision'])
def test_load_weights__classifier_starts_a_segmentor(kind, target, trained, build_segmentor):
    """As in mmseg, the output norms and the heads begin fresh."""
    weights = formats.from_mmseg(formats.backbone_part(trained.state_dict()), target)
    weights['head.weight'] = torch.ones(1000, 128)
    if target == 'official':
        weights = {key: value for key, value in weights.items() if not re.match(r'norm\d', key)}
    model = build_segmentor(kind)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    receipt = load_weights(model, weights)
    assert 0.99 < receipt.backbone_fraction < 1
    own = trained.state_dict()
    for key, value in model.state_dict().items():
        fresh = not key.startswith('backbone.') or re.match(r'backbone\.norm\d', key)
        assert torch.equal(value, before[key] if fresh else own[key]), key
        assert (key in receipt.missing) == bool(fresh)


def test_load_weights__takes_the_whole_checkpoint(trained, build_segmentor):
    model = build_segmentor('swinseg')
    load_weights(model, {'meta': {}, 'state_dict': trained.state_dict()}, strict=True)
    assert_equal_states(model, trained)


@pytest.mark.parametrize('kind', KINDS)
def test_load_backbone_weights__of_a_segmentor(kind, trained, build_backbone):
    backbone = build_backbone(BACKBONES[kind])
    receipt = load_backbone_weights(backbone, trained.state_dict())
    assert_equal_states(backbone, trained.backbone)
    assert receipt.backbone_fraction == 1


def test_load_backbone_weights__resizes_like_mmseg(trained, build_backbone, tmp_path):
    weights = formats.backbone_part(trained.state_dict())
    stock = build_backbone('SwinTransformer', window_size=5)
    path = tmp_path / 'window4.pth'
    # mmseg would load the file's index for the other window, which is why it is left out.
    torch.save({key: v for key, v in weights.items() if 'position_index' not in key}, path)
    stock.init_cfg = {'type': 'Pretrained', 'checkpoint': str(path)}
    stock.init_weights()
    ours = build_backbone('SwinBackbone', window_size=5)
    receipt = load_backbone_weights(ours, weights)
    assert_equal_states(ours, stock)
    assert len(receipt.resized) == 9
    assert receipt.backbone_fraction == 1


def test_load_backbone_weights__resizes_absolute_positions(build_backbone, randomize):
    small = build_backbone('SwinBackbone', use_abs_pos_embed=True, pretrain_img_size=64)
    randomize(small)
    large = build_backbone('SwinBackbone', use_abs_pos_embed=True, pretrain_img_size=128)
    receipt = load_backbone_weights(large, small.state_dict())
    assert receipt.resized == ('absolute_pos_embed',)
    # Bicubic resizing keeps the mean of a noise image about where it is, and its place.
    ours = large.absolute_pos_embed.view(32, 32, 16)[::2, ::2] + 0.0
    theirs = small.absolute_pos_embed.view(16, 16, 16)
    assert torch.corrcoef(torch.stack([ours.flatten(), theirs.flatten()]))[0, 1] > 0.8


def test_receipt__prints_what_happened(trained, build_segmentor, capsys):
    weights = dict(trained.state_dict())
    weights['backbone.extra.weight'] = torch.ones(2)
    model = build_segmentor('mmseg', num_classes=3, window_size=5)
    receipt = load_weights(model, weights, logger=None)
    printed = capsys.readouterr().out
    assert printed == f'{receipt}\n'
    assert 'filled: 100.00% of the backbone' in printed
    assert 'resized to this window or image size: backbone.stages.0.blocks.0.attn' in printed
    assert 'in the file, not in the model: backbone.extra.weight' in printed
    assert 'decode_head.conv_seg.bias is (7,) in the file, (3,) in the model' in printed


def test_load_weights__head_for_other_classes(trained, build_segmentor):
    model = build_segmentor('swinseg', num_classes=3)
    before = model.decode_head.conv_seg.weight.clone()
    receipt = load_weights(model, trained.state_dict())
    assert set(receipt.mismatched) == {
        f'{head}.conv_seg.{leaf}'
        for head in ('decode_head', 'auxiliary_head')
        for leaf in ('weight', 'bias')
    }
    assert torch.equal(model.decode_head.conv_seg.weight, before)
    assert torch.equal(
        model.decode_head.fpn_bottleneck.conv.weight,
        trained.decode_head.fpn_bottleneck.conv.weight,
    )
    message = sentence_of(
        load_weights, build_segmentor('swinseg', num_classes=3), trained.state_dict(), strict=True
    )
    assert '7 classes in the file and 3 in the model, set num_classes=7' in message


def test_load_weights__strict(trained, build_segmentor):
    weights = trained.state_dict()
    headless = {key: v for key, v in weights.items() if not key.startswith('decode_head.')}
    message = sentence_of(load_weights, build_segmentor(), headless, strict=True)
    assert 'does not fit the whole model; missing: decode_head.conv_seg.weight' in message
    # The auxiliary head only trains, so published files may come without it.
    without = {key: v for key, v in weights.items() if not key.startswith('auxiliary_head.')}
    receipt = load_weights(build_segmentor(), without, strict=True)
    assert all(key.startswith('auxiliary_head.') for key in receipt.missing)


@pytest.mark.parametrize('kind', KINDS)
def test_load_weights__half_of_the_backbone_missing(kind, trained, build_segmentor):
    weights = {
        key: value
        for key, value in trained.state_dict().items()
        if not key.startswith('backbone.stages.3.')
    }
    model = build_segmentor(kind)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    message = sentence_of(load_weights, model, weights)
    share = float(re.search(r'fills ([\d.]+)% of the backbone where 99% are needed', message)[1])
    assert 20 < share < 60
    assert 'missing: backbone.stages.3.blocks.0.norm1.weight' in message
    assert 'to use this file set' not in message
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    receipt = load_weights(model, weights, minimum_backbone=0.2)
    assert round(100 * receipt.backbone_fraction, 1) == share


def test_load_weights__fraction_counts_numbers_not_keys(trained, build_segmentor):
    """The last MLP is one key in a hundred and a seventh of the parameters."""
    weights = dict(trained.state_dict())
    del weights['backbone.stages.3.blocks.1.ffn.layers.0.0.weight']
    model = build_segmentor()
    sizes = {key: value.numel() for key, value in model.backbone.named_parameters()}
    lost = sizes['stages.3.blocks.1.ffn.layers.0.0.weight'] / sum(sizes.values())
    message = sentence_of(load_weights, model, weights)
    assert f'fills {100 * (1 - lost):.1f}%' in message


@pytest.mark.parametrize(
    ('changes', 'differs', 'looks_like'),
    [
        ({'embed_dims': 32}, 'fills', 'embed_dims 32, depths 2-2-3-2, num_heads 1-2-4-8, window 4'),
        ({'depths': (2, 2, 5, 2)}, 'another network (depths differs)', 'depths 2-2-5-2'),
        ({'num_heads': (2, 4, 8, 16)}, 'another network (num_heads differs)', 'num_heads 2-4-8-16'),
    ],
)
def test_load_backbone_weights__another_architecture(changes, differs, looks_like, build_backbone):
    """Deeper weights would fill the model completely, and other head counts only miss small tables."""
    other = build_backbone(**changes)
    model = build_backbone('SwinBackbone')
    message = sentence_of(load_backbone_weights, model, other.state_dict())
    assert differs in message
    assert (
        f'the file looks like a Swin Transformer: {looks_like}' in message or looks_like in message
    )
    assert 'the model is a Swin Transformer: embed_dims 16, depths 2-2-3-2' in message
    change = message.split('to use this file set ')[1]
    config: dict = {}
    exec(change, config)  # the change is there to be pasted
    load_backbone_weights(
        build_backbone('SwinBackbone', **config['model']['backbone']), other.state_dict()
    )


def test_load_backbone_weights__names_the_published_variant(build_backbone):
    swin_b = build_backbone(
        embed_dims=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32), window_size=12
    )
    message = sentence_of(load_backbone_weights, build_backbone(), swin_b.state_dict())
    assert (
        'looks like Swin-B: embed_dims 128, depths 2-2-18-2, num_heads 4-8-16-32, window 12'
        in message
    )
    assert 'decode_head=dict(in_channels=[128, 256, 512, 1024])' in message
    assert 'auxiliary_head=dict(in_channels=512)' in message


def test_load_backbone_weights__fewer_stages_in_the_model(trained, build_backbone):
    backbone = build_backbone(
        'SwinBackbone',
        depths=(2, 2, 3),
        num_heads=(1, 2, 4),
        strides=(4, 2, 2),
        out_indices=(0, 1, 2),
    )
    receipt = load_backbone_weights(backbone, trained.state_dict())
    assert receipt.backbone_fraction == 1
    assert any(key.startswith('stages.3.') for key in receipt.unexpected)


@pytest.mark.parametrize('bands', [1, 2, 4, 6])
def test_load_backbone_weights__other_bands(bands, trained, build_backbone):
    """A common way to begin with more bands: all alike, they activate what they did as colors, and it says so."""
    backbone = build_backbone('SwinBackbone', in_channels=bands)
    receipt = load_backbone_weights(backbone, trained.state_dict())
    key = 'patch_embed.projection.weight'
    assert receipt.mismatched == {}
    assert dict(receipt.inflated) == {key: (3, bands)}
    assert f'from 3 bands to {bands} ' in str(receipt)
    kernel, colors = backbone.state_dict()[key], trained.state_dict()[f'backbone.{key}']
    assert kernel.shape == (16, bands, 4, 4)
    if bands == 4:
        assert torch.equal(kernel[:, :3], colors * 0.75)
    if bands == 1:
        gray = torch.rand(2, 1, 8, 8)
        expected = F.conv2d(gray.expand(-1, 3, -1, -1), colors)
        torch.testing.assert_close(F.conv2d(gray, kernel), expected)
    if bands % 3 == 0:
        torch.testing.assert_close(kernel.sum(1), colors.sum(1))


def test_load_backbone_weights__other_bands_left_as_initialized(trained, build_backbone):
    backbone = build_backbone('SwinBackbone', in_channels=5)
    key = 'patch_embed.projection.weight'
    before = backbone.state_dict()[key].clone()
    receipt = load_backbone_weights(backbone, trained.state_dict(), inflate=False)
    assert dict(receipt.mismatched) == {key: ((16, 3, 4, 4), (16, 5, 4, 4))}
    assert torch.equal(backbone.state_dict()[key], before)


def test_load_weights__other_bands(trained, build_segmentor):
    """They begin a training; for use a model must have the bands that it was trained on."""
    model = build_segmentor('swinseg', in_channels=4)
    receipt = load_weights(model, trained.state_dict())
    assert dict(receipt.inflated) == {'backbone.patch_embed.projection.weight': (3, 4)}
    message = sentence_of(load_weights, model, trained.state_dict(), strict=True)
    assert 'trained on images of 3 bands, but the model takes 4' in message


def test_load_backbone_weights__without_position_bias(trained, build_backbone):
    backbone = build_backbone('SwinBackbone', use_rel_pos_bias=False)
    receipt = load_backbone_weights(backbone, trained.state_dict())
    assert receipt.backbone_fraction == 1


def test_load_weights__strict_uses_the_whole_file(trained, build_segmentor):
    model = build_segmentor('swinseg', use_rel_pos_bias=False)
    message = sentence_of(load_weights, model, trained.state_dict(), strict=True)
    assert 'the model has no place for backbone.stages.0.blocks.0.attn.w_msa.relative' in message
    weights = {**trained.state_dict(), 'auxiliary_head.other.weight': torch.ones(1)}
    load_weights(build_segmentor('swinseg'), weights, strict=True)


def test_receipt__is_short_when_nothing_fits(build_backbone, capsys):
    other = build_backbone(embed_dims=32).state_dict()
    sentence_of(load_backbone_weights, build_backbone(), other, logger=None)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) < 10
    assert re.fullmatch(r'  and \d+ more of another shape', printed[-1])


def test_load_weights__values_not_finite(trained, build_segmentor):
    weights = {key: value.clone() for key, value in trained.state_dict().items()}
    weights['backbone.norm1.bias'][3] = float('nan')
    message = sentence_of(load_weights, build_segmentor(), weights)
    assert 'backbone.norm1.bias has values that are not finite' in message


def test_load_weights__unknown_format_names_the_file(build_segmentor, tmp_path):
    path = tmp_path / 'resnet50.pth'
    torch.save({'layer1.0.conv1.weight': torch.ones(3)}, path)
    message = sentence_of(load_weights, build_segmentor(), path)
    assert message.startswith(f'{path}: the weights are of no known format')


def test_load_weights__half_precision_file(trained, build_segmentor):
    weights = {
        key: value.half() if value.is_floating_point() else value
        for key, value in trained.state_dict().items()
    }
    model = build_segmentor('swinseg')
    load_weights(model, weights, strict=True)
    weight = model.decode_head.conv_seg.weight
    assert weight.dtype == torch.float32
    torch.testing.assert_close(weight, trained.decode_head.conv_seg.weight, atol=2e-3, rtol=1e-3)


OTHER_BACKBONES = {
    'MiT': dict(
        type='MixVisionTransformer', embed_dims=16, num_layers=[1, 1, 1, 1], num_heads=[1, 2, 4, 8],
        patch_sizes=[7, 3, 3, 3], sr_ratios=[8, 4, 2, 1], out_indices=(0, 1, 2, 3),
    ),
    'ResNet': dict(type='ResNetV1c', depth=18, base_channels=16, norm_cfg=dict(type='BN')),
    'PCPVT': dict(
        type='PCPVT', embed_dims=[16, 32, 64, 128], num_heads=[1, 2, 4, 8], depths=[1, 1, 1, 1],
        sr_ratios=[8, 4, 2, 1], norm_after_stage=False,
    ),
}  # fmt: skip


@pytest.fixture
def build_other():
    def build(kind: str) -> nn.Module:
        head = dict(
            type='UPerNetHead', in_channels=[16, 32, 64, 128], in_index=[0, 1, 2, 3], channels=8,
            num_classes=7, norm_cfg=dict(type='BN'), align_corners=False,
        )  # fmt: skip
        model = dict(type='SwinSegmentor', backbone=OTHER_BACKBONES[kind], decode_head=head)
        return MODELS.build(model).eval()

    return build


@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize('kind', OTHER_BACKBONES)
def test_load_weights__another_backbone_has_the_names_of_the_model(
    kind, prefix, build_other, randomize
):
    trained, model = build_other(kind), build_other(kind)
    randomize(trained)
    weights = {f'{prefix}{key}': value for key, value in trained.state_dict().items()}
    receipt = load_weights(model, {'state_dict': weights}, strict=True)
    assert_equal_states(model, trained)
    assert (receipt.format, receipt.backbone_fraction) == ('own', 1)
    assert 'in the names of the model' in str(receipt)


def test_load_weights__another_backbone_alone(build_other, randomize):
    trained, model = build_other('ResNet'), build_other('ResNet')
    randomize(trained)
    receipt = load_weights(model, trained.backbone.state_dict())
    assert_equal_states(model.backbone, trained.backbone)
    assert all(key.startswith('decode_head.') for key in receipt.missing)


def test_load_weights__another_backbone_must_be_filled(build_other):
    model = build_other('MiT')
    half = {
        key: value
        for i, (key, value) in enumerate(model.state_dict().items())
        if i % 2 or not key.startswith('backbone.')
    }
    sentence = r'the state dict fills \d\d?\.\d% of the backbone where 99% are needed; missing: backbone\.layers'
    assert re.search(sentence, sentence_of(load_weights, model, half))
    for other in (build_other('ResNet').state_dict(), {'conv1.weight': torch.ones(1)}):
        message = sentence_of(load_weights, model, other)
        assert re.search(r'fills 0\.0% of the backbone|of no known format', message)


def test_load_weights__a_number_in_the_place_of_the_classifier(trained, build_segmentor):
    weights = {**trained.state_dict(), 'decode_head.conv_seg.weight': torch.tensor(1.0)}
    message = sentence_of(load_weights, build_segmentor('swinseg'), weights, strict=True)
    assert 'decode_head.conv_seg.weight is () in the file and (7, 24, 1, 1) in the model' in message
