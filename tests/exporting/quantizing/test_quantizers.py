"""Files in int8, run in their runtimes beside float."""

import os

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from swinseg.exporting import targets
from swinseg.exporting.graph import Graph
from swinseg.exporting.plain_conv import direct_convolutions
from swinseg.exporting.quantizing import openvino_int8
from swinseg.exporting.quantizing.int8 import ALWAYS_FLOAT
from swinseg.exporting.quantizing.layers import weights_of
from swinseg.runtimes.metadata import Metadata

METADATA = Metadata(
    classes=tuple('abcde'),
    palette=((0, 0, 0),) * 5,
    mean=(120.0, 110.0, 100.0),
    std=(60.0, 55.0, 50.0),
    channel_order='RGB',
    input='tensor',
    output='labels',
    size=None,
    stride=32,
    resizes=False,
    checkpoint_sha256=None,
)


@pytest.fixture(params=['onnx', pytest.param('openvino', marks=pytest.mark.full)])
def target(request):
    found = targets.TARGETS[request.param]
    for package in (*found.needs, *found.quantizer_needs):
        pytest.importorskip(package)
    return found


def smooth(batch, height, width, *, seed):
    """Return images without the noise that no layer is made for, normalized."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn((batch, 3, 5, 6), generator=generator)
    return F.interpolate(coarse, size=(height, width), mode='bicubic')


def open_file(target, path):
    return target.runtime(path, device='cpu', threads=1)


def write_float(graph, folder, target):
    folder.mkdir()
    source = folder / f'model{target.suffix}'
    settings = targets.Settings(size=None, opset=17, dtype='float32')
    with direct_convolutions():
        target.write(graph, source, METADATA, settings)
    return source


def test_quantize__computes_nearly_what_float_does(make_model, tmp_path, target):
    graph = Graph(make_model(), input='tensor', output='labels').eval()
    source = write_float(graph, tmp_path / 'float', target)
    path = tmp_path / 'int8' / source.name
    path.parent.mkdir()
    inputs = [smooth(1, 64, 80, seed=seed).numpy() for seed in range(3)]
    nodes = target.quantizer(source, path, inputs=inputs, float_layers=ALWAYS_FLOAT)
    assert nodes > 1000
    weights = [file for file in path.parent.iterdir() if file.suffix in ('.bin', '.onnx')]
    floats = source.with_suffix('.bin') if target.suffix == '.xml' else source
    assert sum(file.stat().st_size for file in weights) < 0.7 * floats.stat().st_size
    runtime = open_file(target, path)
    # Other images, sizes and batches than those of the calibration.
    for size in ((1, 64, 80), (2, 45, 70), (1, 20, 17)):
        given = smooth(*size, seed=7)
        with torch.no_grad():
            labels, logits = graph(given)
        (found,) = runtime.outputs(given.numpy())
        assert found.dtype == np.uint8
        assert np.mean(found == labels.numpy()) > 0.85
        (inside,) = runtime.logits([given.numpy()])
        error = np.abs(inside - logits.numpy()).mean() / logits.abs().mean()
        # Not float's, and not far from it: 0.16 was the largest of NNCF.
        assert 1e-4 < error < (0.1 if target.suffix == '.onnx' else 0.25)


def test_quantize__layers_that_stay_in_float(make_model, tmp_path, target):
    graph = Graph(make_model(), input='tensor', output='labels').eval()
    source = write_float(graph, tmp_path / 'float', target)
    path = tmp_path / source.name
    inputs = [smooth(1, 32, 40, seed=0).numpy()]
    target.quantizer(source, path, inputs=inputs, float_layers=list(weights_of(graph)))
    given = smooth(1, 45, 70, seed=1)
    with torch.no_grad():
        logits = graph(given)[-1].numpy()
    (found,) = open_file(target, path).logits([given.numpy()])
    assert np.abs(found - logits).max() < 1e-4 * np.abs(logits).max()


def test_quiet_nncf__leaves_the_environment_as_it_was(monkeypatch):
    pytest.importorskip('nncf')
    monkeypatch.delenv('NNCF_CI', raising=False)
    with openvino_int8._quiet_nncf() as nncf:
        assert nncf.__name__ == 'nncf'
    assert 'NNCF_CI' not in os.environ
