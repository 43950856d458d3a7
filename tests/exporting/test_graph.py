"""The exportable form beside the model, in PyTorch."""

import numpy as np
import pytest
import torch
from mmseg.structures import SegDataSample
from torch import nn

from swinseg.errors import ArchitectureError
from swinseg.exporting.graph import Graph, float32_on_cpu, reference_logits
from swinseg.exporting.plain_backbone import PlainBackbone
from swinseg.exporting.sizes import fixed_sizes
from swinseg.models import UPerNetHead
from swinseg.models.postprocess import predict_labels

SIZES = [(1, 64, 96), (2, 97, 61), (1, 20, 17), (1, 3, 5)]
GN = dict(type='GN', num_groups=4)


@pytest.mark.parametrize('stock', [False, True])
@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(backbone=dict(window_size=12)),
        dict(backbone=dict(qkv_bias=False, patch_norm=False, act_cfg=dict(type='ReLU'))),
        dict(head=dict(norm_cfg=GN, align_corners=True)),
        dict(head=dict(channels=64, norm_cfg=dict(type='BN'))),
        dict(head=dict(norm_cfg=None, pool_scales=(1, 4), in_index=[0, 2, 3], in_channels=[16, 64, 128])),
    ],
    ids=['plain', 'window 12', 'no bias', 'GN, align_corners', 'Winograd', 'three levels'],
)  # fmt: skip
def test_graph__has_the_models_logits(make_model, stock, options):
    model = make_model(stock=stock, **options)
    graph = Graph(model, input='tensor', output='labels').eval()
    for size in SIZES:
        given = graph.example(*size)
        with torch.no_grad():
            expected = reference_logits(model, given)
            _, found = graph(given)
            with fixed_sizes():
                _, fixed = graph(given)
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max().clamp(min=1)
        assert (fixed - found).abs().max() < 1e-5 * expected.abs().max().clamp(min=1)


@pytest.mark.parametrize(
    'backbone', [dict(use_rel_pos_bias=False), dict(shifted_windows='none')], ids=str
)
def test_graph__ablations(make_model, backbone):
    model = make_model(backbone=backbone)
    graph = Graph(model, input='tensor', output='labels').eval()
    given = graph.example(1, 45, 70)
    with torch.no_grad():
        assert torch.allclose(graph(given)[-1], reference_logits(model, given), atol=1e-4)


@pytest.mark.parametrize(
    'options', [dict(window_size=4), dict(window_size=7), dict(qkv_bias=False)], ids=str
)
def test_graph__second_version(make_model, options):
    """Sizes with several windows, with one along an axis, filled up or not, and maps smaller than a window."""
    model = make_model(backbone=dict(type='SwinV2Backbone', **options))
    graph = Graph(model, input='tensor', output='labels').eval()
    for size in [*SIZES, (1, 128, 128), (1, 28, 224)]:
        given = graph.example(*size)
        with torch.no_grad():
            expected = reference_logits(model, given)
            _, found = graph(given)
            with fixed_sizes():
                _, fixed = graph(given)
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max().clamp(min=1)
        assert (fixed - found).abs().max() < 1e-5 * expected.abs().max().clamp(min=1)


@pytest.mark.parametrize('is_rgb', [True, False])
def test_graph__images_are_normalized_as_the_preprocessor_does(make_model, is_rgb):
    preprocessor = dict(type='SegDataPreProcessor', mean=[120.0, 110, 100], std=[60.0, 55, 50])
    model = make_model(head={})
    model.data_preprocessor = type(model.data_preprocessor)(
        **{k: v for k, v in preprocessor.items() if k != 'type'}, bgr_to_rgb=is_rgb
    )
    graph = Graph(model, input='image', output='labels')
    rgb = graph.example(1, 6, 8)
    bgr = rgb[0].permute(2, 0, 1).flip(0).contiguous()
    data = {'inputs': [bgr], 'data_samples': [SegDataSample()]}
    expected = model.data_preprocessor(data, False)['inputs']
    assert torch.allclose(graph.normalized(rgb), expected, atol=1e-6)
    assert graph.normalization.mean == ([120, 110, 100] if is_rgb else [100, 110, 120])


