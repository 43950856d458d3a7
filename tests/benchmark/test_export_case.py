"""One export, measured: in this process, and in one of its own."""

import pytest
import torch

from swinseg.benchmark import export_case
from swinseg.benchmark.export_case import NARROW, Case, Found, measure, measure_apart, model_of
from swinseg.benchmark.options import make_options
from swinseg.benchmark.suites import SUITES
from swinseg.benchmark.suites import export as suite
from swinseg.errors import BenchmarkError
from swinseg.exporting import plain_backbone
from swinseg.exporting.checking import TOLERANCE


@pytest.fixture
def onnx():
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')


def test_measure__of_a_file_for_one_size(onnx, small_config):
    found = measure(Case('small', small_config, 'onnx', (32, 45), torch.get_num_threads()))
    assert list(found.differences) == ['1 x 32 x 45']
    assert 0 < found.differences['1 x 32 x 45'] < TOLERANCE
    assert found.fell_short == []
    assert found.bytes > 10**5
    assert found.nodes > 100
    assert found.peak_bytes is None or found.peak_bytes > found.bytes


def test_measure__says_what_was_refused(onnx, small_config, monkeypatch):
    monkeypatch.setattr(plain_backbone, 'MASKED_SCORE', 0.0)
    case = Case('small', small_config, 'onnx', (64, 96), torch.get_num_threads())
    assert 'does not compute in ONNX Runtime what the model does' in measure(case).refused


@pytest.mark.parametrize('name', NARROW)
def test_model_of__has_the_window_of_its_name(name):
    attention = model_of(name, None).backbone.stages[0].blocks[0].attn.w_msa
    assert attention.window_size == NARROW[name]


def test_suite__says_first_what_fell_short(onnx, monkeypatch):
    def found(case):
        if case.size is None:
            return Found(differences={'1 x 3 x 5': 2e-4, '1 x 8 x 8': 1e-6}, bytes=2**20, nodes=5)
        return Found(differences={'1 x 8 x 8': 1e-6}, bytes=2**21, nodes=4, peak_bytes=2**22)

    monkeypatch.setattr(suite, 'measure_apart', found)
    given = dict(variants=['narrow 7'], targets=['onnx'])
    (table,) = SUITES['export'].run(make_options(suite.ExportOptions, 'export', given))
    assert table.title.endswith('1 fell short: narrow 7, any size: 1 x 3 x 5: 2.0e-04')
    assert [row.name for row in table.rows][:2] == ['narrow 7, any size', 'narrow 7, 512 x 512']
    assert table.rows[1].figures[suite.PEAK] == 4
    assert any('TensorRT' in name for name in table.left_out)
    monkeypatch.setattr(suite, 'find_spec', lambda name: None)
    (table,) = SUITES['export'].run(make_options(suite.ExportOptions, 'export', given))
    assert table.left_out['onnx'] == 'onnx and onnxruntime not installed'


def test_options__refused(monkeypatch):
    with pytest.raises(BenchmarkError, match=r"--targets takes onnx, .*, found 'tflite'"):
        make_options(suite.ExportOptions, 'export', {'targets': ['tflite']})
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(BenchmarkError, match='--device cuda needs a GPU'):
        make_options(suite.ExportOptions, 'export', {'device': 'cuda'})


@pytest.mark.full
def test_measure_apart__is_measured_in_another_process(onnx, small_config):
    case = Case('small', small_config, 'onnx', (32, 45), 1)
    assert list(measure_apart(case).differences) == ['1 x 32 x 45']
    wrong = export_case.dataclasses.replace(case, config='no such file.py')
    with pytest.raises(BenchmarkError, match=r'ended without a result: .*no such file\.py'):
        measure_apart(wrong)
