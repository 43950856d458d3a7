"""The names of layers in the graph and in both kinds of files."""

import pytest

from swinseg.exporting import onnx_file, openvino_file
from swinseg.exporting.graph import Graph
from swinseg.exporting.plain_conv import direct_convolutions
from swinseg.exporting.quantizing.layers import named, nodes_of, operations_of, weights_of
from swinseg_runtime.openvino_core import openvino_core


def test_named():
    block = '/backbone/stages.0.1'
    nodes = [
        ('/head/joined/Conv', 'head.joined.weight'),
        ('/head/joined/MatMul_12', 'onnx::MatMul_3'),
        ('/head/joined/MatMul', 'onnx::MatMul_1'),
        ('/head/joined/MatMul_3', 'onnx::MatMul_2'),
        (f'{block}/attention/MatMul', 'onnx::MatMul_4'),
        (f'{block}/attention/proj/MatMul', 'onnx::MatMul_7'),
        (f'{block}/mlp/mlp.2/MatMul', 'onnx::MatMul_8'),
    ]
    assert named(nodes) == {
        'head.joined': '/head/joined/Conv',
        'head.joined.mixing0': '/head/joined/MatMul',
        'head.joined.mixing1': '/head/joined/MatMul_3',
        'head.joined.mixing2': '/head/joined/MatMul_12',
        'backbone.stages.0.1.attention': f'{block}/attention/MatMul',
        'backbone.stages.0.1.attention.proj': f'{block}/attention/proj/MatMul',
        'backbone.stages.0.1.mlp.2': f'{block}/mlp/mlp.2/MatMul',
    }


@pytest.mark.parametrize('size', [pytest.param(None, marks=pytest.mark.full), (32, 40)])
def test_layers__are_named_alike_everywhere(make_model, tmp_path, size):
    onnx = pytest.importorskip('onnx')
    graph = Graph(make_model(), input='tensor', output='labels').eval()
    path = tmp_path / 'model.onnx'
    with direct_convolutions():
        onnx_file.write(graph, path, size=size, opset=17, metadata={'swinseg_version': '0'})
    layers = set(weights_of(graph))
    # Five blocks of four, three mergings, the patches; three and three convolutions of levels, four pooled ones,
    # two pyramids of five and four, the classifier.
    assert len(layers) == 5 * 4 + 3 + 1 + 3 + 3 + 4 + 5 + 4 + 1
    assert set(nodes_of(onnx.load(path))) == layers
    pytest.importorskip('openvino')
    openvino_file.write(path, tmp_path / 'model.xml', metadata={})
    # Matrices that average and upsample are constants of a graph for one size, but no layers.
    assert set(operations_of(openvino_core().read_model(tmp_path / 'model.xml'))) == layers
