"""Kernels and precision that a training chooses on a GPU, and nowhere else."""

import copy

import pytest
import torch
from mmengine.config import ConfigDict
from torch import nn

from support.fake_device import FakeDevice
from swinseg.engine import ConfigError, SwinsegRunner, load_config
from swinseg.engine.optim.on_gpu import choose_tf32, with_fused_step
from swinseg.engine.optim.parts import optimizers_of

ADAMW = {'type': 'AdamW', 'lr': 0.1}
WITHOUT_FUSED = (
    "optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.01))"
)


def chosen(optimizer, name, model=None):
    """Return the optimizer of the config for a network on a device."""
    model = model or nn.Linear(3, 2)
    cfg = ConfigDict(type='OptimWrapper', optimizer=optimizer, clip_grad=dict(max_norm=1.0))
    before = cfg.to_dict()
    if name == 'cpu':
        found = with_fused_step(cfg, model)
    else:
        with FakeDevice(name) as device:
            found = with_fused_step(cfg, device.move(model))
    assert cfg.to_dict() == before
    assert found['clip_grad'] == {'max_norm': 1.0}
    return dict(found['optimizer'])


@pytest.mark.parametrize('kind', ['AdamW', 'Adam', 'SGD', torch.optim.AdamW])
def test_with_fused_step__on_cuda(kind):
    optimizer = {'type': kind, 'lr': 0.1}
    assert chosen(optimizer, 'cuda:0') == {**optimizer, 'fused': True}


@pytest.mark.parametrize('name', ['cpu', 'mps'])
def test_with_fused_step__leaves_other_devices_alone(name):
    assert chosen(ADAMW, name) == ADAMW


@pytest.mark.parametrize(
    'choice', [{'fused': False}, {'fused': None}, {'foreach': True}, {'differentiable': True}]
)
def test_with_fused_step__the_config_chooses(choice):
    assert chosen({**ADAMW, **choice}, 'cuda:0') == {**ADAMW, **choice}


def test_with_fused_step__leaves_out_what_has_no_fused_kernel():
    for kind in ('Adagrad', 'someone.AdamW'):
        other = {'type': kind, 'lr': 0.1}
        assert chosen(other, 'cuda:0') == other
    of_integers = nn.Linear(3, 2)
    of_integers.count = nn.Parameter(torch.zeros((), dtype=torch.int64), requires_grad=False)
    assert chosen(ADAMW, 'cuda:0', of_integers) == ADAMW
    assert with_fused_step('built', nn.Linear(3, 2)) == 'built'


def build_runner(write_tiny_config, tmp_path, extra):
    cfg = load_config(write_tiny_config(extra=extra))
    cfg.work_dir, cfg.experiment_name = str(tmp_path / 'w'), tmp_path.name
    return SwinsegRunner.from_cfg(cfg)


def test_build_optim_wrapper__is_as_ever_on_a_cpu_and_fused_on_cuda(write_tiny_config, tmp_path):
    runner = build_runner(write_tiny_config, tmp_path, WITHOUT_FUSED)
    (optimizer,) = optimizers_of(runner.build_optim_wrapper(runner.cfg.optim_wrapper))
    assert {group['fused'] for group in optimizer.param_groups} == {None}
    with FakeDevice() as device:
        device.move(runner.model)
        (optimizer,) = optimizers_of(runner.build_optim_wrapper(runner.cfg.optim_wrapper))
    assert {group['fused'] for group in optimizer.param_groups} == {True}


def test_fused_optimizer__goes_on_from_the_state_of_a_plain_one(write_tiny_config, tmp_path):
    """As when a checkpoint of a CPU, or of an older version, is resumed on a GPU."""
    runner = build_runner(write_tiny_config, tmp_path, WITHOUT_FUSED)
    weights = dict(runner.model.named_parameters())

    def step(optimizer, seed):
        generator = torch.Generator().manual_seed(seed)
        for group in optimizer.param_groups:
            for weight in group['params']:
                drawn = torch.randn(weight.shape, generator=generator)
                on_device = isinstance(weight, nn.Parameter) and weight.is_cuda
                weight.grad = device.put(drawn) if on_device else drawn
        optimizer.step()

    (plain,) = optimizers_of(runner.build_optim_wrapper(runner.cfg.optim_wrapper))
    step(plain, 0)
    state = copy.deepcopy(plain.state_dict())
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    with FakeDevice() as device:
        step(plain, 1)
        expected = {name: weight.detach().clone() for name, weight in weights.items()}
        for name, weight in weights.items():
            weight.data.copy_(before[name])
        device.move(runner.model)
        (fused,) = optimizers_of(runner.build_optim_wrapper(runner.cfg.optim_wrapper))
        fused.load_state_dict(state)
        step(fused, 1)
    for name, weight in runner.model.named_parameters():
        torch.testing.assert_close(weight.held, expected[name], rtol=1e-5, atol=1e-6, msg=name)
        assert not torch.equal(weight.held, before[name])


@pytest.mark.usefixtures('kept_tf32')
@pytest.mark.parametrize('tf32', [True, False])
def test_tf32__is_as_the_config_says(write_tiny_config, tmp_path, tf32):
    build_runner(write_tiny_config, tmp_path, f'env_cfg = dict(tf32={tf32})')
    assert torch.backends.cuda.matmul.allow_tf32 is tf32
    assert torch.backends.cudnn.allow_tf32 is tf32


@pytest.mark.usefixtures('kept_tf32')
@pytest.mark.parametrize('env_cfg', [{}, {'tf32': None}])
def test_tf32__is_left_to_pytorch(env_cfg):
    choose_tf32(env_cfg)
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.allow_tf32


def test_tf32__refuses_what_is_no_choice():
    with pytest.raises(ConfigError, match=r'env_cfg\.tf32 must be True or False, .* not high'):
        choose_tf32({'tf32': 'high'})
