"""Fully sharded training, over gloo or nccl: the gradients, trainings and checkpoints of whole ones."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from torch import distributed
from torch.distributed.tensor import DTensor

from support.data_parallel import (
    BACKENDS,
    DETERMINISTIC,
    build_model,
    draw_batch,
    gradients_of,
    logged,
    train_alone,
    train_and_resume,
)
from support.processes import values
from support.tiny_config import TIMM
from swinseg.checkpoints import read_checkpoint
from swinseg.engine import ConfigError, NonFiniteGuardHook, TrainingError, load_config, train
from swinseg.engine.distributed.data_parallel import wrap
from swinseg.engine.distributed.fsdp import FSDPModel, local_part
from swinseg.engine.distributed.launch import join

SHARDED = "model_wrapper_cfg = dict(type='MMFullyShardedDataParallel')\n"


def _sharded(cfg: Config) -> tuple[FSDPModel, OptimWrapper]:
    model = wrap(build_model(cfg, seed=7), cfg)
    assert isinstance(model, FSDPModel)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for parameter in model.parameters():  # as a resumed optimizer has them
        optimizer.state[parameter]['momentum_buffer'] = torch.ones_like(parameter)
    wrapper = OptimWrapper(optimizer)
    model.shard([optimizer])
    return model, wrapper


def _gradients_of_shares(cfg: Config) -> tuple[dict, dict, float]:
    join('pytorch')
    rank, number = distributed.get_rank(), distributed.get_world_size()
    model, wrapper = _sharded(cfg)
    whole = sum(parameter.numel() for parameter in model.parameters())
    held = sum(local_part(parameter).numel() for parameter in model.parameters())
    share = {name: part[rank::number] for name, part in draw_batch().items()}
    found = gradients_of(model, share)
    gradients = {
        name: (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).cpu()
        for name, tensor in found.items()
    }
    momenta = [state['momentum_buffer'] for state in wrapper.optimizer.state.values()]
    assert all(isinstance(momentum, DTensor) for momentum in momenta)
    with model.full_state_dict(wrapper):
        states = {'weights': model.module.state_dict(), 'optimizer': wrapper.state_dict()}
    assert any(isinstance(value, DTensor) for value in model.module.state_dict().values())
    return gradients, states, held / whole


@pytest.mark.slow
@BACKENDS
@pytest.mark.parametrize(
    ('number', 'with_cp', 'backbone'),
    [
        (2, True, ''),
        pytest.param(3, False, '', marks=pytest.mark.full),
        pytest.param(2, True, TIMM, marks=pytest.mark.full, id='timm'),
    ],
)
def test_shard__gradients_and_states_are_those_of_one_process(
    write_tiny_config, tmp_path, number, with_cp, backbone, backend
):
    """To rounding in float64, with shards of unequal size among them."""
    backend.require(number)
    config = write_tiny_config(extra=DETERMINISTIC + SHARDED + backbone)
    heads = {f'model.{head}.dropout_ratio': 0.0 for head in ('decode_head', 'auxiliary_head')}
    cfg = load_config(config, {'model.backbone.with_cp': with_cp, **heads})
    network = build_model(cfg, seed=7)
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    alone = gradients_of(network, draw_batch())
    assert len(alone) > 100
    parts = backend.values(_gradients_of_shares, cfg, count=number, folder=tmp_path)
    for found, _, held in parts:
        assert held == pytest.approx(1 / number, rel=0.1)
        assert found.keys() == alone.keys()
        for name, gradient in alone.items():
            error = (found[name] - gradient).norm() / max(gradient.norm(), 1e-6)
            assert error < 1e-6, name
    states = parts[0][1]
    assert list(states['weights']) == list(weights)
    for name, value in network.state_dict().items():
        expected = weights[name] if name in dict(network.named_parameters()) else value
        torch.testing.assert_close(states['weights'][name], expected, msg=name)
    momenta = [state['momentum_buffer'] for state in states['optimizer']['state'].values()]
    parameters = list(network.parameters())
    assert [momentum.shape for momentum in momenta] == [p.shape for p in parameters]
    assert all(bool((momentum == 1).all()) for momentum in momenta)


CLIPPED = """
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, eps=1e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=0.5),
)
custom_hooks = [dict(type='ResumableEMAHook', momentum=0.25, update_buffers=True)]
training_hooks = dict(first_batch=dict(_delete_=True))
"""


@pytest.mark.full
@BACKENDS
def test_train__shares_learn_what_one_process_does(write_tiny_config, tmp_path, backend):
    """Losses, weights, moments and figures; resumed, bit by bit on CPUs; and gone on with by one process."""
    backend.require(2)
    config = write_tiny_config(extra=DETERMINISTIC + CLIPPED)
    of_four = load_config(config, {'train_dataloader.batch_size': 4})
    alone = backend.alone(train_alone, of_four, tmp_path / 'alone', folder=tmp_path / 'one')
    cfg = load_config(config, {'model_wrapper_cfg.type': 'MMFullyShardedDataParallel'})
    outcomes = backend.run(train_and_resume, cfg, tmp_path, count=2, folder=tmp_path)
    score = pytest.approx(alone, abs=max(0.01, backend.score_tolerance))
    assert values(outcomes) == [[(4, score)] * 2] * 2
    half = tmp_path / 'whole' / 'iter_2.pth'
    arguments = (train_alone, of_four, tmp_path / 'one_after_two', half)
    backend.alone(*arguments, folder=tmp_path / 'another')
    names = ('alone', 'whole', 'resumed', 'one_after_two')
    expected, whole, resumed, one = (
        read_checkpoint(tmp_path / name / 'iter_4.pth') for name in names
    )
    assert whole.keys() == expected.keys()
    for entry in ('state_dict', 'ema_state_dict'):
        assert list(whole[entry]) == list(expected[entry])
        for name, weight in expected[entry].items():
            for found in (whole, one):
                backend.assert_close(found[entry][name], weight, rtol=1e-4, atol=1e-5, msg=name)
            backend.assert_same(whole[entry][name], resumed[entry][name], msg=name)
    states, own = expected['optimizer']['state'], whole['optimizer']['state']
    assert states.keys() == own.keys()
    for number, state in states.items():
        for name, value in state.items():
            backend.assert_close(own[number][name], value, rtol=1e-3, atol=1e-5)
    for name in ('loss', 'grad_norm'):
        values_of_two = logged(tmp_path / 'whole', name)
        assert len(values_of_two) == 4
        backend.assert_close(values_of_two, logged(tmp_path / 'alone', name), rtol=1e-5, atol=0)
        backend.assert_same(values_of_two[2:], logged(tmp_path / 'resumed', name))
    # One process writes and speaks.
    assert outcomes[1].out == ''
    if backend.name == 'gloo':  # nccl has warnings of its own
        assert outcomes[0].err == outcomes[1].err == ''
    assert 'iteration 4/4' in outcomes[0].out
    for name, of_one, of_two in zip(
        ('weights', 'gradients', 'moments', 'averages', 'activations'),
        _memory(tmp_path / 'alone'),
        _memory(tmp_path / 'whole'),
        strict=True,
    ):
        assert 0.4 < of_two / of_one < 0.6, name


def _memory(work_dir: Path) -> list[float]:
    """Return what the first step took, as the log tells."""
    (log,) = work_dir.glob('*/*.log')
    line = re.search('memory: (.*); together', log.read_text())
    assert line is not None
    return [float(part.split()[-1]) for part in line[1].split(', ')]


def _train_in_windows(cfg: Config, folder: Path) -> float | None:
    return train(cfg, work_dir=folder, seed=5, launcher='pytorch', check=False).best_score


@pytest.mark.slow
@BACKENDS
def test_validation__processes_may_have_other_numbers_of_windows(
    write_tiny_config, tmp_path, tiny_dataset, backend
):
    """Were the weights gathered for each window, one process would wait for the other for ever."""
    backend.require(2)
    extra = """
