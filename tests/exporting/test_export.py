"""Files as the runtimes read them. Each runtime is asked where it is installed."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn

import swinseg
from support import scripts, tiny_checkpoint
from support.mmseg_pairs import VARIANTS, build_segmentor, randomize
from swinseg.checkpoints.meta import parse_config_text
from swinseg.cli.export import COMMAND
from swinseg.cli.frame import main
from swinseg.config.untrusted import prediction_config
from swinseg.errors import ArchitectureError, ExportError
from swinseg.exporting import (
    checking,
    export,
    export_model,
    onnx_file,
    openvino_file,
    plain_backbone,
    targets,
)
from swinseg.exporting.export import sha256_of
from swinseg.exporting.graph import Graph, reference_logits
from swinseg.exporting.targets import TARGETS
from swinseg.files import OutputError

CLASSES = ('sky', 'tall tree', 'road', 'car', 'water')


def require(target):
    for package in TARGETS[target].needs:
        pytest.importorskip(package)


@pytest.fixture
def without_packages(monkeypatch):
    """Whatever is refused before anything is written is so where no runtime is installed, too."""
    for name, target in TARGETS.items():
        monkeypatch.setitem(TARGETS, name, dataclasses.replace(target, needs=()))


@pytest.fixture(params=['onnx', 'openvino'])
def target(request):
    require(request.param)
    return request.param


def assert_equal_in_runtime(path, target, graph, model, sizes):
    given = [graph.example(*size, seed=7) for size in sizes]
    runtime = TARGETS[target].runtime(path)
    for each, found in zip(given, runtime.logits([x.numpy() for x in given]), strict=True):
        with torch.no_grad():
            expected = reference_logits(model, graph.normalized(each))
            *outputs, _ = graph(each)
        assert np.abs(found - expected.numpy()).max() < 1e-4 * expected.abs().max()
        for output, array in zip(outputs, runtime.outputs(each.numpy()), strict=True):
            assert array.shape == tuple(output.shape)
            assert array.dtype == output.numpy().dtype
            assert np.mean(np.abs(array.astype(float) - output.numpy()) > 1e-3) < 1e-3


@pytest.mark.parametrize(
    'target', ['onnx', pytest.param('openvino', marks=pytest.mark.full)], indirect=True
)
def test_export_model__for_any_batch_and_size(target, make_model, tmp_path):
    window, input, output, stock = {
        'onnx': (7, 'image', 'confidence', False), 'openvino': (12, 'tensor', 'labels', True),
    }[target]  # fmt: skip
    model = make_model(stock=stock, backbone=dict(window_size=window))
    path = tmp_path / f'a, b{TARGETS[target].suffix}'
    options = dict(to=target, input=input, output=output, classes=CLASSES)
    exported = export_model(model, path, **options)
    assert sorted(exported.files) == sorted(tmp_path.iterdir())
    assert all(case.is_equal for case in exported.cases)
    graph = Graph(model, input=input, output=output).eval()
    # Other ones than those that it was compared on.
    sizes = [(4, 50, 71), (1, 9, 130)]
    assert_equal_in_runtime(path, target, graph, model, sizes)

    receipt = json.loads((tmp_path / f'{path.name}.json').read_text())
    assert receipt['sha256'] == sha256_of(path)
    assert receipt['nodes'] == exported.nodes
    assert [case['size'] for case in receipt['compared']] == [[*case.size] for case in exported.cases]  # fmt: skip
    with pytest.raises(OutputError, match='is there already'):
        export_model(model, path, **options)


def test_export_model__for_one_size(target, make_model, tmp_path):
    output = 'probabilities'
    # Wide enough for the form of its 3x3 convolutions that is made of matrix products.
    model = make_model(head=dict(channels=64))
    path = tmp_path / f'model{TARGETS[target].suffix}'
    export_model(model, path, to=target, output=output, size=(35, 50), classes=CLASSES, opset=18)
    graph = Graph(model, input='tensor', output=output).eval()
    assert_equal_in_runtime(path, target, graph, model, [(1, 35, 50)])


@pytest.mark.full
def test_export_model__second_version_for_any_batch_and_size(target, make_model, tmp_path):
    """Also of maps that are smaller than a window, or of one."""
    model = make_model(backbone=dict(type='SwinV2Backbone', window_size=4), auxiliary_head=None)
    path = tmp_path / f'model{TARGETS[target].suffix}'
    exported = export_model(model, path, to=target, input='image', output='labels', classes=CLASSES)
    assert all(case.is_equal for case in exported.cases)
    graph = Graph(model, input='image', output='labels').eval()
    assert_equal_in_runtime(path, target, graph, model, [(2, 50, 71), (1, 9, 130), (1, 64, 64)])


def test_export_model__second_version_for_one_size(make_model, tmp_path):
    require('onnx')
    model = make_model(backbone=dict(type='SwinV2Backbone', window_size=4), auxiliary_head=None)
    path = tmp_path / 'model.onnx'
    export_model(model, path, to='onnx', size=(70, 50), classes=CLASSES)
    graph = Graph(model, input='tensor', output='labels').eval()
    assert_equal_in_runtime(path, 'onnx', graph, model, [(1, 70, 50)])


@pytest.mark.parametrize(
    ('target', 'dtype'),
    [
        ('onnx', 'float16'),
        pytest.param('openvino', 'float16', marks=pytest.mark.full),
        ('openvino', 'bfloat16'),
    ],
)
def test_export_model__in_half_precision(make_model, tmp_path, monkeypatch, target, dtype):
    require(target)
    if dtype == 'bfloat16' and not openvino_file.computes_bfloat16():
        pytest.skip('this processor does not compute in bfloat16')
    model = make_model()
    options = dict(to=target, size=(40, 64), classes=CLASSES)
    suffix = TARGETS[target].suffix
    whole = export_model(model, tmp_path / f'whole{suffix}', **options)
    half = export_model(
        model, tmp_path / f'half{suffix}', output='probabilities', dtype=dtype, **options
    )
    assert half.size_in_bytes < 0.9 * whole.size_in_bytes
    assert f'half{suffix}: {dtype}, ' in str(half)
    assert all(case.labels <= case.limit for case in half.cases)
    # It is really computed in it.
    assert min(case.logits for case in half.cases) > 10 * max(case.logits for case in whole.cases)
    assert json.loads(half.files[-1].read_text())['dtype'] == dtype

    monkeypatch.setitem(checking.LABEL_LIMITS, dtype, -1.0)
    sentence = r'what the model does, and was removed; .* 1 x 40 x 64: logits .*, labels .*% of -100% allowed'
    with pytest.raises(ExportError, match=sentence):
        export_model(model, tmp_path / f'other{suffix}', dtype=dtype, **options)
    assert list(tmp_path.glob('other*')) == []


def test_export_model__openvino_without_bfloat16(make_model, tmp_path, monkeypatch):
    require('openvino')
    monkeypatch.setattr(openvino_file, 'computes_bfloat16', lambda: False)
    with pytest.raises(ExportError, match=r'not compute in bfloat16 .* \(--dtype float16\)'):
        export_model(
            make_model(), tmp_path / 'm.xml', to='openvino', dtype='bfloat16', classes=CLASSES
        )
    assert list(tmp_path.iterdir()) == []


def test_export__a_checkpoint_with_its_names(tmp_path):
    require('onnx')
    import onnx

    checkpoint = tiny_checkpoint.save(tmp_path / 'tiny.pth', tiny_checkpoint.config(tmp_path))
    exported = swinseg.export(checkpoint, tmp_path / 'out' / 'tiny.onnx', size=(32, 48))
    proto = onnx.load(exported.path)
    found = {each.key: each.value for each in proto.metadata_props}
    assert json.loads(found['classes']) == list(tiny_checkpoint.CLASSES)
    assert json.loads(found['palette']) == tiny_checkpoint.PALETTE
    assert json.loads(found['mean']) == [120, 110, 100]
    assert (found['channel_order'], found['resize']) == ('RGB', 'outside')
    assert found['swinseg_version'] == swinseg.__version__
    assert found['checkpoint_sha256'] == sha256_of(checkpoint)
    assert eval(found['names']) == dict(enumerate(tiny_checkpoint.CLASSES))
    assert (found['stride'], eval(found['imgsz'])) == ('32', [32, 48])
    assert found['model_info mean_values'] == '120 110 100'
    assert json.loads(found['size']) == [32, 48]
    assert json.loads(found['protocol']) == {
        'resize': {'scale': [256, 64], 'keep_ratio': True}, 'mode': 'whole', 'other_steps': [],
    }  # fmt: skip
    inside = prediction_config(parse_config_text(found['config']), name='the config inside')
    assert inside.model.backbone.embed_dims == 16
    assert [step.type for step in inside.test_pipeline] == ['LoadImage', 'Resize', 'PackSegInputs']
    assert 'tta_pipeline' in inside
    assert [each.name for each in proto.graph.output] == ['labels']
    assert proto.opset_import[0].version == 17


def test_export_model__is_read_by_model_api(make_model, tmp_path):
    """OpenVINO's own wrapper finds normalization and names in the file."""
    require('openvino')
    models = pytest.importorskip('model_api.models')
    model = make_model()
    path = tmp_path / 'model.xml'
    export_model(model, path, to='openvino', output='probabilities', size=(64, 96), classes=CLASSES)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    wrapper = models.Model.create_model(str(path))
    assert wrapper.params.labels == ['sky', 'tall_tree', 'road', 'car', 'water']
    graph = Graph(model, input='image', output='labels').eval()
    with torch.no_grad():
        labels, _ = graph(torch.from_numpy(pixels)[None])
    # Where the processor has bfloat16, OpenVINO computes in it unless it is told otherwise.
    assert np.mean(wrapper(pixels).resultImage == labels[0].numpy()) > 0.99


