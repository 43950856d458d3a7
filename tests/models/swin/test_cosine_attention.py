"""Attention of the second version: its equations written out, the fast way and the plain one, its constants."""

import copy
import itertools
import math

import pytest
import torch

from support.mmseg_pairs import randomize
from swinseg.models.swin import window_geometry as geometry
from swinseg.models.swin.cosine_attention import CosineWindowAttention, ShiftedCosineAttention


def layer(window=4, shift=2, **options):
    made = ShiftedCosineAttention(
        window,
        shift,
        shifted_windows='cyclic',
        attention='window',
        embed_dims=12,
        num_heads=3,
        **options,
    )
    return randomize(made).eval()


def test_weights__are_those_of_the_equations():
    """Liu et al. 2022, equations 2 to 4, pair by pair, in Python's numbers."""
    window, unit = 3, 5
    attention = CosineWindowAttention(4, 2, window, pretrained_window_size=unit)
    randomize(attention).double()
    attention.logit_scale.data[:] = torch.tensor([1.0, 9.0])[
        :, None, None
    ]  # the second is too large
    tokens = torch.randn(1, window**2, 4, dtype=torch.float64)
    found = attention.weights(tokens)[0]
    first, _, last = attention.cpb_mlp
    weight = attention.qkv.weight

    def spaced(difference):
        return math.copysign(
            math.log2(1 + abs(8 * difference / (unit - 1))) / math.log2(8), difference
        )

    places = list(itertools.product(range(window), repeat=2))
    for head, scale in enumerate([math.e, 100.0]):
        channels = slice(2 * head, 2 * head + 2)
        q = tokens[0] @ weight[:4][channels].T + attention.q_bias[channels]
        k = tokens[0] @ weight[4:8][channels].T
        for i, (y, x) in enumerate(places):
            scores = []
            for j, (v, u) in enumerate(places):
                spread = torch.tensor([spaced(y - v), spaced(x - u)], dtype=torch.float64)
                hidden = (first.weight @ spread + first.bias).clamp(min=0)
                bias = 16 / (1 + torch.exp(-(last.weight[head] @ hidden)))
                scores.append(scale * (q[i] @ k[j]) / (q[i].norm() * k[j].norm()) + bias)
            torch.testing.assert_close(
                found[head, i], torch.stack(scores).softmax(0), atol=1e-6, rtol=1e-5
            )


def test_relative_log_coordinates__at_the_ends_and_in_the_middle():
    table = geometry.relative_log_coordinates(8, 8)
    assert table.shape == (225, 2)
    # The largest difference is 8 in the published code's units, whose logarithm is a little more than 1.
    torch.testing.assert_close(table[0], torch.full((2,), -math.log2(9) / 3))
    assert table[112].abs().max() == 0
    # Rows are in the order of the index of pairs: token 0 and the last one.
    index = geometry.relative_position_index(8)
    assert torch.equal(table[index[63, 0]], -table[index[0, 63]])
    assert torch.equal(table[index[0, 1]], -table[index[1, 0]])
    assert table[index[0, 1]][0] == 0 > table[index[0, 1]][1]


@pytest.mark.parametrize(
    ('size', 'expected'),
    [
        ((9, 20), ((8, 8), (4, 4))),
        ((8, 20), ((8, 8), (0, 4))),
        ((5, 8), ((5, 8), (0, 0))),
        ((30, 1), ((8, 1), (4, 0))),
    ],
)
def test_fitted__is_no_larger_than_the_map(size, expected):
    assert geometry.fitted(size, 8, 4) == expected


@pytest.mark.parametrize('options', [{}, dict(qkv_bias=False)], ids=str)
@pytest.mark.parametrize('size', [(8, 12), (9, 14), (3, 3), (1, 17), (4, 9)], ids=str)
@pytest.mark.parametrize(('window', 'shift'), [(4, 0), (4, 2), (7, 3)])
def test_forward__fast_way_equals_the_plain_one(size, window, shift, options):
    attention = layer(window, shift, **options).double()
    tokens = torch.randn(2, *size, 12, dtype=torch.float64, requires_grad=True)
    inputs = [tokens, *attention.parameters()]
    plain, fast = attention._attend_plainly(tokens), attention(tokens)
    torch.testing.assert_close(fast, plain)
    with torch.no_grad():
        torch.testing.assert_close(attention(tokens), plain)
    direction = torch.randn_like(fast)
    gradients = [torch.autograd.grad(each, inputs, direction) for each in (plain, fast)]
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected)


def test_forward__a_map_of_one_window_is_not_cut_by_the_shift():
    shifted, still = layer(8, 4), layer(8, 0)
    still.load_state_dict(shifted.state_dict())
    tokens = torch.randn(1, 8, 8, 12)
    assert torch.equal(shifted(tokens), still(tokens))
    assert not torch.allclose(
        shifted(torch.cat([tokens, tokens], 1)), still(torch.cat([tokens, tokens], 1))
    )


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_forward__low_precision_stays_within_its_rounding(dtype):
    attention = layer()
    tokens = torch.randn(1, 9, 9, 12, requires_grad=True)
    with torch.autocast('cpu', dtype):
        low = attention(tokens)
        assert low.dtype == dtype
        low.float().square().sum().backward()
    found, tokens.grad = tokens.grad, None
    attention(tokens).square().sum().backward()
    assert (found - tokens.grad).norm() < 0.05 * tokens.grad.norm()


@pytest.mark.parametrize(
    'change',
    [
        lambda m: m.load_state_dict(randomize(copy.deepcopy(m), seed=5).state_dict()),
        lambda m: m.cpb_mlp[2].weight.mul_(-3),
        lambda m: (m.cpb_mlp[0].bias.data.add_(1), m.eval()),
        lambda m: m.logit_scale.sub_(1),
    ],
    ids=['load_state_dict', 'in place', 'data, then eval', 'scale'],
)
def test_inference_bias__follows_the_parameters(change):
    attention = layer()
    tokens = torch.randn(1, 8, 8, 12)
    with torch.no_grad():
        before = attention(tokens)
        change(attention.w_msa)
        after = attention(tokens)
        torch.testing.assert_close(after, attention._attend_plainly(tokens))
    assert not torch.allclose(before, after)


@pytest.mark.parametrize('options', [{}, dict(qkv_bias=False)], ids=str)
def test_fold__leaves_constants_in_float32(options):
    attention = layer(**options)
    tokens = torch.randn(2, 9, 10, 12)
    with torch.no_grad():
        expected = attention(tokens)
        folded = copy.deepcopy(attention)
        folded.w_msa.fold()
        folded.w_msa.fold()  # a second time changes nothing
        torch.testing.assert_close(folded(tokens), expected)
        half = folded.bfloat16()
        assert half.w_msa.relative_position_table().dtype == torch.float32
        assert half(tokens.bfloat16()).dtype == torch.bfloat16
    names = {name for name, _ in folded.w_msa.named_parameters()}
    assert names <= {'qkv.weight', 'qkv.bias', 'proj.weight', 'proj.bias'}
    assert 'cpb_mlp.0.weight' in dict(attention.w_msa.named_parameters())
