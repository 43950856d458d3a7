"""Predictions of exported files, beside those of their checkpoints."""

import numpy as np
import pytest

from support import tiny_checkpoint
from swinseg.errors import ConfigError, ExportedFileError, PredictorError
from swinseg.predictor import PredictOptions, Predictor
from swinseg_runtime.openvino_core import openvino_core


@pytest.fixture(scope='module')
def checkpoint(exported_files):
    return Predictor.from_checkpoint(exported_files.checkpoint('slide'))


def assert_same(found, expected):
    assert np.array_equal(found.labels, expected.labels)
    assert found.labels.dtype == expected.labels.dtype
    for name in ('confidence', 'probabilities'):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None)
        assert one is None or np.abs(one - other).max() < 1e-4
    assert (found.classes, found.name) == (expected.classes, expected.name)
    assert np.array_equal(found.color(), expected.color())


@pytest.mark.parametrize(
    ('to', 'output', 'options'),
    [
        ('onnx', 'labels', dict(confidence=True)),
        ('onnx', 'labels', dict(tta=True, probabilities=True, batch_size=3)),
        ('onnx', 'labels', dict(reject_below=0.5)),
        pytest.param('openvino', 'confidence', dict(probabilities=True), marks=pytest.mark.slow),
    ],
)
def test_from_exported__windows(exported_files, checkpoint, to, output, options):
    predictor = Predictor.from_exported(exported_files.exported(to, 'slide', output=output))
    assert (predictor.device.type, predictor.default_batch_size) == ('cpu', 1)
    for image in exported_files.images[:2]:
        assert_same(predictor(image, **options), checkpoint(image, **options))


def test_from_exported__stream_of_whole_images(exported_files):
    expected = Predictor.from_checkpoint(exported_files.checkpoint('whole'))
    predictor = Predictor.from_exported(exported_files.exported('onnx', 'whole'), threads=1)
    images = [*exported_files.images, exported_files.images[0]]
    options = PredictOptions(confidence=True, batch_size=4)
    streams = (each.stream(images, options) for each in (predictor, expected))
    for found, wanted in zip(*streams, strict=True):
        assert_same(found, wanted)


def with_config(path, text, folder):
    """Write the file again with another config inside, or with none."""
    onnx = pytest.importorskip('onnx')
    proto = onnx.load(path)
    kept = {each.key: each.value for each in proto.metadata_props if each.key != 'config'}
    onnx.helper.set_model_props(proto, kept if text is None else {**kept, 'config': text})
    onnx.save(proto, folder / 'changed.onnx')
    return folder / 'changed.onnx'


def test_from_exported__config(exported_files, tmp_path):
    path = exported_files.exported('onnx', 'whole')
    bare = with_config(path, None, tmp_path)
    with pytest.raises(
        PredictorError, match=r'changed\.onnx has no config inside; give the config'
    ):
        Predictor.from_exported(bare)
    cfg = tiny_checkpoint.config(exported_files.root)
    cfg.pop('tta_pipeline')
    predictor = Predictor.from_exported(bare, cfg, value_range=(0, 4095))
    assert predictor.value_range.setting == [[0, 4095]]
    with pytest.raises(PredictorError, match='the config has none'):
        predictor(exported_files.images[0], tta=True)


def test_from_exported__config_of_someone_else(exported_files, tmp_path):
    """It names what must not be built, though all that runs is in the graph."""
    path = exported_files.exported('onnx', 'whole')
    steps = "[dict(type='LoadImage'), dict(type='subprocess.getoutput', cmd='true')]"
    text = f"model = dict(type='SwinSegmentor')\ntest_pipeline = {steps}\n"
    with pytest.raises(
        ConfigError, match=r"'subprocess.getoutput' in the config inside .* is an import path"
    ):
        Predictor.from_exported(with_config(path, text, tmp_path))
    with pytest.raises(ExportedFileError, match='cannot be read: line 1 has something other than a'):  # fmt: skip
        Predictor.from_exported(with_config(path, "model = open('x')\n", tmp_path))
    missing = "model = dict(type='SwinSegmentor')\ntest_pipeline = [dict(type='LoadImage')]\n"
    with pytest.raises(PredictorError, match='model of the config cannot be built'):
        Predictor.from_exported(with_config(path, missing, tmp_path))


@pytest.mark.slow
def test_from_exported__a_graph_that_resizes(exported_files):
    path = exported_files.exported('onnx', 'whole', input='image', resize=True)
    expected = Predictor.from_checkpoint(exported_files.checkpoint('whole'))
    predictor = Predictor.from_exported(path)
    image = exported_files.images[0]
    # The scores are resized once and not twice.
    assert np.mean(predictor(image).labels == expected(image).labels) > 0.95
    cfg = tiny_checkpoint.config(exported_files.root)
    with pytest.raises(
        ExportedFileError, match='resizes images itself, and the config does so before'
    ):
        Predictor.from_exported(path, cfg)


@pytest.mark.slow  # OpenVINO compiles the graph twice
def test_from_exported__precision(exported_files):
    onnx = exported_files.exported('onnx', 'whole')
    with pytest.raises(
        ExportedFileError, match='exported for, and not in bfloat16; leave dtype out'
    ):
        Predictor.from_exported(onnx, dtype='bfloat16')
    path = exported_files.exported('openvino', 'slide', output='confidence')
    pytest.importorskip('openvino')
    has = openvino_core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
    if 'BF16' not in has:
        with pytest.raises(ExportedFileError, match='does not compute in bfloat16, only in'):
            Predictor.from_exported(path, dtype='bfloat16')
        return
    image = exported_files.images[0]
    exact, fast = (
        Predictor.from_exported(path, dtype=dtype)(image, probabilities=True)
        for dtype in ('float32', 'bfloat16')
    )
    assert 0 < np.abs(exact.probabilities - fast.probabilities).max() < 0.2


def test_from_exported__cannot_be_a_checkpoint(exported_files):
    from swinseg.errors import CheckpointError
    from swinseg.hub import resolve

    path = exported_files.exported('onnx', 'whole')
    source = resolve(path)
    assert source.weights == str(path)
    with pytest.raises(CheckpointError, match=r'is an exported file, .*Predictor.from_exported'):
        source.read()