def test_export_model__weights_beside_a_file_that_would_be_too_large(
    make_model, tmp_path, monkeypatch
):
    require('onnx')
    monkeypatch.setattr(onnx_file, 'ONE_FILE', 1000)
    model = make_model()
    path = tmp_path / 'model.onnx'
    exported = export_model(model, path, size=(32, 40), classes=CLASSES)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        'model.onnx', 'model.onnx.data', 'model.onnx.json',
    ]  # fmt: skip
    assert path.stat().st_size < exported.size_in_bytes / 2
    graph = Graph(model, input='tensor', output='labels').eval()
    assert_equal_in_runtime(path, 'onnx', graph, model, [(1, 32, 40)])


def test_export_model__what_computes_something_else_is_removed(
    target, make_model, tmp_path, monkeypatch
):
    # Without the mask, opposite borders of the image attend to each other.
    monkeypatch.setattr(plain_backbone, 'MASKED_SCORE', 0.0)
    name = TARGETS[target].runtime_name
    with pytest.raises(ExportError, match=rf'compute in {name} .* 1 x 32 x 40: logits \d.* allowed'):  # fmt: skip
        export_model(
            make_model(),
            tmp_path / f'model{TARGETS[target].suffix}',
            to=target,
            size=(32, 40),
            classes=CLASSES,
        )
    assert list(tmp_path.iterdir()) == []


