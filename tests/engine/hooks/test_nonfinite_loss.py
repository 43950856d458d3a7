"""Batches whose loss is not finite: passed over without a trace, and an end when there are many."""

from __future__ import annotations

import pytest
import torch

from swinseg.checkpoints import read_checkpoint
from swinseg.engine import TrainingError, load_config, train
from swinseg.models import SwinSegmentor


def test_non_finite_guard__stops_before_the_step_and_names_the_images(write_tiny_config, tmp_path):
    cfg = load_config(
        write_tiny_config(),
        {'optim_wrapper.optimizer.lr': 1e30, 'param_scheduler': None, 'train_cfg.max_iters': 20},
    )
    cfg.training_hooks.non_finite_guard = dict(limit=0)
    with pytest.raises(TrainingError) as caught:
        train(cfg, work_dir=tmp_path, check=False)
    message = str(caught.value)
    assert '\n' not in message
    for part in (
        'the loss became',
        'at iteration',
        'learning rate 1.00e+30',
        '.jpg',
        'optimizer.lr',
    ):
        assert part in message
    # No checkpoint was written with what that step would have left.
    assert not list(tmp_path.glob('iter_1[0-9].pth'))


def test_non_finite_guard__leaves_a_sound_run_alone(tiny_run):
    assert (tiny_run / 'iter_4.pth').is_file()


def _spoil(monkeypatch, iterations, value=float('inf')):
    """Give the images of some iterations a value that no loss survives; return what the model had before them."""
    forward, calls, before = SwinSegmentor.loss, [], []

    def loss(self, inputs, data_samples):
        calls.append(None)
        if len(calls) in iterations:
            before.append({name: value.clone() for name, value in self.state_dict().items()})
            inputs = inputs.clone()
            inputs[0, 0, 0, 0] = value
        return forward(self, inputs, data_samples)

    monkeypatch.setattr(SwinSegmentor, 'loss', loss)
    return before


def test_non_finite_guard__a_batch_leaves_no_trace(
    write_tiny_config, tmp_path, monkeypatch, capsys
):
    cfg = load_config(write_tiny_config(), {'train_cfg.max_iters': 2})
    before = _spoil(monkeypatch, {2})
    result = train(cfg, work_dir=tmp_path / 'work', seed=0, check=False)
    after = read_checkpoint(result.last)
    # Weights as well as the statistics of batch norms, which the forward pass has changed.
    assert any('running_mean' in name for name in before[0])
    for name, value in before[0].items():
        assert torch.equal(after['state_dict'][name], value), name
    assert after['optimizer']['state'][0]['step'] == 1
    assert after['message_hub']['runtime_info']['passed_over'] == 1
    out = capsys.readouterr().out
    named = [line for line in out.splitlines() if 'the batch was left out, 1 so far' in line]
    assert len(named) == 1
    assert named[0].startswith('warning: the loss became nan at iteration 2 on the images ')
    assert named[0].count('.jpg') == 2
    assert 'warning: 1 batches were left out' in out
    assert 'loss nan' not in out


def test_non_finite_guard__the_count_survives_a_resume(
    write_tiny_config, tmp_path, monkeypatch, capsys
):
    _spoil(monkeypatch, {1, 3})
    path = write_tiny_config()
    work = tmp_path / 'work'
    train(load_config(path, {'train_cfg.max_iters': 2}), work_dir=work, seed=0, check=False)
    train(load_config(path), work_dir=work, resume=True, check=False)
    assert 'the batch was left out, 2 so far' in capsys.readouterr().out


def test_non_finite_guard__stops_after_the_limit(write_tiny_config, tmp_path, monkeypatch):
    _spoil(monkeypatch, {1, 2, 3})
    cfg = load_config(write_tiny_config())
    cfg.training_hooks.non_finite_guard = dict(limit=2)
    with pytest.raises(
        TrainingError, match=r'at iteration 3, the last of 3 such batches \(learning rate'
    ):
        train(cfg, work_dir=tmp_path, check=False)


def test_non_finite_guard__forgets_after_the_window(write_tiny_config, tmp_path, monkeypatch):
    _spoil(monkeypatch, {1, 4})
    cfg = load_config(write_tiny_config())
    cfg.training_hooks.non_finite_guard = dict(limit=1, window=3)
    assert train(cfg, work_dir=tmp_path, check=False).iterations == 4


def test_non_finite_guard__a_part_of_a_step_leaves_the_others(
    write_tiny_config, tmp_path, monkeypatch
):
    """Of two batches whose gradients add up the second is spoiled: the step is that of the first alone."""
    cfg = load_config(
        write_tiny_config(), {'optim_wrapper.accumulative_counts': 2, 'train_cfg.max_iters': 2}
    )
    _spoil(monkeypatch, {2})
    result = train(cfg, work_dir=tmp_path, seed=0, check=False)
    assert read_checkpoint(result.last)['optimizer']['state'][0]['step'] == 1


def test_non_finite_guard__weights_that_are_not_finite_are_told_from_a_batch(
    write_tiny_config, tmp_path, monkeypatch
):
    step = torch.optim.AdamW.step

    def spoil(self, *args, **kwargs):
        result = step(self, *args, **kwargs)
        self.param_groups[0]['params'][0].data.fill_(float('nan'))
        return result

    monkeypatch.setattr(torch.optim.AdamW, 'step', spoil)
    with pytest.raises(
        TrainingError, match=r'the weights backbone\.\S+ are no longer finite at iteration 2'
    ):
        train(load_config(write_tiny_config()), work_dir=tmp_path, check=False)