@pytest.mark.parametrize('num_classes', [5, 1, 300])
def test_outputs__are_those_of_prediction(make_model, num_classes):
    head = dict(num_classes=num_classes)
    if num_classes == 1:
        head.update(num_classes=2, out_channels=1, threshold=0.4)
    model = make_model(head=head, auxiliary_head=None)
    kinds = ('confidence', 'probabilities')
    graphs = [Graph(model, input='tensor', output=each).eval() for each in kinds]
    given = graphs[0].example(1, 37, 50)
    with torch.no_grad():
        labels, confidence, logits = graphs[0](given)
        probabilities, _ = graphs[1](given)
    wide = torch.empty(probabilities.shape[1:])
    expected = predict_labels(
        logits[0], (37, 50), threshold=graphs[0].threshold, with_confidence=True, probabilities=wide
    )
    assert labels.dtype == expected[0].dtype
    assert labels[0].equal(expected[0])
    assert torch.allclose(confidence[0], expected[1], atol=1e-6)
    assert torch.allclose(probabilities[0], wide, atol=1e-6)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_in_dtype__computes_the_same_in_fewer_digits(make_model, dtype):
    model = make_model()
    graph = Graph(model, input='image', output='confidence').eval()
    half = graph.in_dtype(dtype)
    # Wider than integers that have a place of their own in half precision.
    given = graph.smooth_example(1, 33, 4200)
    with torch.no_grad():
        labels, confidence, logits = graph(given)
        found, probability, scores = half(given)
    assert next(model.parameters()).dtype == torch.float32
    assert {each.dtype for each in half.backbone.parameters()} == {dtype}
    assert (scores.dtype, probability.dtype) == (torch.float32, torch.float32)
    bound = {torch.float16: 0.005, torch.bfloat16: 0.04}[dtype]
    assert 0 < (scores - logits).abs().max() < bound * logits.abs().max()
    assert (found != labels).float().mean() < 0.02
    assert (probability - confidence).abs().max() < 0.05
    assert half.normalized(given).equal(graph.normalized(given))


@pytest.mark.parametrize('input', ['image', 'tensor'])
def test_smooth_example__has_neighbors_alike(make_model, input):
    graph = Graph(make_model(), input=input, output='labels')
    smooth, noise = (make(1, 64, 48).float() for make in (graph.smooth_example, graph.example))
    assert smooth.shape == noise.shape
    assert smooth.std() > 0.3 * noise.std()
    steps = [each.diff(dim=2).abs().mean() / each.std() for each in (smooth, noise)]
    assert steps[0] < 0.15 * steps[1]


def test_graph__leaves_the_model_as_it_was(make_model):
    model = make_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    Graph(model, input='image', output='labels')
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert float32_on_cpu(model) is model
    half = make_model().bfloat16()
    assert next(float32_on_cpu(half).parameters()).dtype == torch.float32
    assert next(half.parameters()).dtype == torch.bfloat16


class OwnHead(UPerNetHead):
    """A head that may compute anything."""


def test_graph__parts_without_a_plain_form(make_model):
    custom = make_model()
    custom.decode_head.__class__ = OwnHead
    deformed = make_model()
    conv = deformed.decode_head.fpn_convs[0].conv
    deformed.decode_head.fpn_convs[0].conv = nn.Conv2d(16, 16, 3, padding=2, dilation=2)
    assert conv.kernel_size == (3, 3)
    cases = [
        (custom, 'type UPerNetHead or UPerHead to export, found OwnHead'),
        (deformed, 'a convolution Conv2d.* that has no exportable form'),
        (make_model(backbone=dict(use_abs_pos_embed=True)), 'use_abs_pos_embed=True'),
        (
            make_model(backbone=dict(attention='global', use_rel_pos_bias=False)),
            "attention='global'",
        ),
        (make_model(backbone=dict(shifted_windows='padding')), "shifted_windows='padding'"),
    ]
    for model, sentence in cases:
        with pytest.raises(ArchitectureError, match=sentence):
            Graph(model, input='tensor', output='labels')
    normalization = dict(type='SegDataPreProcessor', mean=[120.0], std=[60.0])
    model = make_model(backbone=dict(in_channels=4), data_preprocessor=normalization)
    assert Graph(model, input='tensor', output='labels').example(1, 8, 9).shape == (1, 4, 8, 9)
    with pytest.raises(ArchitectureError, match="takes 4 channels; use input='tensor'"):
        Graph(model, input='image', output='labels')


def test_plain_backbone__only_the_stages_that_are_used(make_model):
    head = dict(in_channels=[16, 64], in_index=[0, 1])
    backbone = dict(out_indices=(0, 2))
    model = make_model(backbone=backbone, head=head, auxiliary_head=None)
    plain = PlainBackbone(model.backbone)
    given = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, 50, 41))).float()
    with torch.no_grad():
        pairs = list(zip(plain(given), model.backbone(given), strict=True))
    assert [tuple(found.shape) for found, _ in pairs] == [(1, 16, 13, 11), (1, 64, 4, 3)]
    assert all(torch.allclose(found, expected, atol=1e-4) for found, expected in pairs)