def test_export_model__no_room(target, make_model, tmp_path, monkeypatch):
    resource = pytest.importorskip('resource')
    model, path = make_model(), tmp_path / f'model{TARGETS[target].suffix}'
    options = dict(to=target, size=(32, 40), classes=CLASSES)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
    try:
        with pytest.raises(OutputError, match=r'cannot write .*model\.'):
            export_model(model, path, **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
    if target == 'openvino':  # whose file comes second
        export_model(model, path, **options)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
        try:
            with pytest.raises(OutputError, match='OpenVINO cannot write again'):
                openvino_file.write(path, tmp_path / 'again.xml', metadata={})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        for file in tmp_path.iterdir():
            file.unlink()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage._replace(free=2**20))
    with pytest.raises(OutputError, match='MiB are needed while it is made, 1 MiB are free'):
        export_model(model, path, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('options', 'sentence'),
    [
        (dict(opset=16), 'opset must be from 17 to 20, not 16'),
        (dict(output='scores'), "output must be one of labels, confidence, probabilities, not 'scores'"),
        (dict(size=(0, 9)), r'a height and a width of at least 1 pixel, not \(0, 9\)'),
        (dict(dtype='float64'), "onnx has no form in 'float64' here; dtype must be one of float32, float16"),
        (dict(dtype='bfloat16'), "onnx has no form in 'bfloat16' here"),
        (dict(to='tflite'), "to must be one of onnx, openvino, torch-export, .*, not 'tflite'"),
        (dict(classes=('a',)), 'predicts 5 classes, but 1 class names are given'),
    ],
)  # fmt: skip
def test_export_model__arguments(make_model, tmp_path, without_packages, options, sentence):
    with pytest.raises(ExportError, match=sentence):
        export_model(make_model(), tmp_path / 'model.onnx', **{'classes': CLASSES, **options})
    assert list(tmp_path.iterdir()) == []


