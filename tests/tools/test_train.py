"""``tools/train.py``: from a config to a checkpoint, and what it says when something is wrong."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
import torch

from support import bad_data
from support.scripts import TOOLS, assert_one_clear_line, load, run
from swinseg.checkpoints import checkpoint_meta, read_checkpoint
from swinseg.datasets.synthetic import CLASSES


def test_train__as_a_command(write_tiny_config, tmp_path):
    command = [
        *(sys.executable, TOOLS / 'train.py', write_tiny_config(), '--work-dir', tmp_path / 'work'),
        *('--seed', '1', '--amp', '--cfg-options', 'train_cfg.max_iters=2'),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert 'iteration 2/2' in done.stdout
    assert f'{tmp_path}/work/best_mIoU_iter_2.pth' in done.stdout.splitlines()[-1]
    assert 'Traceback' not in done.stderr
    checkpoint = read_checkpoint(tmp_path / 'work' / 'iter_2.pth')
    assert checkpoint_meta(checkpoint)['classes'] == CLASSES
    assert checkpoint['meta']['seed'] == 1
    # In a process of its own: what it says of a mistake stands alone on stderr.
    command[-1] = 'train_cfg.max_itrs=2'
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if 'UserWarning' not in line] == [
        'error: --cfg-options train_cfg.max_itrs: train_cfg has no max_itrs; did you mean train_cfg.max_iters?'
    ]


def test_train__resumes_at_the_right_iteration(write_tiny_config, tmp_path, capsys, tiny_run):
    shutil.copytree(tiny_run, tmp_path / 'work')
    path = write_tiny_config()
    options = ('--work-dir', tmp_path / 'work', '--cfg-options', 'train_cfg.max_iters=6')
    assert run('train', path, '--resume', *options) == 0
    assert 'training from iteration 4 to 6' in capsys.readouterr().out
    assert run('train', path, '--resume', tmp_path / 'work' / 'iter_4.pth', *options) == 0
    assert 'training from iteration 4 to 6' in capsys.readouterr().out


def test_train__help(capsys):
    with pytest.raises(SystemExit) as caught:
        load('train').main(['--help'])
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


def _half_a_backbone(path):
    state = read_checkpoint(path)['state_dict']
    return {
        k: v for i, (k, v) in enumerate(state.items()) if i % 2 or not k.startswith('backbone.')
    }


@pytest.mark.parametrize(
    ('case', 'expected'),
    [
        ('missing config', r'no config file .*tinny\.py; did you mean .*tiny\.py'),
        ('misspelled key', r'model\.backbone\.windw_size .*did you mean window_size\?'),
        ('misspelled option', r'no windw_size; did you mean model\.backbone\.window_size\?'),
        ('option without value', r'takes pairs'),
        ('work dir under a file', r'cannot write to the output folder .*work'),
        ('nothing to resume', r'no checkpoint to resume from'),
        ('resume from a missing file', r'gone\.pth'),
        ('resume from a truncated checkpoint', r'half\.pth is truncated or damaged'),
        ('resume from weights', r'weights\.pth has no optimizer'),
        ('resume from another architecture', r'iter_4\.pth.*embed_dims=16'),
        ('initial weights of another architecture', r'weights\.pth.*embed_dims=16'),
        ('initial weights without half of the backbone', r'lacking\.pth fills .*% of the backbone'),
        ('initial weights that are no weights', r'text\.pth'),
        ('loss that is not finite', r'the loss became (nan|inf) at iteration'),
    ],
)
def test_train__bad_input(write_tiny_config, tmp_path, tiny_run, capsys, case, expected):
    config, arguments, options = write_tiny_config(), [], []
    work_dir = tmp_path / 'work'
    wider = ['model.backbone.embed_dims=32', 'model.decode_head.in_channels=[32,64,128,256]',
             'model.auxiliary_head.in_channels=128']  # fmt: skip
    checkpoint = read_checkpoint(tiny_run / 'iter_4.pth')
    if case == 'missing config':
        config = config.with_name('tinny.py')
    elif case == 'misspelled key':
        config = write_tiny_config(extra='model = dict(backbone=dict(windw_size=7))')
    elif case == 'misspelled option':
        options = ['model.backbone.windw_size=7']
    elif case == 'option without value':
        options = ['model.backbone.window_size']
    elif case == 'work dir under a file':
        (tmp_path / 'file').write_text('')
        work_dir = tmp_path / 'file' / 'work'
    elif case == 'nothing to resume':
        arguments = ['--resume']
    elif case == 'resume from a missing file':
        arguments = ['--resume', tmp_path / 'gone.pth']
    elif case == 'resume from a truncated checkpoint':
        content = (tiny_run / 'iter_4.pth').read_bytes()
        (tmp_path / 'half.pth').write_bytes(content[: len(content) // 2])
        arguments = ['--resume', tmp_path / 'half.pth']
    elif case == 'resume from weights':
        torch.save({'state_dict': checkpoint['state_dict']}, tmp_path / 'weights.pth')
        arguments = ['--resume', tmp_path / 'weights.pth']
    elif case == 'resume from another architecture':
        arguments, options = ['--resume', tiny_run / 'iter_4.pth'], wider
    elif case == 'initial weights of another architecture':
        torch.save(checkpoint['state_dict'], tmp_path / 'weights.pth')
        options = [*wider, f'load_from={tmp_path}/weights.pth']
    elif case == 'initial weights without half of the backbone':
        torch.save(_half_a_backbone(tiny_run / 'iter_4.pth'), tmp_path / 'lacking.pth')
        options = [f'load_from={tmp_path}/lacking.pth']
    elif case == 'initial weights that are no weights':
        (tmp_path / 'text.pth').write_text('text')
        options = [f'load_from={tmp_path}/text.pth']
    else:
        options = [
            'optim_wrapper.optimizer.lr=1e30',
            'param_scheduler=None',
            'train_cfg.max_iters=9',
            'custom_hooks.0.limit=0',
        ]
    if options:
        arguments = [*arguments, '--cfg-options', *options]
    code = run('train', config, '--work-dir', work_dir, *arguments)
    assert_one_clear_line(code, capsys, expected)


@pytest.mark.parametrize(
    ('option', 'sentence'),
    [
        ('train_dataloader.dataset.pipeline.3.crop_size=48,48', 'RandomCrop refuses .* list'),
        ('model.decode_head.in_channels=16', 'UPerNetHead refuses .*isinstance'),
        ('param_scheduler.1.end=20', 'PolyLR refuses param_scheduler.1 .*begin=50, end=20'),
    ],
)
def test_train__what_a_class_refuses_is_bad_input(
    write_tiny_config, tmp_path, capsys, option, sentence
):
    code = run('train', write_tiny_config(), '--work-dir', tmp_path, '--cfg-options', option)
    assert_one_clear_line(code, capsys, sentence)
