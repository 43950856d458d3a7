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
from swinseg.exporting import targets
from swinseg.exporting.choice import add_runtime_choice, use_runtime_choice
from swinseg.predictor import Predictor
from swinseg.predictor.arguments import add_model, predictor_of


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.setenv('SWINSEG_HOME', str(tmp_path / 'home'))
    return tiny_checkpoint.save(tmp_path / 'tiny.pth', tiny_checkpoint.config(tmp_path))


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


def test_use_runtime_choice__of_an_exported_file():
    with pytest.raises(ExportError, match=r'model\.onnx is exported already; leave it out'):
        used('model.onnx', '--runtime', 'openvino')


def test_segment__says_what_is_missing(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(targets, 'find_spec', lambda name: None)
    given = [str(checkpoint), str(tmp_path / 'a.png'), '--out', str(tmp_path / 'masks')]
    Image.new('RGB', (40, 30)).save(tmp_path / 'a.png')
    code = main(segment.COMMAND, [*given, '--runtime', 'openvino'])
    scripts.assert_one_clear_line(code, capsys, r'needs the package .*; .*swinseg\[openvino\]')
