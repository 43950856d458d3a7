"""The fast way of window attention against mmseg's and the plain one; what is kept, and when it is forgotten."""

import copy

import pytest
import torch
from mmseg.models.backbones.swin import ShiftWindowMSA

from support.mmseg_pairs import TINY, randomize
from swinseg.models import SwinBackbone
from swinseg.models.swin import window_geometry as geometry
from swinseg.models.swin.attention import ShiftedWindowAttention, WindowAttention

OPTIONS = dict(attention='window', embed_dims=12, num_heads=3)
TWO_STAGES = dict(
    embed_dims=16, depths=(2, 2), num_heads=(1, 2), strides=(4, 2), out_indices=(0, 1)
)


def layer(window=4, shift=2, *, kind='cyclic', **options):
    made = ShiftedWindowAttention(window, shift, shifted_windows=kind, **{**OPTIONS, **options})
    return randomize(made).eval()


@pytest.mark.parametrize('size', [(8, 12), (9, 14), (3, 3), (1, 17)], ids=str)
@pytest.mark.parametrize(('window', 'shift'), [(4, 0), (4, 2), (7, 3)])
def test_forward__equals_mmseg_with_gradients(size, window, shift):
    no_drop = dict(type='DropPath', drop_prob=0.0)
    stock = ShiftWindowMSA(12, 3, window, shift_size=shift, dropout_layer=no_drop).double()
    ours = layer(window, shift).double()
    stock.load_state_dict(ours.state_dict())
    x = torch.randn(2, *size, 12, dtype=torch.float64, requires_grad=True)
    same = x.detach().clone().requires_grad_()
    expected = stock(x.flatten(1, 2), size).view_as(x)
    found = ours(same)
    torch.testing.assert_close(found, expected)
    direction = torch.randn_like(found)
    expected.backward(direction)
    found.backward(direction)
    torch.testing.assert_close(same.grad, x.grad)
    for (name, p), q in zip(ours.named_parameters(), stock.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, msg=name)


@pytest.mark.parametrize('options', [dict(qkv_bias=False), dict(use_rel_pos_bias=False)], ids=str)
@pytest.mark.parametrize('shift', [0, 2])
def test_forward__fast_way_equals_the_plain_one(shift, options):
    fast = layer(4, shift, **options)
    x = torch.randn(2, 9, 10, 12)
    torch.testing.assert_close(fast(x), fast._attend_plainly(x))


def test_forward__dropout_of_the_weights_is_not_lost_in_training():
    dropping = layer(attn_drop_rate=0.5)
    x = torch.randn(1, 8, 8, 12)
    assert torch.equal(dropping(x), dropping(x))
    dropping.train()
    torch.manual_seed(0)
    first, second = dropping(x), dropping(x)
    assert not torch.allclose(first, second)
    torch.manual_seed(0)
    windows, mask = dropping._windows(x)
    assert torch.equal(first, put_back(dropping.w_msa(windows, mask)))


def put_back(windows):
    return torch.roll(geometry.merge_windows(windows, (8, 8), 4), (2, 2), (1, 2))


def test_forward__autocast_computes_in_its_type_in_both_directions():
    attention = layer()
    x = torch.randn(1, 9, 9, 12, requires_grad=True)
    with torch.autocast('cpu', torch.bfloat16):
        low = attention(x)
        assert low.dtype == torch.bfloat16
        low.float().square().sum().backward()
    found, x.grad = x.grad, None
    attention(x).square().sum().backward()
    assert (found - x.grad).norm() < 0.02 * x.grad.norm()


@pytest.mark.parametrize(
    'change',
    [
        lambda m: m.load_state_dict(randomize(copy.deepcopy(m), seed=5).state_dict()),
        lambda m: m.relative_position_bias_table.add_(1.5 * torch.arange(3)).mul_(-2),
        lambda m: m.half().float(),
        lambda m: (m.relative_position_bias_table.data.mul_(-2), m.eval()),
        lambda m: setattr(
            m, 'relative_position_bias_table', torch.nn.Parameter(torch.randn(49, 3))
        ),
    ],
    ids=['load_state_dict', 'in place', 'to', 'data, then eval', 'another parameter'],
)
def test_inference_bias__follows_the_table(change):
    attention = layer()
    x = torch.randn(1, 8, 8, 12)
    with torch.no_grad():
        attention(x)
        change(attention.w_msa)
        torch.testing.assert_close(attention(x), attention._attend_plainly(x))


