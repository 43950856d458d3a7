"""Averaged weights and early stopping: in training, in what is saved, after a resume, in an evaluation."""

from __future__ import annotations

import shutil

import pytest
import torch

from swinseg.checkpoints import read_checkpoint
from swinseg.engine import ConfigError, evaluate, load_config, train

EMA = """
custom_hooks = [dict(type='ResumableEMAHook', momentum=0.25)]
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=-1))
param_scheduler = None
"""


def _weights(state, prefix=''):
    return {
        key: value.double()
        for key, value in state.items()
        if value.is_floating_point() and 'running' not in key and key.startswith(prefix)
    }


@pytest.mark.slow
def test_ema__checkpoint_validation_and_resume(write_tiny_config, tmp_path):
    path = write_tiny_config(extra=EMA)
    work_dir = tmp_path / 'work'
    done = train(load_config(path), work_dir=work_dir, seed=0, check=False)
    average = None
    for iteration in range(1, 5):
        saved = read_checkpoint(work_dir / f'iter_{iteration}.pth')
        trained = {
            key.removeprefix('module.'): value
            for key, value in _weights(saved['ema_state_dict'], 'module.').items()
        }
        # The first step starts the average; then a = (1 - m) a + m w.
        if average is None:
            average = trained
        average = {
            k: (trained[k] if iteration == 1 else 0.75 * average[k] + 0.25 * trained[k])
            for k in average
        }
        for key, value in _weights(saved['state_dict']).items():
            torch.testing.assert_close(value, average[key], rtol=1e-5, atol=1e-6)
    assert any((average[k] - trained[k]).abs().max() > 1e-5 for k in average)
    # What was validated is what the checkpoint holds.
    figures = evaluate(load_config(path), done.best, work_dir=tmp_path / 'test')
    assert figures['mIoU'] == pytest.approx(done.best_score)
    # A resumed training goes on with both.
    resumed = tmp_path / 'resumed'
    resumed.mkdir()
    shutil.copy(work_dir / 'iter_2.pth', resumed)
    train(load_config(path), work_dir=resumed, resume=True, check=False)
    for key in ('state_dict', 'ema_state_dict'):
        for name, value in read_checkpoint(resumed / 'iter_4.pth')[key].items():
            assert torch.equal(value, saved[key][name]), (key, name)


def test_ema__starts_from_weights_of_another_format(write_tiny_config, tmp_path, tiny_run):
    """The hook of mmengine looks for a state_dict that bare weights have not."""
    weights = tmp_path / 'weights.pth'
    torch.save(read_checkpoint(tiny_run / 'iter_4.pth')['state_dict'], weights)
    cfg = load_config(
        write_tiny_config(extra=EMA), {'train_cfg.max_iters': 1, 'load_from': str(weights)}
    )
    cfg.optim_wrapper.optimizer.lr = 0.0
    train(cfg, work_dir=tmp_path / 'work', check=False)
    found = _weights(read_checkpoint(tmp_path / 'work' / 'iter_1.pth')['state_dict'])
    for key, value in _weights(torch.load(weights)).items():
        assert torch.equal(found[key], value)


STOPPING = """
custom_hooks = [dict(type='ResumableEarlyStoppingHook', monitor='mIoU', patience=2, min_delta=100.0)]
train_cfg = dict(max_iters=20, val_interval=1)
default_hooks = dict(checkpoint=dict(interval=1))
"""


@pytest.mark.slow
def test_early_stopping__ends_the_training_and_remembers(write_tiny_config, tmp_path, capsys):
    cfg = load_config(write_tiny_config(extra=STOPPING))
    # The first validation is better than none, the two after it gain less than 100.
    done = train(cfg, work_dir=tmp_path / 'work', check=False)
    assert done.iterations == 3
    assert done.best_score is not None
    assert (
        'training ends early, at iteration 3: the monitored metric did not improve'
        in capsys.readouterr().out
    )
    # After two of three validations it has waited once, and waits once more.
    shutil.copytree(tmp_path / 'work', tmp_path / 'again')
    cfg.default_hooks.checkpoint.interval = 1
    done = train(
        cfg, work_dir=tmp_path / 'again', resume=tmp_path / 'work' / 'iter_2.pth', check=False
    )
    assert done.iterations == 3
    assert evaluate(cfg, tmp_path / 'work' / 'iter_3.pth', work_dir=tmp_path / 'test')['mIoU'] >= 0


def test_early_stopping__of_a_figure_that_there_is_not(write_tiny_config, tmp_path):
    cfg = load_config(write_tiny_config(extra=STOPPING.replace("'mIoU'", "'mDice'")))
    with pytest.raises(
        ConfigError, match=r"monitor .* names 'mDice', but a validation gives aAcc, mIoU"
    ):
        train(cfg, work_dir=tmp_path, check=False)
