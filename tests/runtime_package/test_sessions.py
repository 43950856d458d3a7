"""Files as their runtimes open them, and what is said of those that they do not open."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from swinseg_runtime import ModelFileError, OnnxSession, OpenVinoSession, open_session, sessions
from swinseg_runtime.openvino_core import openvino_core


@pytest.fixture
def onnx_file(exported_files, tmp_path):
    return shutil.copy(exported_files.exported('onnx', 'plain', input='image'), tmp_path / 'a.onnx')


@pytest.fixture
def xml_file(exported_files, tmp_path):
    path = exported_files.exported('openvino', 'plain')
    shutil.copy(path.with_suffix('.bin'), tmp_path / 'a.bin')
    return shutil.copy(path, tmp_path / 'a.xml')


def test_open_session__runs_with_chosen_threads(onnx_file, xml_file):
    for path, given in (
        (onnx_file, np.zeros((2, 20, 30, 3), np.uint8)),
        (xml_file, np.zeros((2, 3, 20, 30), np.float32)),
    ):
        session = open_session(path, device='cpu', threads=1)
        assert (session.outputs, session.is_on_gpu) == (('labels',), False)
        assert session.run(given)['labels'].shape == (2, 20, 30)
        assert session.metadata.classes == ('sky', 'tree', 'road', 'car')


def test_open_session__damaged_files(onnx_file, xml_file):
    for path, runtime in ((onnx_file, 'ONNX Runtime'), (xml_file, 'OpenVINO')):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(
            ModelFileError, match=rf'{runtime} cannot open .*a\.\w+: .*export it again'
        ):
            open_session(path)


def test_open_session__weights_are_missing(exported_files, xml_file, tmp_path, monkeypatch):
    xml_file.with_suffix('.bin').write_bytes(b'short')
    with pytest.raises(ModelFileError, match=r'OpenVINO.* cannot open .*a\.xml'):
        open_session(xml_file)
    xml_file.with_suffix('.bin').unlink()
    with pytest.raises(
        ModelFileError, match=r'no file .*a\.bin, which holds the weights of a\.xml'
    ):
        open_session(xml_file)
    from swinseg.exporting import export, onnx_file

    monkeypatch.setattr(onnx_file, 'ONE_FILE', 1000)
    large = export(exported_files.checkpoint('plain'), tmp_path / 'large.onnx', size=(32, 32)).path
    assert open_session(large).metadata.size == (32, 32)
    (tmp_path / 'large.onnx.data').unlink()
    with pytest.raises(
        ModelFileError, match=r'(?i)ONNX Runtime cannot open .*large\.onnx: .*external data'
    ):
        open_session(large)


def test_openvino__signals_after_sessions_ended(xml_file):
    """In a process of its own: where two cores ended in the order of their beginnings, a signal ended it."""
    program = f"""
import signal, subprocess
from swinseg_runtime import open_session
signal.signal(signal.SIGCHLD, lambda *_: print('handled'))
first = open_session({str(xml_file)!r})
second = open_session({str(xml_file)!r})
del first
del second
subprocess.run(['true'])
"""
    ended = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert 'handled' in ended.stdout


def test_open_session__files_of_others(tmp_path):
    onnx = pytest.importorskip('onnx')
    openvino = pytest.importorskip('openvino')
    pytest.importorskip('onnxruntime')
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node('Relu', ['pixels'], ['scores'])], 'other',
        [value('pixels', 1, ['batch', 7])], [value('scores', 1, ['batch', 7])],
    )  # fmt: skip
    opset = [onnx.helper.make_opsetid('', 17)]
    path = tmp_path / 'other.onnx'
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    sentence = r'was not written by swinseg export.*takes pixels .*7.* and gives scores .*7'
    with pytest.raises(ModelFileError, match=sentence):
        open_session(path)
    openvino.save_model(openvino_core().read_model(path), path.with_suffix('.xml'))
    with pytest.raises(ModelFileError, match=sentence):
        open_session(path.with_suffix('.xml'))


def test_open_session__what_is_not_there(onnx_file, xml_file, tmp_path):
    with pytest.raises(ModelFileError, match=r'there is no file .*no\.onnx'):
        open_session(tmp_path / 'no.onnx')
    with pytest.raises(ModelFileError, match=r'ends in \.onnx or \.xml, .* found model\.pth'):
        open_session('model.pth')
    with pytest.raises(ModelFileError, match=r'no execution provider FastProvider; it has .*CPU'):
        OnnxSession(onnx_file, providers=['FastProvider'])
    with pytest.raises(ModelFileError, match=r'OpenVINO has no device NPU9 here; it has .*CPU'):
        OpenVinoSession(xml_file, providers=['NPU9'])
    with pytest.raises(ModelFileError, match="one of auto, cpu, gpu, not 'tpu'"):
        open_session(onnx_file, device='tpu')
    with pytest.raises(ModelFileError, match='threads must be at least 1'):
        open_session(onnx_file, threads=0)
    with pytest.raises(ModelFileError, match=r'dtype must be one of .*bfloat16.*, not'):
        OpenVinoSession(xml_file, dtype='int4')


def test_open_session__a_package_is_missing(onnx_file, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'onnxruntime', None)
    with pytest.raises(ModelFileError, match=r'needs the package onnxruntime.*"swinseg\[onnx\]"'):
        open_session(onnx_file)


def test_devices():
    """Of machines with and without a GPU, as their runtimes list them."""
    cpu, cuda = 'CPUExecutionProvider', 'CUDAExecutionProvider'
    choose = sessions._onnx_providers
    assert choose([cpu], 'auto', None) == [cpu]
    assert choose(['TensorrtExecutionProvider', cuda, cpu], 'auto', None) == [cuda, cpu]
    assert choose([cuda, cpu], 'gpu', None) == [cuda, cpu]
    assert choose([cuda, cpu], 'cpu', None) == [cpu]
    assert choose([cuda, cpu], 'cpu', [cuda]) == [cuda]
    with pytest.raises(ModelFileError, match='has no GPU, only CPUExecutionProvider'):
        choose([cpu], 'gpu', None)
    device = sessions._openvino_device
    assert [device(['CPU'], 'auto', None), device(['CPU', 'GPU.0'], 'auto', None)] == ['CPU', 'GPU']
    assert device(['CPU', 'GPU.0'], 'cpu', ['GPU', 'CPU']) == 'HETERO:GPU,CPU'
    assert device(['CPU'], 'auto', ['AUTO:CPU']) == 'AUTO:CPU'
    with pytest.raises(ModelFileError, match='finds no GPU here, only CPU'):
        device(['CPU'], 'gpu', None)


def test_precision():
    """A processor without bfloat16, as OpenVINO describes it."""

    class Core:
        def get_property(self, device, name):
            return ['FP32', 'INT8']

    assert sessions._openvino_precision(Core(), 'CPU', 'float32') == 'f32'
    with pytest.raises(
        ModelFileError, match='on this CPU does not compute in bfloat16, only in FP32, INT8'
    ):
        sessions._openvino_precision(Core(), 'CPU', 'bfloat16')
