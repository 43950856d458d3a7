"""Exported files in the place of a checkpoint, whose predictor says what is expected."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from support import tiny_checkpoint
from swinseg.errors import ArchitectureError, ExportedFileError
from swinseg.exporting import export_model
from swinseg.predictor import Predictor
from swinseg.runtimes import is_exported, open_exported
from swinseg.runtimes.segmentor import ExportedSegmentor

SIZE = (48, 64)


@pytest.fixture(scope='module', params=['onnx', 'openvino'])
def exported(request, exported_files):
    kind = 'image' if request.param == 'onnx' else 'tensor'
    return exported_files.exported(request.param, 'plain', input=kind)


def test_open_exported__gives_only_the_scores(exported):
    runtime = open_exported(exported, device='cpu')
    assert is_exported(exported)
    is_image = runtime.metadata.input == 'image'
    given = np.zeros((2, 40, 50, 3), np.uint8) if is_image else np.zeros((2, 3, 40, 50), np.float32)
    (scores,) = runtime.logits([given])
    assert (scores.shape, scores.dtype) == ((2, 4, 10, 13), np.float32)
    with pytest.raises(ExportedFileError, match=r'ends in \.onnx or \.xml.* found model\.pth'):
        open_exported('model.pth')


def test_segmentor__has_the_logits_of_the_model(exported, exported_files):
    """Also those of pixels that are no whole numbers, which an image's graph rounds."""
    reference = Predictor.from_checkpoint(exported_files.checkpoint('plain')).model
    model = Predictor.from_exported(exported).model
    assert not list(model.parameters())
    pixels = torch.rand(2, 3, 41, 55, generator=torch.Generator().manual_seed(0)) * 255
    is_image = model.metadata.input == 'image'
    data = {'inputs': list(pixels.round() if is_image else pixels)}
    shifted = {'inputs': list(pixels)}
    with torch.no_grad():
        expected = reference(reference.data_preprocessor(data)['inputs'])
        found = model(model.data_preprocessor(shifted)['inputs'])
    assert found.shape == (2, 4, 11, 14)
    assert torch.allclose(found, expected, atol=1e-4)


def test_segmentor__a_file_of_one_size(exported_files):
    path = exported_files.exported('onnx', 'windows', size=SIZE)
    expected = Predictor.from_checkpoint(exported_files.checkpoint('windows'))
    predictor = Predictor.from_exported(path)
    assert predictor.model.input_size == SIZE
    large = np.asarray(Image.open(exported_files.images[2]))  # 64 x 64
    # Windows come in batches, which the file takes one by one.
    assert np.array_equal(predictor(large).labels, expected(large).labels)
    whole = Config(dict(model=tiny_checkpoint.config(exported_files.root).model, test_pipeline=[
        dict(type='LoadImage'), dict(type='PackSegInputs'),
    ]))  # fmt: skip
    predictor = Predictor.from_exported(path, whole)
    assert predictor(large[:48]).labels.shape == SIZE
    sentence = r'takes images of 48 x 64 pixels .* found 64 x 64; .*crop_size=\(48, 64\)'
    with pytest.raises(ExportedFileError, match=sentence):
        predictor(large)


def test_segmentor__a_binary_head_with_a_threshold(exported_files, tmp_path):
    cfg = tiny_checkpoint.config(exported_files.root)
    cfg.model.backbone.depths = (1, 1, 1, 1)
    cfg.model.decode_head.update(num_classes=2, out_channels=1, threshold=0.45)
    cfg.model.decode_head.loss_decode = dict(type='CrossEntropyLoss', use_sigmoid=True)
    model = tiny_checkpoint.build(cfg).eval()
    pytest.importorskip('onnxruntime')
    path = tmp_path / 'binary.onnx'
    export_model(model, path, classes=['no', 'yes'], config=cfg, size=(64, 64))
    steps = [dict(type='LoadImage'), dict(type='PackSegInputs')]
    given = np.asarray(Image.open(exported_files.images[2]))
    cfg.test_dataloader.dataset.pipeline = steps
    expected = Predictor(model, steps, classes=['no', 'yes'])(given, probabilities=True)
    found = Predictor.from_exported(path, cfg)(given, probabilities=True)
    assert found.probabilities.shape == (2, 64, 64)
    assert np.allclose(found.probabilities, expected.probabilities, atol=1e-5)
    assert np.array_equal(found.labels, expected.labels)
    assert 0 < found.labels.mean() < 1


def test_segmentor__what_does_not_fit(exported_files):
    exported = exported_files.exported('onnx', 'plain', input='image')
    settings = tiny_checkpoint.config(exported_files.root).model
    settings.decode_head.num_classes = 7
    with pytest.raises(ExportedFileError, match=r'predicts 4 classes, but the config has .*=7'):
        ExportedSegmentor(exported, settings)
    predictor = Predictor.from_exported(exported)
    with pytest.raises(ArchitectureError, match=r'has 5 channels .* the model takes 3'):
        predictor.model.data_preprocessor({'inputs': [torch.zeros(5, 8, 8)]})