def test_export_model__a_layer_that_onnx_does_not_have(make_model, tmp_path):
    require('onnx')

    class Bessel(nn.Module):
        def forward(self, x):
            return torch.special.bessel_j0(x)

    model = make_model()
    model.backbone.stages[0].blocks[0].ffn.layers[0][1] = Bessel()
    with pytest.raises(ExportError, match=r'as ONNX with opset 17: .*bessel'):
        export_model(model, tmp_path / 'model.onnx', size=(32, 40), classes=CLASSES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('name', ['model.xml', 'model.bin', 'model.xml.json'])
def test_export_model__writes_over_no_other_file(make_model, tmp_path, without_packages, name):
    (tmp_path / name).write_text('weights of another library')
    with pytest.raises(OutputError, match=f'{name} is there already'):
        export_model(make_model(), tmp_path / 'model.xml', to='openvino', classes=CLASSES)
    assert (tmp_path / name).read_text() == 'weights of another library'


def test_export__a_package_is_missing(tmp_path, monkeypatch):
    needs = ('torch', 'no_such_package_of_anyone')
    monkeypatch.setitem(TARGETS, 'onnx', dataclasses.replace(TARGETS['onnx'], needs=needs))
    sentence = r'needs the package no_such_package_of_anyone; .* pip install "swinseg\[onnx\]"'
    with pytest.raises(ExportError, match=sentence):
        export('there-is-no-such-model', tmp_path / 'model.onnx')


def test_command(tmp_path, capsys, monkeypatch):
    checkpoint = tiny_checkpoint.save(tmp_path / 'tiny.pth', tiny_checkpoint.config(tmp_path))
    given = [str(checkpoint), '--to', 'onnx', '--out']
    monkeypatch.setattr(targets, 'find_spec', lambda name: True)
    code = main(COMMAND, [*given, str(tmp_path / 'tiny.xml')])
    scripts.assert_one_clear_line(code, capsys, r"must end in \.onnx, found 'tiny\.xml'")
    monkeypatch.undo()
    require('onnx')
    out = tmp_path / 'tiny.onnx'
    assert main(COMMAND, [*given, str(out), '--fixed-size', '32', '40', '--input', 'image']) == 0
    assert f'receipt: {out}.json' in capsys.readouterr().out
    assert out.is_file()


def test_export_model__a_head_of_ones_own(make_model, tmp_path, without_packages):
    head = dict(type='FCNHead', in_channels=128, in_index=3, channels=8, num_classes=5)
    model = make_model(decode_head=head)
    with pytest.raises(ArchitectureError, match='found FCNHead'):
        export_model(model, tmp_path / 'model.onnx', classes=CLASSES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.full
def test_export_model__swin_t(tmp_path):
    require('onnx')
    model = randomize(build_segmentor(stock=False, backbone=VARIANTS['T'])).eval()
    exported = export_model(model, tmp_path / 't.onnx', classes=[f'class {i}' for i in range(150)])
    assert len(exported.cases) == 4
    assert max(case.logits / case.allowed for case in exported.cases) < 0.5
