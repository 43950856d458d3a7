"""The graphs of stock mmseg and of swinseg in ONNX Runtime and OpenVINO."""

import tempfile

import pytest
import torch

from swinseg.benchmark import exported
from swinseg.benchmark.pairs import build_pair, draw_image


def test_missing__names_what_is_not_installed(monkeypatch):
    monkeypatch.setitem(exported.NEEDS, 'onnxruntime', ('torch', 'no_such_package_of_anyone'))
    assert exported.missing('onnxruntime') == (
        "no_such_package_of_anyone is not installed (pip install -e '.[bench]')"
    )
    monkeypatch.setitem(exported.NEEDS, 'onnxruntime', ('torch',))
    assert exported.missing('onnxruntime') is None
    assert 'no_such_package_of_anyone is not' in exported.missing(
        'onnxruntime', 'no_such_package_of_anyone'
    )


@pytest.mark.slow
def test_export__once__and_both_runtimes_compute_the_logits(small_config, tmp_path, monkeypatch):
    for package in ('onnx', 'onnxscript', 'onnxruntime', 'openvino'):
        pytest.importorskip(package)
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    stock = build_pair('small', small_config).stock
    image = draw_image(1, 3, 64, 64)
    file = exported.export_stock(stock, image, name='small')
    assert tmp_path in file.parents
    written = file.stat().st_mtime_ns
    assert exported.export_stock(stock, image, name='small') == file
    assert file.stat().st_mtime_ns == written
    with torch.no_grad():
        expected = stock(image)
    calls = {
        1e-4: exported.onnxruntime_call(file, image),
        2e-4: exported.openvino_call(file, image, dtype=torch.float32),
        0.5: exported.openvino_call(file, image, dtype=torch.bfloat16),
    }
    for limit, call in calls.items():
        result = call().clone()
        assert (result - expected).abs().max() < limit
        assert torch.equal(call(), result)

    with torch.no_grad():
        stock.decode_head.conv_seg.bias.add_(1)
    other = exported.export_stock(stock, image, name='small')
    assert other != file
    assert (exported.onnxruntime_call(other, image)() - expected - 1).abs().max() < 1e-4


@pytest.mark.parametrize('is_open', [False, pytest.param(True, marks=pytest.mark.full)])
def test_export_ours__has_the_logits_alone_and_is_kept(
    small_config, tmp_path, monkeypatch, is_open
):
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    ours = build_pair('small', small_config).ours
    image = draw_image(1, 3, 64, 96)
    file = exported.export_ours(ours, image, name='small', is_open=is_open)
    written = file.stat().st_mtime_ns
    assert exported.export_ours(ours, image, name='small', is_open=is_open) == file
    assert file.stat().st_mtime_ns == written
    assert exported.export_ours(ours, image, name='small', is_open=not is_open) != file
    with torch.no_grad():
        assert (exported.onnxruntime_call(file, image)() - ours(image)).abs().max() < 1e-4
