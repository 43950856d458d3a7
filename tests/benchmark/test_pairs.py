"""Stock and own models from one config."""

import copy

import pytest
import torch
from mmseg.models import EncoderDecoder
from mmseg.models.backbones import SwinTransformer
from mmseg.models.decode_heads import UPerHead

from swinseg.benchmark.pairs import build_pair, config_of, draw_image, names_of, with_stock_types
from swinseg.benchmark.timm_backbone import TimmSwinV2
from swinseg.config.shipped import shipped_folder
from swinseg.errors import BenchmarkError
from swinseg.models import SwinBackbone, SwinSegmentor, SwinV2Backbone, UPerNetHead


def test_build_pair__has_both_kinds_with_the_same_weights_and_numbers(small_config):
    pair = build_pair('small', small_config)
    assert type(pair.stock) is EncoderDecoder
    assert type(pair.stock.backbone) is SwinTransformer
    assert type(pair.stock.decode_head) is UPerHead
    assert type(pair.ours) is SwinSegmentor
    assert type(pair.ours.backbone) is SwinBackbone
    assert type(pair.ours.decode_head) is UPerNetHead
    image = draw_image(1, 3, 64, 96)
    with torch.no_grad():
        stock, ours = pair.stock(image), pair.ours(image)
    assert (stock - ours).abs().max() < 1e-4
    assert 3 < stock.abs().max() < 30


def test_build_pair__is_the_same_whatever_was_drawn_before(small_config):
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(build_pair('small', small_config).stock.state_dict())
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


def test_build_pair__nothing_is_random_in_training(small_config):
    pair = build_pair('small', small_config, checkpointing=True)
    for model in (pair.stock, pair.ours):
        assert all(block.with_cp for stage in model.backbone.stages for block in stage.blocks)
        image = draw_image(2, 3, 64, 64)
        first, second = (model.train()(image) for _ in range(2))
        assert torch.equal(first, second)


def test_with_stock_types__leaves_the_config_as_it_was(small_config):
    settings = config_of('small', small_config).model
    before = copy.deepcopy(settings)
    stock = with_stock_types(settings)
    assert settings == before
    assert stock.backbone.type == 'SwinTransformer'
    assert stock.backbone.depths == before.backbone.depths


@pytest.mark.parametrize('variant', ['T', 'S', 'B', 'L'])
def test_config_of__each_variant(variant):
    model = config_of(variant).model
    assert model.decode_head.in_channels[0] == model.backbone.embed_dims


def test_config_of__another_letter():
    with pytest.raises(BenchmarkError, match=r"one of T, S, B, L, found 'X'; try --variants T"):
        config_of('X')


def test_names_of__are_checked_before_anything_is_measured(small_config):
    assert names_of(('T', 'B'), None) == ('T', 'B')
    assert names_of(('T', 'B'), small_config) == ('small',)
    with pytest.raises(BenchmarkError, match="found 'X'"):
        names_of(('T', 'X'), None)


def test_draw_image__the_same_for_the_same_seed():
    assert torch.equal(draw_image(2, 3, seed=5), draw_image(2, 3, seed=5))
    assert not torch.equal(draw_image(2, 3, seed=5), draw_image(2, 3, seed=6))


def test_build_pair__second_version_stands_beside_timm(tmp_path):
    pytest.importorskip('timm')
    path = tmp_path / 'narrow.py'
    path.write_text(
        f"_base_ = '{shipped_folder() / 'upernet_swinv2_t_w8_ade20k.py'}'\n"
        'model = dict(\n'
        '    backbone=dict(embed_dims=16, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8], window_size=4),\n'
        '    decode_head=dict(in_channels=[16, 32, 64, 128], channels=16),\n'
        '    auxiliary_head=dict(in_channels=64, channels=16),\n'
        ')\n'
    )
    pair = build_pair('narrow', str(path))
    assert type(pair.stock.backbone) is TimmSwinV2
    assert type(pair.ours.backbone) is SwinV2Backbone
    image = draw_image(1, 3, 256, 256)
    with torch.no_grad():
        expected, found = pair.stock(image), pair.ours(image)
    assert (found - expected).abs().max() < 1e-4
