"""A checkpoint of stock mmseg, written by mmengine's own runner, hooks and metric: evaluated and resumed here."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from mmengine.runner import Runner

from support.tiny_config import tiny_config
from swinseg.checkpoints import read_checkpoint
from swinseg.engine import evaluate, load_config, train


@pytest.fixture(scope='module')
def stock_run(tmp_path_factory, tiny_dataset):
    """The work directory of two iterations of mmengine's runner, and our config of the same network."""
    folder = tmp_path_factory.mktemp('stock')
    (folder / 'tiny.py').write_text(tiny_config(tiny_dataset))
    ours = load_config(folder / 'tiny.py')
    stock = copy.deepcopy(ours)
    stock.model.type, stock.model.backbone.type = 'EncoderDecoder', 'SwinTransformer'
    stock.model.decode_head.type = 'UPerHead'
    stock.train_dataloader.sampler.type = 'InfiniteSampler'
    stock.val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
    stock.custom_hooks = [dict(type='EMAHook')]
    stock.default_hooks.checkpoint.type = 'CheckpointHook'
    stock.train_cfg.max_iters = 2
    stock.work_dir, stock.experiment_name = str(folder / 'work'), 'stock_checkpoint'
    # Of one name mmengine has one writer in a process, and it writes into the folder of its first run.
    stock.visualizer.name = stock.experiment_name
    stock.randomness = dict(seed=4)
    Runner.from_cfg(stock).train()
    return folder / 'work', ours


def test_stock_checkpoint__evaluates_to_the_same_figures(stock_run, tmp_path):
    folder, ours = stock_run
    lines = next(folder.glob('*/vis_data/scalars.json')).read_text().splitlines()
    validation = json.loads(lines[-1])
    metrics = evaluate(ours, folder / 'iter_2.pth', work_dir=tmp_path)
    assert metrics['mIoU'] > 0
    assert metrics == {key: pytest.approx(validation[key], abs=0.006) for key in metrics}


def test_stock_checkpoint__is_resumed_with_everything_it_has(stock_run, tmp_path, capsys):
    folder, ours = stock_run
    cfg = copy.deepcopy(ours)
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type='EMAHook')]
    result = train(cfg, work_dir=tmp_path, resume=folder / 'iter_2.pth', check=False)
    assert result.iterations == 4
    before, after = read_checkpoint(folder / 'iter_2.pth'), read_checkpoint(result.last)
    assert {int(state['step']) for state in after['optimizer']['state'].values()} == {4}
    assert after['param_schedulers'][0]['last_step'] == 4
    assert after['meta']['seed'] == before['meta']['seed'] == 4
    assert after['ema_state_dict']['steps'] == before['ema_state_dict']['steps'] + 2
    assert after['sampler'] == {'position': 8, 'size': 4}
    # The history of mmengine goes on, numpy's numbers and all.
    old, new = (
        each['message_hub']['log_scalars']['train/loss']._log_history for each in (before, after)
    )
    assert new[: len(old)].tolist() == old.tolist()
    assert len(new) == 4
    best = before['message_hub']['runtime_info']['best_score']
    assert after['message_hub']['runtime_info']['best_score'] >= best
    out = capsys.readouterr().out
    assert 'training from iteration 2 to 4' in out
    assert 'the checkpoint has no states of random generators, as one of mmengine' in out


def test_stock_checkpoint__moments_are_those_of_the_file(stock_run, tmp_path):
    """With a learning rate and gradients of nothing the next step only lets the moments fade."""
    folder, ours = stock_run
    cfg = copy.deepcopy(ours)
    cfg.train_cfg.max_iters = 3
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.save_best = None
    cfg.optim_wrapper.clip_grad = dict(max_norm=1e-30)
    result = train(cfg, work_dir=tmp_path, resume=folder / 'iter_2.pth', check=False)
    before = read_checkpoint(folder / 'iter_2.pth')['optimizer']['state']
    after = read_checkpoint(result.last)['optimizer']['state']
    assert before.keys() == after.keys()
    for index, state in before.items():
        torch.testing.assert_close(after[index]['exp_avg'], 0.9 * state['exp_avg'])
