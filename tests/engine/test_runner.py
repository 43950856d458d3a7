"""What the runner leaves behind, and the optimizer after a resume."""

from __future__ import annotations

import contextlib
import multiprocessing
import shutil

import pytest
import torch

from swinseg.checkpoints import read_checkpoint
from swinseg.datasets import DataError
from swinseg.engine import load_config, train


@pytest.mark.slow
@pytest.mark.parametrize('persistent', [False, True])
@pytest.mark.parametrize('broken', [False, True])
def test_train__leaves_no_process_behind(
    write_tiny_config, tmp_path, tiny_dataset, persistent, broken
):
    root = tmp_path / 'data'
    shutil.copytree(tiny_dataset, root)
    if broken:
        next((root / 'images' / 'training').glob('*.jpg')).write_text('text')
    options = {
        f'{loader}_dataloader.{key}': value
        for loader in ('train', 'val')
        for key, value in (('num_workers', 1), ('persistent_workers', persistent))
    }
    with pytest.raises(DataError) if broken else contextlib.nullcontext():
        train(
            load_config(write_tiny_config(root=root), options), work_dir=tmp_path / 'w', check=False
        )
    assert not [child for child in multiprocessing.active_children() if child.is_alive()]


def test_fused_adamw__takes_the_same_steps():
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(300, 40, generator=generator)
    weights = [start.clone().requires_grad_() for _ in range(2)]
    optimizers = [
        torch.optim.AdamW([weight], lr=6e-5, weight_decay=0.01, fused=fused)
        for weight, fused in zip(weights, (False, True), strict=True)
    ]
    for _ in range(20):
        gradient = torch.randn(start.shape, generator=generator)
        for weight, optimizer in zip(weights, optimizers, strict=True):
            weight.grad = gradient.clone()
            optimizer.step()
    plain, fused = weights
    assert not torch.equal(plain, start)
    assert (fused - plain).norm() <= 1e-6 * plain.norm()
    assert ((fused - plain).norm() / (plain - start).norm()).item() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize('fused_first', [False, True])
def test_resume__keeps_the_kernels_of_the_config(write_tiny_config, tmp_path, fused_first):
    steps = {'train_cfg.max_iters': 2}
    kernels = [
        load_config(write_tiny_config(), {**extra, 'optim_wrapper.optimizer.fused': fused})
        for extra, fused in ((steps, fused_first), ({}, not fused_first))
    ]
    train(kernels[0], work_dir=tmp_path, seed=0)
    first = read_checkpoint(tmp_path / 'iter_2.pth')['optimizer']
    assert {group['fused'] for group in first['param_groups']} == {fused_first}
    train(kernels[1], work_dir=tmp_path, resume=True)
    last = read_checkpoint(tmp_path / 'iter_4.pth')['optimizer']
    assert {group['fused'] for group in last['param_groups']} == {not fused_first}
    assert {int(state['step']) for state in last['state'].values()} == {4}
