"""``tools/test.py``: a table, a JSON file, and what it says when something is wrong."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from support import bad_data
from support.scripts import assert_one_clear_line, run, run_in_process
from swinseg.datasets.mini.dataset import CLASSES


def test_test__as_a_command(write_tiny_config, tmp_path, tiny_run):
    arguments = (write_tiny_config(), tiny_run / 'iter_4.pth')
    options = ('--out', tmp_path / 'out', '--work-dir', tmp_path / 'work')
    done = run_in_process('test', *arguments, *options, folder=tmp_path / 'process')
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    header = next(i for i, line in enumerate(lines) if line.startswith('Class '))
    assert [line.split()[0] for line in lines[header + 2 : header + 12]] == list(CLASSES)
    assert any(line.startswith('aAcc ') and 'mIoU ' in line and 'mAcc ' in line for line in lines)
    assert 'protocol: single scale' in done.out
    assert lines[-1].startswith('2 images in ')
    written = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert [entry['class'] for entry in written['per_class']] == list(CLASSES)


def test_test__sliding_window_and_test_time_augmentation(
    write_tiny_config, tmp_path, tiny_run, capsys
):
    extra = "model = dict(test_cfg=dict(mode='slide', crop_size=(48, 48), stride=(32, 32)))"
    config = write_tiny_config(extra=extra)
    assert (
        run('test', config, tiny_run / 'iter_4.pth', '--tta', '--work-dir', tmp_path / 'work') == 0
    )
    out = capsys.readouterr().out
    assert 'scales 0.75, 1 of' in out
    assert 'window 48 x 48, stride 32 x 32; horizontal flip averaged' in out
    protocol = json.loads((tmp_path / 'work' / 'metrics.json').read_text())['protocol']
    assert (protocol['window'], protocol['stride'], protocol['flip']) == ([48, 48], [32, 32], True)


def test_test__stock_metric_prints_its_figures(write_tiny_config, tmp_path, tiny_run, capsys):
    config = write_tiny_config(
        extra="test_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])"
    )
    config.write_text(config.read_text().replace('dict(type', 'dict(_delete_=True, type'))
    assert run('test', config, tiny_run / 'iter_4.pth', '--work-dir', tmp_path / 'work') == 0
    # As percentages with two decimals, though mmseg rounds in float32: 0.01 was 0.009999999776482582.
    assert re.search(
        r'^aAcc \d+\.\d\d  mIoU \d+\.\d\d  mAcc ', capsys.readouterr().out, re.MULTILINE
    )


def test_test__help(capsys):
    with pytest.raises(SystemExit) as caught:
        run('test', '--help')
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for option in ('--tta', '--out', '--cfg-options', '--launcher'):
        assert option in text


@pytest.mark.parametrize('case', bad_data.CASES)
def test_test__bad_data(write_tiny_config, tmp_path, tiny_dataset, tiny_run, capsys, case):
    breaks, expected = bad_data.CASES[case]
    root = tmp_path / 'data'
    shutil.copytree(tiny_dataset, root)
    breaks(root, 'validation')
    config = write_tiny_config(root=root)
    code = run('test', config, tiny_run / 'iter_4.pth', '--work-dir', tmp_path / 'work')
    assert_one_clear_line(code, capsys, expected)
    assert not (tmp_path / 'work' / 'metrics.json').exists()
