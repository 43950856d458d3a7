"""Programs that PyTorch runs without the model's code."""

import zipfile

import numpy as np
import pytest
import torch

from swinseg.errors import ExportError
from swinseg.exporting import export_model, torch_files
from swinseg.exporting.graph import Graph, reference_logits
from swinseg.exporting.scale import Scale
from swinseg.exporting.targets import TARGETS
from swinseg.runtimes.torch_programs import EXTRA, is_aotinductor, open_pt2

CLASSES = ('sky', 'tall tree', 'road', 'car', 'water')


def assert_equal(path, target, graph, model, sizes):
    program = TARGETS[target].runtime(path)
    for size in sizes:
        given = graph.example(*size, seed=7)
        (logits,) = program.logits([given.numpy()])
        with torch.no_grad():
            expected = reference_logits(model, graph.normalized(given))
            *outputs, _ = graph(given)
        assert np.abs(logits - expected.numpy()).max() < 1e-4 * expected.abs().max()
        for output, array in zip(outputs, program.outputs(given.numpy()), strict=True):
            assert array.dtype == output.numpy().dtype
            assert array.shape == tuple(output.shape)
            assert np.mean(np.abs(array.astype(float) - output.numpy()) > 1e-3) < 1e-3


@pytest.mark.parametrize('target', ['torch-export', 'torchscript'])
def test_export_model__for_one_size(target, make_model, tmp_path):
    model, path = make_model(), tmp_path / f'model{TARGETS[target].suffix}'
    exported = export_model(
        model, path, to=target, input='image', output='confidence', size=(35, 50), classes=CLASSES
    )
    assert sorted(exported.files) == sorted(tmp_path.iterdir())
    assert exported.opset is None
    assert 'nodes, 0' not in str(exported)
    graph = Graph(model, input='image', output='confidence').eval()
    assert_equal(path, target, graph, model, [(1, 35, 50)])
    program = TARGETS[target].runtime(path)
    assert program.metadata.classes == CLASSES
    with zipfile.ZipFile(path) as archive:
        assert any(name.endswith(f'extra/{EXTRA}') for name in archive.namelist())
        parts = [archive.read(name) for name in archive.namelist()]
    # No path of the machine that it was made on.
    assert not any(b'plain_backbone.py' in part for part in parts)


@pytest.mark.parametrize(
    'kind', ['SwinTransformer', pytest.param('SwinV2Backbone', marks=pytest.mark.full)]
)
def test_torchscript__for_any_batch_and_size(make_model, tmp_path, kind):
    stock = kind == 'SwinTransformer'
    model = make_model(stock=stock, backbone=dict(type=kind))
    path = tmp_path / 'model.torchscript'
    export_model(model, path, to='torchscript', classes=CLASSES)
    graph = Graph(model, input='tensor', output='labels').eval()
    assert_equal(path, 'torchscript', graph, model, [(4, 50, 71), (1, 9, 130), (1, 1, 1)])


@pytest.mark.full
@pytest.mark.parametrize('kind', ['SwinBackbone', 'SwinV2Backbone'])
def test_torch_export__for_any_batch_and_size(make_model, tmp_path, kind):
    model, path = make_model(backbone=dict(type=kind)), tmp_path / 'model.pt2'
    export_model(model, path, to='torch-export', classes=CLASSES)
    assert not is_aotinductor(path)
    graph = Graph(model, input='tensor', output='labels').eval()
    assert_equal(path, 'torch-export', graph, model, [(4, 50, 71), (1, 9, 130), (1, 1, 1)])


@pytest.mark.full
def test_aotinductor(make_model, tmp_path):
    model, path = make_model(), tmp_path / 'model.pt2'
    exported = export_model(model, path, to='aotinductor', size=(35, 50), classes=CLASSES)
    assert is_aotinductor(path)
    assert exported.nodes > 100
    graph = Graph(model, input='tensor', output='labels').eval()
    assert_equal(path, 'aotinductor', graph, model, [(1, 35, 50)])
    assert open_pt2(path).metadata.classes == CLASSES


def test_aotinductor__no_compiler(make_model, tmp_path):
    from torch._inductor import config

    path = tmp_path / 'model.pt2'
    options = dict(to='aotinductor', size=(35, 50), classes=CLASSES)
    with (
        config.patch({'cpp.cxx': ('no-such-compiler-of-anyone',)}),
        pytest.raises(ExportError, match=r'needs a C\+\+ compiler, .* install g\+\+'),
    ):
        export_model(make_model(), path, **options)
    assert list(tmp_path.iterdir()) == []


def test_torch_export__sizes_that_it_cannot_follow(make_model, tmp_path):
    scale = Scale(64, 32, keep_ratio=True)
    graph = Graph(make_model(), input='image', output='labels', scale=scale)
    with pytest.raises(ExportError, match='cannot follow the size of an image that is resized'):
        torch_files.write_torch_export(graph, tmp_path / 'model.pt2', size=None, metadata={})


@pytest.mark.parametrize('dtype', [pytest.param('float16', marks=pytest.mark.full), 'bfloat16'])
def test_export_model__half(make_model, tmp_path, dtype):
    model, path = make_model(), tmp_path / 'model.torchscript'
    options = dict(to='torchscript', dtype=dtype, size=(40, 64), classes=CLASSES)
    exported = export_model(model, path, **options)
    assert f'{dtype}, ' in str(exported)
    assert {each.dtype for each in torch.jit.load(path).parameters()} == {getattr(torch, dtype)}
    assert TARGETS['torchscript'].runtime(path).metadata.dtype == dtype
