"""The error of the logits when one layer is in int8."""

import pytest
import torch

from swinseg.exporting.graph import Graph
from swinseg.exporting.quantizing.layers import weights_of
from swinseg.exporting.quantizing.sensitivity import measure_sensitivities


@pytest.fixture
def graph(make_model):
    return Graph(make_model(), input='tensor', output='labels').eval()


def test_measure_sensitivities__every_layer_once(graph):
    before = {name: weight.clone() for name, weight in weights_of(graph).items()}
    ranked = measure_sensitivities(graph, [graph.example(1, 32, 40), graph.example(1, 20, 17)])
    assert {each.layer for each in ranked} == set(before)
    assert len(ranked) == len(before)
    assert all(0 < each.error < 0.1 for each in ranked)
    ratios = [each.error / each.multiply_adds for each in ranked]
    assert ratios == sorted(ratios, reverse=True)
    assert all(torch.equal(weight, before[name]) for name, weight in weights_of(graph).items())


def test_measure_sensitivities__multiply_adds(graph):
    ranked = measure_sensitivities(graph, [graph.example(2, 32, 40)])
    found = {each.layer: each.multiply_adds for each in ranked}
    assert found['backbone.projection'] == 2 * 8 * 10 * 16 * 3 * 4 * 4
    assert found['backbone.stages.0.0.mlp.0'] == 2 * 8 * 10 * 16 * 64
    assert found['head.classifier'] == 2 * 8 * 10 * 16 * 5


def test_measure_sensitivities__finds_the_layer_with_an_outlier(graph):
    """One channel 1000 times the others leaves them no steps; the model computes what it did."""
    mlp = graph.backbone.stages[2][0].mlp
    given = graph.example(1, 32, 40)
    with torch.no_grad():
        mlp[1] = torch.nn.ReLU()
        before = graph(given)[-1]
        mlp[0].weight[3] *= 1e3
        mlp[0].bias[3] *= 1e3
        mlp[2].weight[:, 3] /= 1e3
        assert torch.allclose(graph(given)[-1], before, rtol=1e-3, atol=1e-4)
    worst = measure_sensitivities(graph, [given])[0]
    assert worst.layer == 'backbone.stages.2.0.mlp.2'
