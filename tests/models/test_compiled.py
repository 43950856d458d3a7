"""Networks that are compiled for the sizes of images that come again, and computed as ever for all others."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from swinseg.errors import ConfigError
from swinseg.models.compiled import CompiledForSizes, compile_for_inference, parts_of

# Traced as inductor's, and then run as it is.
TRACED = dict(dynamic=False, backend='eager')


pytestmark = pytest.mark.usefixtures('compiled_graphs')


def graphs():
    return counters['stats']['unique_graphs']


def maps(side):
    return [torch.ones(1, 2, side, side), torch.ones(1, 2, side // 2, side // 2)]


@torch.inference_mode()
def test_compiled_for_sizes__the_first_ones_that_come_again():
    function = CompiledForSizes(lambda inputs: sum(x.sum() for x in inputs) + 1, TRACED, sizes=2)
    expected = {side: 2 * (side**2 + (side // 2) ** 2) + 1 for side in (4, 6, 8, 10)}

    def call(side):
        assert function(maps(side)) == expected[side]
        return graphs()

    assert [call(side) for side in (4, 6, 8, 10)] == [0, 0, 0, 0]
    assert call(6) == 1
    assert call(6) == 1
    assert call(10) == 2
    # Two are enough.
    assert [call(side) for side in (4, 8, 6, 10, 4, 8)] == [2] * 6
    assert not counters['graph_break']


def test_compiled_for_sizes__results_of_replayed_graphs_are_copied(monkeypatch):
    memory = torch.zeros(2)

    def replay(x):
        memory.add_(x)
        return [memory]

    monkeypatch.setattr(torch, 'compile', lambda function, **options: function)
    for options, expected in (({}, [3.0, 3.0]), (dict(mode='reduce-overhead'), [2.0, 2.0])):
        memory.zero_()
        function = CompiledForSizes(replay, options)
        _, (second,), _ = (function(torch.ones(2)) for _ in range(3))
        assert second.tolist() == expected


def test_compile_for_inference__parts_and_nothing_where_it_is_off():
    model = nn.Module()
    model.backbone, model.decode_head = nn.Conv2d(3, 2, 1), nn.ModuleList([nn.ReLU(), nn.Tanh()])
    model.neck = None
    assert list(parts_of(model)) == [model.backbone, *model.decode_head]
    compile_for_inference(model, False)
    assert not any('forward' in vars(part) for part in parts_of(model))
    compile_for_inference(model, TRACED)
    x = torch.randn(1, 3, 5, 5)
    with torch.inference_mode():
        first, second = ([head(model.backbone(x)) for head in model.decode_head] for _ in range(2))
    assert graphs() == 3
    torch.testing.assert_close(first, second)


def test_compile_for_inference__other_settings():
    model = SimpleNamespace(parameters=lambda: iter([torch.zeros(1)]))
    with pytest.raises(ConfigError, match=r'torch\.compile has no option speed'):
        compile_for_inference(model, dict(speed=9))
