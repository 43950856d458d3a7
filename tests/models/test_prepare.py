"""The prepared form of a model against the model and against stock mmsegmentation."""

import copy

import pytest
import torch
from torch import nn

from support.mmseg_pairs import TINY, VARIANTS, build_pair, build_segmentor, randomize
from swinseg import prepare_for_inference
from swinseg.errors import ArchitectureError
from swinseg.models import prepare
from swinseg.models.ops.packed_layers import (
    ActivatedLinear,
    FoldedConv1x1,
    PackedLinear,
    PackedPyramidConv,
    has_packed_linear,
)


def image(*size, seed=0):
    return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def small():
    # Wide enough for Winograd's algorithm.
    backbone = {**TINY, 'embed_dims': 32}
    stock, ours = build_pair(backbone, channels=64, num_classes=7)
    return stock.eval(), ours.eval()


@pytest.mark.parametrize('winograd', [True, False])
@pytest.mark.parametrize('packed', [True, False])
@pytest.mark.parametrize('size', [(128, 160), (77, 45), (20, 23), (8, 8)])
def test_prepare_for_inference__equals_mmseg(small, size, packed, winograd, monkeypatch):
    if packed and not has_packed_linear():
        pytest.skip('no oneDNN')
    monkeypatch.setattr(prepare, '_packing_pays', lambda dtype: packed)
    monkeypatch.setattr(
        prepare, '_winograd_pays', lambda device, dtype, out_channels, in_channels: winograd
    )
    stock, ours = small
    prepared = prepare_for_inference(ours)
    assert any(isinstance(m, PackedLinear) for m in prepared.modules()) == packed
    with torch.inference_mode():
        expected, found = stock(image(*size)), prepared(image(*size))
    assert expected.abs().max() > 0.1
    assert (found - expected).abs().max() < 1e-4


@pytest.mark.parametrize('packed', [True, False])
def test_prepare_for_inference__second_version(packed, monkeypatch):
    if packed and not has_packed_linear():
        pytest.skip('no oneDNN')
    monkeypatch.setattr(prepare, '_packing_pays', lambda dtype: packed)
    backbone = {**TINY, 'window_size': 8, 'type': 'SwinV2Backbone'}
    model = build_segmentor(stock=False, backbone=backbone, channels=16, num_classes=7)
    randomize(model).eval()
    prepared = prepare_for_inference(model)
    assert not any(
        'cpb_mlp' in name or 'logit_scale' in name for name, _ in prepared.named_modules()
    )
    with torch.inference_mode():
        for size in ((128, 160), (77, 45), (20, 23)):
            expected, found = model(image(*size)), prepared(image(*size))
            assert (found - expected).abs().max() < 1e-4
        if not packed:
            low = prepare_for_inference(model, dtype=torch.bfloat16)(image(20, 23))
            assert low.dtype == torch.float32
            assert (low - expected).abs().max() < 0.1 * expected.abs().max()
    assert any('cpb_mlp' in name for name, _ in model.named_modules())  # as it was


@pytest.mark.full
def test_prepare_for_inference__equals_mmseg_at_full_width():
    stock, ours = build_pair(VARIANTS['T'])
    prepared = prepare_for_inference(ours.eval())
    with torch.inference_mode():
        expected, found = stock.eval()(image(131, 190)), prepared(image(131, 190))
    assert (found - expected).abs().max() < 1e-4
    assert not [m for m in prepared.modules() if isinstance(m, nn.Linear | nn.BatchNorm2d)]


@pytest.mark.parametrize('winograd', [True, False])
def test_prepare_for_inference__bfloat16_agrees(small, winograd, monkeypatch):
    monkeypatch.setattr(
        prepare, '_winograd_pays', lambda device, dtype, out_channels, in_channels: winograd
    )
    stock, ours = small
    prepared = prepare_for_inference(ours, torch.bfloat16)
    with torch.inference_mode():
        expected, found = stock(image(128, 160)), prepared(image(128, 160))
        with torch.autocast('cpu', dtype=torch.bfloat16):
            autocast = stock(image(128, 160))
    assert found.dtype == torch.float32
    error, usual = (found - expected).abs().mean(), (autocast.float() - expected).abs().mean()
    assert error < 2 * usual
    assert (found.argmax(1) == expected.argmax(1)).float().mean() > 0.9


def test_prepare_for_inference__leaves_the_model_as_it_was(small):
    _, ours = small
    before = copy.deepcopy(ours.state_dict())
    training = {name: module.training for name, module in ours.named_modules()}
    prepared = prepare_for_inference(ours, torch.bfloat16)
    after = ours.state_dict()
    assert list(before) == list(after)
    for name, value in before.items():
        assert torch.equal(value, after[name]), name
    assert {name: module.training for name, module in ours.named_modules()} == training
    assert all(parameter.requires_grad for parameter in ours.parameters())
    assert not any(parameter.requires_grad for parameter in prepared.parameters())
    assert prepared.auxiliary_head is None
    assert ours.auxiliary_head is not None


def test_prepare_for_inference__stock_models_keep_their_layers(small):
    stock, _ = small
    prepared = prepare_for_inference(stock)
    with torch.inference_mode():
        torch.testing.assert_close(prepared(image(64, 64)), stock(image(64, 64)))


