"""Checkpoints that are run by another runtime for the asking."""

import argparse

import numpy as np
import pytest
import torch
from PIL import Image

from support import scripts, tiny_checkpoint
from swinseg.cli import segment
from swinseg.cli.frame import main
from swinseg.errors import ExportError
from swinseg.exporting import choice, targets
from swinseg.exporting.choice import add_runtime_choice, use_runtime_choice
from swinseg.predictor import Predictor
from swinseg.predictor.arguments import add_model, predictor_of


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.setenv('SWINSEG_HOME', str(tmp_path / 'home'))
    return tiny_checkpoint.save(tmp_path / 'tiny.pth', tiny_checkpoint.config(tmp_path))


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def arguments(*given):
    parser = argparse.ArgumentParser()
    add_model(parser)
    add_runtime_choice(parser)
    return parser.parse_args([str(each) for each in given])


def used(*given):
    args = arguments(*given)
    use_runtime_choice(args)
    return args


def test_use_runtime_choice__exports_once(checkpoint, capsys):
    pytest.importorskip('onnxruntime')
    args = used(checkpoint, '--runtime', 'onnx')
    assert f'exporting {checkpoint} for ONNX Runtime, once' in capsys.readouterr().err
    assert used(checkpoint, '--runtime', 'onnx').checkpoint == args.checkpoint
    assert capsys.readouterr().err == ''
    image = np.random.default_rng(0).integers(0, 256, (40, 52, 3), dtype=np.uint8)
    expected = Predictor.from_checkpoint(checkpoint)(image)
    assert np.array_equal(predictor_of(args)(image).labels, expected.labels)
    # Other weights are another file.
    changed = torch.load(checkpoint, weights_only=True)
    changed['state_dict']['decode_head.conv_seg.bias'] += 1
    torch.save(changed, checkpoint)
    assert used(checkpoint, '--runtime', 'onnx').checkpoint != args.checkpoint


def test_use_runtime_choice__auto(checkpoint, two_threads, monkeypatch, capsys):
    monkeypatch.setattr(choice, 'find_spec', lambda name: None if name == 'onnxruntime' else True)
    args = used(checkpoint, '--runtime', 'auto')
    assert args.checkpoint == str(checkpoint)
    assert 'runtime: PyTorch, for onnxruntime is not installed' in capsys.readouterr().err
    monkeypatch.undo()
    for given, reason in [
        (('--dtype', 'bfloat16'), 'fastest in bfloat16'),
        (('--device', 'gpu'), 'not the processor'),
        (('--threads', 1), 'as fast on one thread'),
    ]:
        assert used(checkpoint, '--runtime', 'auto', *given).checkpoint == str(checkpoint)
        assert reason in capsys.readouterr().err


def test_use_runtime_choice__auto_takes_the_fastest(checkpoint, two_threads, capsys):
    pytest.importorskip('onnxruntime')
    assert used(checkpoint, '--runtime', 'auto').checkpoint.endswith('model.onnx')
    assert 'runtime: ONNX Runtime\n' in capsys.readouterr().err


def test_use_runtime_choice__auto_of_a_model_without_an_exportable_form(
    tmp_path, two_threads, monkeypatch, capsys
):
    pytest.importorskip('onnxruntime')
    monkeypatch.setenv('SWINSEG_HOME', str(tmp_path / 'home'))
    cfg = tiny_checkpoint.config(tmp_path)
    cfg.model.backbone.shifted_windows = 'padding'
    path = tiny_checkpoint.save(tmp_path / 'padding.pth', cfg)
    assert used(path, '--runtime', 'auto').checkpoint == str(path)
    assert "runtime: PyTorch, for a backbone with attention='global'" in capsys.readouterr().err


def test_use_runtime_choice__of_an_exported_file():
    with pytest.raises(ExportError, match=r'model\.onnx is exported already; leave it out'):
        used('model.onnx', '--runtime', 'auto')


def test_segment__says_what_is_missing(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(targets, 'find_spec', lambda name: None)
    given = [str(checkpoint), str(tmp_path / 'a.png'), '--out', str(tmp_path / 'masks')]
    Image.new('RGB', (40, 30)).save(tmp_path / 'a.png')
    code = main(segment.COMMAND, [*given, '--runtime', 'openvino'])
    scripts.assert_one_clear_line(code, capsys, r'needs the package .*; .*swinseg\[openvino\]')
