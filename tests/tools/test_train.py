"""``tools/train.py``: from a config to a checkpoint, and what it says when something is wrong."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from support import bad_data
from support.scripts import TOOLS, assert_one_clear_line, run, run_in_process
from support.tiny_config import CURVES
from swinseg.checkpoints import checkpoint_meta, read_checkpoint
from swinseg.datasets.mini.dataset import CLASSES


@pytest.mark.slow
def test_train__as_a_command(write_tiny_config, tmp_path):
    arguments = [
        *(write_tiny_config(extra=CURVES), '--work-dir', tmp_path / 'work'),
        *('--seed', '1', '--amp', '--cfg-options', 'train_cfg.max_iters=2'),
    ]
    command = [sys.executable, TOOLS / 'train.py', *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert 'iteration 2/2' in done.stdout
    assert f'{tmp_path}/work/best_mIoU_iter_2.pth' in done.stdout.splitlines()[-1]
    assert 'Traceback' not in done.stderr
    checkpoint = read_checkpoint(tmp_path / 'work' / 'iter_2.pth')
    assert checkpoint_meta(checkpoint)['classes'] == CLASSES
    assert checkpoint['meta']['seed'] == 1
    # In a process of its own: what it says of a mistake stands alone on stderr.
    outcome = run_in_process(
        'train', *arguments[:-1], 'train_cfg.max_itrs=2', folder=tmp_path / 'process'
    )
    assert [outcome.code, outcome.out] == [2, '']
    assert outcome.err.splitlines() == [
        'error: --cfg-options train_cfg.max_itrs: train_cfg has no max_itrs; did you mean train_cfg.max_iters?'
    ]


@pytest.mark.full
def test_train__resumes_at_the_right_iteration(write_tiny_config, tmp_path, capsys, tiny_run):
    shutil.copytree(tiny_run, tmp_path / 'work')
    (tmp_path / 'work' / 'curves.png').unlink()
    path = write_tiny_config(extra=CURVES)
    options = ('--work-dir', tmp_path / 'work', '--cfg-options', 'train_cfg.max_iters=6')
    assert run('train', path, '--resume', *options) == 0
    assert (tmp_path / 'work' / 'curves.png').is_file()
    assert 'training from iteration 4 to 6' in capsys.readouterr().out
    assert run('train', path, '--resume', tmp_path / 'work' / 'iter_4.pth', *options) == 0
    assert 'training from iteration 4 to 6' in capsys.readouterr().out


def test_train__help(capsys):
    with pytest.raises(SystemExit) as caught:
        run('train', '--help')
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for option in ('--work-dir', '--resume', '--amp', '--seed', '--cfg-options', '--launcher'):
        assert option in text


@pytest.mark.parametrize('part', ['training', 'validation'])
@pytest.mark.parametrize('case', bad_data.CASES)
def test_train__bad_data(write_tiny_config, tmp_path, tiny_dataset, capsys, case, part):
    breaks, expected = bad_data.CASES[case]
    root = tmp_path / 'data'
    shutil.copytree(tiny_dataset, root)
    breaks(root, part)
    code = run('train', write_tiny_config(root=root), '--work-dir', tmp_path / 'work')
    assert_one_clear_line(code, capsys, f'{tmp_path}.*{expected}|{expected}')
    assert not list((tmp_path / 'work').glob('*.pth'))


def test_train__bad_file_that_a_worker_meets_first(
    write_tiny_config, tmp_path, tiny_dataset, capsys
):
    from swinseg import cli
    from swinseg.engine import load_config
    from swinseg.engine import train as train_function

    root = tmp_path / 'data'
    shutil.copytree(tiny_dataset, root)
    for path in (root / 'images' / 'training').glob('*.jpg'):
        path.write_text('text')
    cfg = load_config(write_tiny_config(root=root), {'train_dataloader.num_workers': 1})
    code = cli.run(lambda: train_function(cfg, work_dir=tmp_path / 'work', check=False))
    assert_one_clear_line(code, capsys, r'images/training/.*\.jpg')