def test_prepare_for_inference__convolutions_without_norm_and_group_norm():
    backbone = {**TINY, 'embed_dims': 32}
    for norm_cfg in (None, dict(type='GN', num_groups=4)):
        ours = build_segmentor(stock=False, backbone=backbone, channels=64, num_classes=7)
        head = ours.decode_head
        config = dict(
            in_channels=head.in_channels, in_index=[0, 1, 2, 3], channels=64, num_classes=7,
            norm_cfg=norm_cfg, align_corners=False,
        )  # fmt: skip
        ours.decode_head = type(head)(**config)
        randomize(ours).eval()
        prepared = prepare_for_inference(ours)
        folded = [m for m in prepared.modules() if isinstance(m, PackedPyramidConv | FoldedConv1x1)]
        assert bool(folded) == (norm_cfg is None)
        with torch.inference_mode():
            torch.testing.assert_close(
                prepared(image(96, 64)), ours(image(96, 64)), rtol=1e-4, atol=1e-4
            )


def test_prepare_for_inference__many_image_sizes_need_no_more_memory(small):
    _, ours = small
    prepared = prepare_for_inference(ours)
    held = sum(buffer.numel() for buffer in prepared.buffers())
    with torch.inference_mode():
        for side in range(40, 80, 4):
            assert prepared(image(side, side)).shape[2:] == (side // 4, side // 4)
    assert sum(buffer.numel() for buffer in prepared.buffers()) == held


def test_prepare_for_inference__bfloat16_on_a_processor_without_its_instructions(
    small, monkeypatch
):
    def refuse(weight, size):
        raise RuntimeError('bf16 path needs the cpu support avx512bw')

    monkeypatch.setattr(torch.ops.mkldnn, '_reorder_linear_weight', refuse)
    prepare._packing_pays.cache_clear()
    try:
        prepared = prepare_for_inference(small[1], torch.bfloat16)
    finally:
        prepare._packing_pays.cache_clear()
    assert not any(isinstance(module, PackedLinear) for module in prepared.modules())
    with torch.inference_mode():
        assert prepared(image(64, 64)).isfinite().all()


@pytest.mark.parametrize(
    ('parts', 'sentence'),
    [
        ({}, r'SwinTransformer .*SwinBackbone'),
        (
            dict(
                decode_head=dict(
                    type='LightHamHead', in_channels=[16, 32], in_index=[0, 1], channels=16,
                    ham_channels=16, num_classes=7,
                )
            ),
            r'LightHamHead .*leave the dtype out',
        ),
    ],
    ids=['all of mmseg', 'a head'],
)  # fmt: skip
def test_prepare_for_inference__what_has_no_half_precision(parts, sentence):
    model = build_segmentor(stock=parts == {}, backbone=TINY, channels=16, num_classes=7, **parts)
    with pytest.raises(ArchitectureError, match=sentence):
        prepare_for_inference(model, torch.bfloat16)
    prepare_for_inference(model)


def test_prepare_for_inference__refuses_other_types(small):
    with pytest.raises(ArchitectureError, match=r'expects dtype .* got torch\.float64'):
        prepare_for_inference(small[1], torch.float64)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('activation', ['none', 'gelu'])
@pytest.mark.parametrize('with_bias', [True, False])
def test_packed_linear__equals_the_plain_layer(dtype, activation, with_bias):
    if not has_packed_linear(dtype):
        pytest.skip('no oneDNN, or a processor that it does not pack this type for')
    weight, bias = torch.randn(24, 16).to(dtype), torch.randn(24).to(dtype) if with_bias else None
    packed = PackedLinear(weight, bias, activation=activation)
    plain = ActivatedLinear(weight, bias, activation=activation)
    for shape in ((16,), (5, 16), (2, 3, 4, 16)):
        x = torch.randn(shape).to(dtype)
        tolerance = 1e-5 if dtype == torch.float32 else 5e-2
        torch.testing.assert_close(packed(x), plain(x), rtol=tolerance, atol=tolerance)


def test_computes_bfloat16__of_this_processor_and_of_others():
    assert prepare.computes_bfloat16('cpu') in (False, True)
    assert prepare.computes_bfloat16('meta')


@pytest.mark.parametrize('pays', [False, True])
def test_fixed_kernels__are_taken_whatever_the_clock_says(monkeypatch, pays):
    monkeypatch.setattr(prepare, '_packing_pays', lambda dtype: pays)
    monkeypatch.setattr(prepare, '_winograd_pays', lambda *layer: pays)
    usual = prepare.Kernels(packed=has_packed_linear(), winograd=True)
    assert prepare.usual_kernels(torch.float32) == usual
    assert prepare._takes_packing(torch.float32) is pays
    with prepare.fixed_kernels(prepare.Kernels(packed=False, winograd=not pays)):
        assert prepare._takes_packing(torch.float32) is False
        assert prepare._takes_winograd('cpu', torch.float32, 64, 64) is not pays
        # On other devices nothing is fixed.
        assert prepare._takes_winograd('cuda', torch.float32, 64, 64) is pays
    assert prepare._takes_packing(torch.float32) is pays