model = dict(test_cfg=dict(mode='slide', crop_size=(48, 48), stride=(32, 32)))
val_dataloader = dict(dataset=dict(pipeline=[
    dict(type='LoadImage'),
    dict(type='RandomResize', scale=(256, 64), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='LoadLabel'),
    dict(type='PackSegInputs'),
]))
env_cfg = dict(dist_cfg=dict(timeout=60))
"""
    cfg = load_config(write_tiny_config(extra=extra + SHARDED), {'train_cfg.max_iters': 2})
    arguments = (_train_in_windows, cfg, tmp_path / 'work')
    first, second = backend.values(*arguments, count=2, folder=tmp_path)
    assert first == second is not None


def _spoiled(cfg: Config) -> list[str]:
    """Return what the guard says of whole weights, and of weights with a nan in the share of the last process."""
    join('pytorch')
    model, _ = _sharded(cfg)
    said = []
    for value in (0.0, float('nan')):
        weight = local_part(model.module.decode_head.conv_seg.weight)
        if distributed.get_rank() == distributed.get_world_size() - 1:
            weight.data[0] = value
        try:
            NonFiniteGuardHook()._stop_if_nonfinite(SimpleNamespace(model=model, iter=0))
            said.append('')
        except TrainingError as error:
            said.append(str(error))
    return said


@BACKENDS
def test_guard__all_processes_see_a_nan_in_the_share_of_one(write_tiny_config, tmp_path, backend):
    cfg = load_config(write_tiny_config(extra=SHARDED))
    for said in backend.values(_spoiled, cfg, count=2, folder=tmp_path):
        assert said[0] == ''
        assert 'decode_head.conv_seg.weight are no longer finite' in said[1]


@pytest.mark.parametrize(
    ('extra', 'message'),
    [
        (
            "model_wrapper_cfg = dict(type='MMFullyShardedDataParallel', cpu_offload=True)",
            r'model_wrapper_cfg\.cpu_offload is no option of',
        ),
        (
            f"{SHARDED}optim_wrapper = dict(type='AmpOptimWrapper')",
            r"float32 or bfloat16, .* set .*dtype='bfloat16'",
        ),
    ],
)
def test_wrap__refuses_what_shares_cannot_do(write_tiny_config, extra, message):
    cfg = load_config(write_tiny_config(extra=extra))
    with pytest.raises(ConfigError, match=message):
        wrap(torch.nn.Linear(1, 1), cfg)
