"""Training by epochs: everything that a training by iterations does, and passes over the data that end."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from support.tiny_config import CURVES
from support.training import assert_same_state, in_iteration, train_whole
from swinseg.checkpoints import read_checkpoint
from swinseg.engine import ConfigError, load_config, train
from swinseg.errors import Interrupted

# Four images in batches of two: an epoch is two iterations.
EPOCHS = """
train_cfg = dict(by_epoch=True, max_epochs=3, val_interval=1)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=3),
    dict(type='PolyLR', power=1.0, eta_min=1e-5, by_epoch=True, begin=0),
]
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))
"""
EXACT = (
    EPOCHS
    + """
val_dataloader = val_cfg = val_evaluator = None
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1, save_best=None))
custom_hooks = [dict(type='EMAHook', momentum=0.01)]
"""
)


@pytest.fixture(scope='module')
def whole_run(tmp_path_factory, tiny_dataset) -> Path:
    """The work directory of three epochs that were not interrupted, without workers."""
    return train_whole(tmp_path_factory.mktemp('whole'), tiny_dataset, EXACT)


@pytest.mark.slow
def test_epochs__leave_checkpoints_validations_and_curves(write_tiny_config, tmp_path, capsys):
    extra = EPOCHS + CURVES + 'log_processor = dict(by_epoch=True)\n'
    cfg = load_config(write_tiny_config(extra=extra), {'train_cfg.max_epochs': 2})
    cfg.default_hooks.logger.log_metric_by_epoch = True
    done = train(cfg, work_dir=tmp_path / 'work', seed=0, check=False)
    assert (done.iterations, done.epochs) == (4, 2)
    assert done.last == tmp_path / 'work' / 'epoch_2.pth'
    assert read_checkpoint(done.last)['meta']['epoch'] == 2
    assert done.best is not None
    out = capsys.readouterr().out
    assert 'training from iteration 0 to 4 (epoch 0 to 2, of 2 iterations)' in out
    assert 'epoch 2/2  iteration 4/4' in out
    assert out.count('validation at iteration 2 (epoch 1):') == 1
    assert 'trained to iteration 4 (epoch 2)' in out
    assert (tmp_path / 'work' / 'curves.png').is_file()
    log = next((tmp_path / 'work').glob('*/vis_data/scalars.json')).read_text().splitlines()
    lines = [json.loads(line) for line in log]
    assert [(line['step'], line['epochs']) for line in lines if 'loss' in line] == [
        (1, 0.5), (2, 1.0), (3, 1.5), (4, 2.0),
    ]  # fmt: skip
    assert [line['step'] for line in lines if 'mIoU' in line] == [2, 4]
    # Of a run that has ended nothing is left to do, and one that is shorter than what is trained is a mistake.
    train(cfg, work_dir=tmp_path / 'work', resume=True, check=False)
    cfg.train_cfg.max_epochs = 1
    with pytest.raises(ConfigError, match=r'written after epoch 2, but train_cfg\.max_epochs=1'):
        train(cfg, work_dir=tmp_path / 'work', resume=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize('workers', [0, pytest.param(1, marks=pytest.mark.full)])
def test_epochs__resume_bit_by_bit_from_the_middle_of_one(
    write_tiny_config, tmp_path, whole_run, monkeypatch, workers
):
    cfg = load_config(write_tiny_config(extra=EXACT), {'train_dataloader.num_workers': workers})
    with monkeypatch.context() as patch:
        in_iteration(patch, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(
            Interrupted, match=r'stopped at iteration 3 \(epoch 2\), which is saved'
        ):
            train(cfg, work_dir=tmp_path, seed=0, check=False)
    assert {path.name for path in tmp_path.glob('*.pth')} == {'epoch_1.pth', 'epoch_1_iter_3.pth'}
    assert read_checkpoint(tmp_path / 'epoch_1_iter_3.pth')['sampler']['position'] == 6
    train(cfg, work_dir=tmp_path, resume='auto', check=False)
    assert_same_state(tmp_path / 'epoch_3.pth', whole_run / 'epoch_3.pth')


def test_epochs__resume_bit_by_bit_at_the_end_of_one_when_the_newest_is_damaged(
    write_tiny_config, tmp_path, whole_run, capsys
):
    shutil.copytree(whole_run, tmp_path / 'work')
    (tmp_path / 'work' / 'epoch_3.pth').write_bytes(b'half')
    cfg = load_config(write_tiny_config(extra=EXACT))
    train(cfg, work_dir=tmp_path / 'work', resume='auto', check=False)
    assert 'going on from epoch_2.pth' in capsys.readouterr().out
    assert_same_state(tmp_path / 'work' / 'epoch_3.pth', whole_run / 'epoch_3.pth')


@pytest.mark.full
def test_epochs__resume_bit_by_bit_from_checkpoints_by_iteration(write_tiny_config, tmp_path):
    """One is written before the schedules that count epochs have taken their step at the end of an epoch."""
    cfg = load_config(write_tiny_config(extra=EXACT))
    cfg.default_hooks.checkpoint.update(by_epoch=False, max_keep_ckpts=-1)
    train(cfg, work_dir=tmp_path / 'first', seed=0, check=False)
    for iteration in (3, 4):
        work = tmp_path / f'from_{iteration}'
        start = tmp_path / 'first' / f'iter_{iteration}.pth'
        train(cfg, work_dir=work, resume=start, check=False)
        assert_same_state(work / 'iter_6.pth', tmp_path / 'first' / 'iter_6.pth')


def test_epochs__with_another_sampler_load_the_started_one_again_and_say_so(
    write_tiny_config, tmp_path, capsys
):
    options = {'default_hooks.checkpoint.by_epoch': False}
    cfg = load_config(write_tiny_config(extra=EXACT), options)
    cfg.train_dataloader.sampler.type = 'DefaultSampler'
    cfg.train_cfg.max_epochs = 2
    train(cfg, work_dir=tmp_path / 'a', seed=0, check=False)
    capsys.readouterr()
    train(cfg, work_dir=tmp_path / 'b', resume=tmp_path / 'a' / 'iter_3.pth', check=False)
    assert 'loading the images of 1 iterations again, for DefaultSampler' in capsys.readouterr().out
    assert read_checkpoint(tmp_path / 'b' / 'iter_4.pth')['meta']['epoch'] == 1


def test_epochs__of_another_length_begin_anew(write_tiny_config, tmp_path, whole_run, capsys):
    cfg = load_config(write_tiny_config(extra=EXACT), {'train_dataloader.batch_size': 4})
    cfg.default_hooks.checkpoint.by_epoch = False
    done = train(cfg, work_dir=tmp_path, resume=whole_run / 'epoch_2.pth', check=False)
    assert (done.iterations, done.epochs) == (5, 3)
    assert 'begins anew' not in capsys.readouterr().out


def test_epochs__go_on_from_a_training_that_counted_iterations(write_tiny_config, tmp_path):
    extra = EXACT + 'param_scheduler = None\n'
    by_iteration = load_config(write_tiny_config(extra=extra), {'train_cfg.by_epoch': True})
    by_iteration.train_cfg = dict(by_epoch=False, max_iters=3)
    by_iteration.default_hooks.checkpoint.by_epoch = False
    first = train(by_iteration, work_dir=tmp_path, seed=0, check=False)
    cfg = load_config(write_tiny_config(extra=extra))
    done = train(cfg, work_dir=tmp_path, resume=first.last, check=False)
    assert (done.iterations, done.epochs) == (6, 3)


def test_epochs__stop_early(write_tiny_config, tmp_path, capsys):
    extra = EPOCHS + (
        "custom_hooks = [dict(type='ResumableEarlyStoppingHook', patience=1, min_delta=100.0)]\n"
    )
    cfg = load_config(write_tiny_config(extra=extra))
    done = train(cfg, work_dir=tmp_path, check=False)
    assert (done.iterations, done.epochs) == (4, 2)
    assert 'training ends early, at iteration 4 (epoch 2)' in capsys.readouterr().out
