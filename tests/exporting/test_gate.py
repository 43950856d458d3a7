"""The gate on the data, and int8 behind it."""

import json
import math

import pytest

from support import scripts
from swinseg.cli.export import COMMAND
from swinseg.cli.frame import main
from swinseg.config.loading import load_config
from swinseg.errors import ExportError
from swinseg.exporting import export, targets
from swinseg.exporting.checking import SCALED_SIZES
from swinseg.exporting.gate import Accuracy
from swinseg.exporting.quantizing.calibration import calibration_files


@pytest.fixture
def onnx():
    for package in targets.TARGETS['onnx'].needs:
        pytest.importorskip(package)


@pytest.fixture
def checkpoint(tiny_run):
    return next(tiny_run.glob('best_*.pth'))


@pytest.mark.parametrize(
    ('exported', 'is_good_enough'),
    [(40.0, True), (39.91, True), (39.89, False), (41.0, True), (math.nan, False)],
)
def test_accuracy(exported, is_good_enough):
    accuracy = Accuracy('a.py', 40.0, exported, max_drop=0.1, images=7, seconds=(3, 4))
    assert accuracy.is_good_enough is is_good_enough
    assert str(accuracy).startswith(f'mIoU 40.00 in PyTorch, {exported:.2f} exported')
    assert str(accuracy).endswith('on 7 images in 3 and 4 s')


def test_export__on_data(onnx, checkpoint, write_tiny_config, tmp_path):
    out = tmp_path / 'out' / 'tiny.onnx'
    exported = export(checkpoint, out, data=write_tiny_config())
    accuracy = exported.accuracy
    assert accuracy.images == 2
    assert abs(accuracy.drop) < 0.05
    assert accuracy.model > 0
    assert str(accuracy) in str(exported)
    receipt = json.loads((out.parent / 'tiny.onnx.json').read_text())
    assert receipt['accuracy']['model'] == accuracy.model
    assert receipt['accuracy']['exported'] == accuracy.exported
    assert receipt['quantization'] is None


@pytest.mark.full
def test_export__int8(onnx, checkpoint, write_tiny_config, tmp_path, capsys):
    out = tmp_path / 'out' / 'tiny.onnx'
    options = dict(dtype='int8', data=write_tiny_config(), calibration_images=3)
    exported = export(checkpoint, out, max_drop=5, **options)
    assert sorted(out.parent.iterdir()) == sorted(exported.files)
    assert exported.accuracy.drop <= 5
    rounds = exported.quantization.rounds
    assert all(f'int8, {each}' in capsys.readouterr().out for each in rounds[:1])
    receipt = json.loads((out.parent / 'tiny.onnx.json').read_text())
    assert len(receipt['quantization']['calibration_images']) == 3
    assert receipt['quantization']['float_layers'][:2] == ['backbone.projection', 'head.classifier']
    assert all(case['limit'] == 1 for case in receipt['compared'])
    assert max(case['logits'] for case in receipt['compared']) > 0


@pytest.mark.full
def test_export__int8_of_a_graph_that_resizes(onnx, checkpoint, write_tiny_config, tmp_path):
    options = dict(input='image', resize=True, dtype='int8', calibration_images=2, max_drop=5)
    exported = export(checkpoint, tmp_path / 'tiny.onnx', data=write_tiny_config(), **options)
    assert abs(exported.accuracy.drop) < 5
    assert all(
        case.size[0] == size[0] for case, size in zip(exported.cases, SCALED_SIZES, strict=True)
    )


@pytest.mark.slow
def test_export__refuses_what_falls_too_low(
    onnx, checkpoint, write_tiny_config, tmp_path, monkeypatch
):
    """Here by a runtime that mistakes a class for another."""
    from swinseg.exporting import gate

    measured = gate.Gate._evaluated

    def spoiled(self, cfg, file):
        found = measured(self, cfg, file)
        if file.suffix == '.onnx':
            found['mIoU'] -= 1
        return found

    monkeypatch.setattr(gate.Gate, '_evaluated', spoiled)
    out = tmp_path / 'out' / 'tiny.onnx'
    with pytest.raises(
        ExportError, match=r'worth less .* removed: mIoU \d.* in PyTorch, \d.* exported'
    ):
        export(checkpoint, out, data=write_tiny_config())
    assert list(out.parent.iterdir()) == []


def test_calibration_files(write_tiny_config):
    cfg = load_config(write_tiny_config())
    every = calibration_files(cfg, 100)
    assert len(every) == len(set(every)) == 4
    assert calibration_files(cfg, 2) == [every[0], every[-1]]
    assert all('training' in file for file in every)
    repeated = load_config(
        write_tiny_config(
            extra="train_dataloader = dict(dataset=dict(_delete_=True, type='RepeatDataset', times=3, "
            'dataset={{_base_.train_dataloader.dataset}}))',
            name='repeated.py',
        )
    )
    assert calibration_files(repeated, 100) == every


@pytest.mark.parametrize(
    ('options', 'extra', 'sentence'),
    [
        (dict(dtype='int8'), None, r'int8 is calibrated and measured on images: give the config .*--data CONFIG'),
        (dict(dtype='int8', calibration_images=0), '', 'on one image at least, not 0'),
        (dict(max_drop=-1), '', 'max_drop must be a number of points of mIoU, such as 0.1, not -1'),
        (dict(dtype='int8'), 'train_dataloader = None', r'tiny\.py has no train_dataloader'),
        (dict(), 'test_dataloader = None', r'tiny\.py has no test_dataloader'),
    ],
)  # fmt: skip
def test_export__bad_data(onnx, checkpoint, write_tiny_config, tmp_path, options, extra, sentence):
    out = tmp_path / 'out' / 'tiny.onnx'
    data = None if extra is None else write_tiny_config(extra=extra)
    with pytest.raises(ExportError, match=sentence):
        export(checkpoint, out, data=data, **options)
    assert not out.parent.exists() or list(out.parent.iterdir()) == []


def test_export__classes_of_another_set(onnx, checkpoint, write_tiny_config, tmp_path):
    cfg = load_config(write_tiny_config())
    names = [*cfg.metainfo['classes'][:-1], 'sea']
    cfg.test_dataloader.dataset.metainfo = dict(classes=names)
    with pytest.raises(ExportError, match=r"test set of .*tiny\.py: 'water' where that has 'sea'"):
        export(checkpoint, tmp_path / 'tiny.onnx', data=cfg)
    assert not (tmp_path / 'tiny.onnx').exists()


def test_export__nncf_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(targets, 'find_spec', lambda name: None if name == 'nncf' else True)
    sentence = r'needs the package nncf; .* pip install "swinseg\[openvino\]"'
    with pytest.raises(ExportError, match=sentence):
        export(
            'there-is-no-such-model', tmp_path / 'm.xml', to='openvino', dtype='int8', data='a.py'
        )


def test_command__options_of_a_config_that_is_not_given(tmp_path, capsys):
    given = ['a.pth', '--to', 'onnx', '--out', str(tmp_path / 'a.onnx'), '--cfg-options', 'a=1']
    scripts.assert_one_clear_line(main(COMMAND, given), capsys, '--cfg-options .* add --data')