def test_inference_bias__follows_a_training_step():
    attention = layer()
    x = torch.randn(1, 8, 8, 12)
    optimizer = torch.optim.SGD(attention.parameters(), lr=0.5)
    with torch.inference_mode():
        before = attention(x)
    attention(x).square().mean().backward()
    optimizer.step()
    with torch.inference_mode():
        after = attention(x)
        torch.testing.assert_close(after, attention._attend_plainly(x))
    assert not torch.allclose(before, after)


def test_inference_bias__is_computed_once_and_no_larger_for_a_larger_map(monkeypatch):
    calls = []
    compute = WindowAttention.relative_position_bias
    monkeypatch.setattr(
        WindowAttention, 'relative_position_bias', lambda self: calls.append(1) or compute(self)
    )
    attention = layer()
    with torch.no_grad():
        for side in (8, 9, 40):
            attention(torch.randn(1, side, side, 12))
    assert len(calls) == 1
    assert attention.w_msa._inference_bias[2].shape == (4, 3, 16, 16)


def test_caches__do_not_grow_with_the_number_of_sizes():
    backbone = randomize(SwinBackbone(**TINY)).eval()
    with torch.inference_mode():
        for side in range(32, 32 + 8 * 30, 8):
            backbone(torch.randn(1, 3, side, 32))
    for cache in (geometry._cached_plan, geometry._cached):
        info = cache.cache_info()
        assert info.currsize <= info.maxsize <= 64
    assert geometry._cached_plan.cache_info().misses > 64


def test_caches__made_under_inference_mode_serve_training():
    geometry._cached_plan.cache_clear()
    backbone = randomize(SwinBackbone(**TINY, with_cp=True))
    image = torch.randn(1, 3, 70, 90)
    with torch.inference_mode():
        expected = backbone.eval()(image)
    found = backbone(image)
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y.clone())
    sum(x.square().sum() for x in found).backward()
    assert all(torch.isfinite(p.grad).all() for p in backbone.parameters())


@pytest.mark.parametrize('kind', ['cyclic', 'padding'])
@pytest.mark.parametrize('shift', [0, 2])
def test_weights__reproduce_the_output(kind, shift):
    attention = layer(4, shift, kind=kind)
    x = torch.randn(2, 8, 12, 12)
    weights = attention.weights(x)
    windows = 12 if kind == 'padding' and shift else 6
    assert weights.shape == (2, windows, 3, 16, 16)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, windows, 3, 16))
    # Attention to the own token alone would be the identity; with these weights it is forward's output.
    cut, mask = attention._windows(x)
    v = attention.w_msa._query_key_value(cut)[2]
    mixed = (weights.flatten(0, 1) @ v).transpose(1, 2).reshape(cut.shape)
    torch.testing.assert_close(attention.w_msa.proj(mixed), attention.w_msa(cut, mask))


def test_weights__of_a_block_of_the_backbone():
    backbone = randomize(SwinBackbone(**TINY)).eval()
    image = torch.randn(2, 3, 96, 64)
    weights = backbone.attention_weights(image, stage=1, block=1)
    # 12 x 8 tokens in windows of 7.
    assert weights.shape == (2, 4, 2, 49, 49)
    seen = []
    block = backbone.stages[1].blocks[1].attn
    block.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].clone()))
    with torch.no_grad():
        backbone(image)
        torch.testing.assert_close(weights, block.weights(seen[0]))


def test_export__gives_the_same_numbers():
    backbone = randomize(SwinBackbone(**TWO_STAGES)).eval()
    image = torch.randn(1, 3, 40, 52)
    with torch.no_grad():
        expected = backbone(image)
        program = torch.export.export(backbone, (image,))
        for x, y in zip(program.module()(image), expected, strict=True):
            torch.testing.assert_close(x, y)
        # The exporter's stand-ins for tensors have not entered a cache.
        for x, y in zip(backbone(image), expected, strict=True):
            assert torch.equal(x, y)


@pytest.mark.slow
@pytest.mark.parametrize('training', [False, pytest.param(True, marks=pytest.mark.full)])
def test_compile__gives_the_same_numbers_in_one_graph(training):
    backbone = randomize(SwinBackbone(**TWO_STAGES, drop_path_rate=0.0)).train(training)
    image = torch.randn(1, 3, 40, 52)
    compiled = torch.compile(backbone, backend='aot_eager', fullgraph=True)
    with torch.set_grad_enabled(training):
        expected, found = backbone(image), compiled(image)
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y)
    if training:
        parameters = list(backbone.parameters())
        gradients = [
            torch.autograd.grad(sum(x.square().sum() for x in y), parameters)
            for y in (expected, found)
        ]
        for x, y in zip(*gradients, strict=True):
            torch.testing.assert_close(x, y, atol=1e-4, rtol=1e-4)
