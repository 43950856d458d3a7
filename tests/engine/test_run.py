"""Training and evaluation as functions: checkpoints, resuming, precision, protocol."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from mmseg.evaluation import IoUMetric
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from swinseg.checkpoints import CheckpointError, checkpoint_meta, read_checkpoint
from swinseg.datasets.mini.dataset import CLASSES, PALETTE
from swinseg.engine import ConfigError, evaluate, load_config, train
from swinseg.files import OutputError

NO_VALIDATION = """
val_dataloader = val_cfg = val_evaluator = None
default_hooks = dict(checkpoint=dict(save_best=None))
"""


def _losses(work_dir: Path) -> dict[int, float]:
    lines = [
        json.loads(line)
        for path in sorted(work_dir.glob('*/vis_data/scalars.json'))
        for line in path.read_text().splitlines()
    ]
    return {line['step']: line['loss'] for line in lines if 'loss' in line}


def test_train__leaves_checkpoints_logs_curves_and_scalars(tiny_run):
    assert {path.name for path in tiny_run.glob('*.pth')} == {
        'iter_2.pth', 'iter_4.pth', next(tiny_run.glob('best_*')).name,
    }  # fmt: skip
    assert (tiny_run / 'curves.png').read_bytes()[:4] == b'\x89PNG'
    assert list(_losses(tiny_run)) == [1, 2, 3, 4]
    events = next(tiny_run.glob('*/vis_data/events.out.tfevents.*'))
    scalars = EventAccumulator(str(events.parent)).Reload()
    assert [event.step for event in scalars.Scalars('loss')] == [1, 2, 3, 4]
    assert [event.step for event in scalars.Scalars('mIoU')] == [2, 4]
    assert {'lr', 'decode.loss_ce', 'aux.loss_ce', 'mAcc'} <= set(scalars.Tags()['scalars'])


@pytest.mark.parametrize('which', ['iter_4.pth', 'best_*.pth'])
def test_train__classes_and_palette_are_in_the_checkpoint(tiny_run, which):
    meta = checkpoint_meta(read_checkpoint(next(tiny_run.glob(which))))
    assert meta['classes'] == CLASSES
    assert [tuple(color) for color in meta['palette']] == [tuple(color) for color in PALETTE]
    assert meta['config']['model']['type'] == 'SwinSegmentor'


def test_train__without_validation_the_checkpoint_has_them_too(write_tiny_config, tmp_path):
    cfg = load_config(write_tiny_config(extra=NO_VALIDATION))
    result = train(cfg, work_dir=tmp_path / 'work')
    assert result.best is None
    assert checkpoint_meta(read_checkpoint(result.last))['classes'] == CLASSES
    assert len(checkpoint_meta(read_checkpoint(result.last))['palette']) == len(CLASSES)


def test_train__returns_where_things_are_and_leaves_the_config_alone(write_tiny_config, tmp_path):
    cfg = load_config(write_tiny_config())
    before = copy.deepcopy(cfg.to_dict())
    result = train(cfg, work_dir=tmp_path / 'work', seed=3)
    assert cfg.to_dict() == before
    assert result.iterations == 4
    assert result.work_dir == tmp_path / 'work'
    assert result.last == tmp_path / 'work' / 'iter_4.pth'
    assert result.best.is_file()
    assert 0 <= result.best_score <= 100


def test_train__losses_are_those_of_mmengine_own_runner(write_tiny_config, tmp_path):
    # Up to its validation, which draws random numbers of the training's in mmengine, and with mmengine's sampler.
    cfg = load_config(write_tiny_config(), {'train_cfg.val_interval': 4})
    cfg.train_dataloader.sampler.type = 'InfiniteSampler'
    train(cfg, work_dir=tmp_path / 'ours', seed=7)
    stock = copy.deepcopy(cfg)
    stock.work_dir, stock.randomness = str(tmp_path / 'stock'), dict(seed=7)
    stock.custom_hooks, stock.default_hooks.checkpoint.type = [], 'CheckpointHook'
    stock.visualizer.name = 'stock'
    Runner.from_cfg(stock).train()
    ours, theirs = _losses(tmp_path / 'ours'), _losses(tmp_path / 'stock')
    assert list(ours) == [1, 2, 3, 4]
    assert ours == theirs


def test_train__two_runs_within_a_second_share_nothing(write_tiny_config, tmp_path):
    cfg = load_config(write_tiny_config(extra=NO_VALIDATION), {'train_cfg.max_iters': 1})
    for name in ('first', 'second'):
        train(cfg, work_dir=tmp_path / name, seed=1, check=False)
    assert _losses(tmp_path / 'first') == _losses(tmp_path / 'second') != {}


def test_train__resumed_run_goes_on_where_it_stopped(write_tiny_config, tmp_path, tiny_run):
    path = write_tiny_config()
    train(load_config(path, {'train_cfg.max_iters': 2}), work_dir=tmp_path / 'work', seed=0)
    result = train(load_config(path), work_dir=tmp_path / 'work', resume=True)
    assert result.iterations == 4
    # The data order, the weights and the learning rate are those of the run that was not interrupted; stochastic
    # depth draws anew.
    whole, parts = (
        read_checkpoint(folder / 'iter_4.pth') for folder in (tiny_run, tmp_path / 'work')
    )
    assert parts['meta']['iter'] == 4
    assert parts['meta']['seed'] == 0
    assert parts['param_schedulers'] == whole['param_schedulers']
    assert parts['optimizer']['state'][0]['step'] == whole['optimizer']['state'][0]['step'] == 4
    losses = _losses(tmp_path / 'work')
    assert list(losses) == [1, 2, 3, 4]
    assert [losses[1], losses[2]] == [_losses(tiny_run)[1], _losses(tiny_run)[2]]


def test_train__resumed_without_randomness_in_the_model_is_exact(write_tiny_config, tmp_path):
    path = write_tiny_config(
        extra=NO_VALIDATION
        + """
model = dict(
    backbone=dict(drop_path_rate=0.0),
    decode_head=dict(dropout_ratio=0.0),
    auxiliary_head=dict(dropout_ratio=0.0),
)
train_dataloader = dict(num_workers=1)
"""
    )
    train(load_config(path), work_dir=tmp_path / 'whole', seed=0)
    train(load_config(path), work_dir=tmp_path / 'part', resume=tmp_path / 'whole' / 'iter_2.pth')
    whole, part = _losses(tmp_path / 'whole'), _losses(tmp_path / 'part')
    assert list(part) == [3, 4]
    assert part == {step: whole[step] for step in part}


def test_train__resumes_without_the_file_of_the_initial_weights(
    write_tiny_config, tmp_path, tiny_run
):
    extra = "model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='gone.pth')))"
    path = write_tiny_config(extra=extra + NO_VALIDATION)
    with pytest.raises(CheckpointError, match=r'gone\.pth'):
        train(load_config(path), work_dir=tmp_path / 'work')
    cfg = load_config(path, {'train_cfg.max_iters': 5})
    assert train(cfg, work_dir=tmp_path / 'work', resume=tiny_run / 'iter_4.pth').iterations == 5


def test_train__does_not_resume_from_weights_alone(write_tiny_config, tmp_path, tiny_run):
    best = next(tiny_run.glob('best_*.pth'))
    with pytest.raises(
        CheckpointError, match=r'has no optimizer.*; resume from an iter_\*\.pth file'
    ):
        train(load_config(write_tiny_config()), work_dir=tmp_path / 'work', resume=best)


def test_train__starts_from_load_from_with_a_new_schedule(write_tiny_config, tmp_path, tiny_run):
    cfg = load_config(
        write_tiny_config(), {'load_from': str(tiny_run / 'iter_4.pth'), 'train_cfg.max_iters': 1}
    )
    cfg.optim_wrapper.optimizer.lr = 0.0
    result = train(cfg, work_dir=tmp_path / 'work')
    assert result.iterations == 1
    before, after = (
        read_checkpoint(path)['state_dict'] for path in (tiny_run / 'iter_4.pth', result.last)
    )
    key = 'backbone.stages.0.blocks.0.attn.w_msa.qkv.weight'
    assert torch.equal(before[key], after[key])


@pytest.mark.parametrize('in_config', [False, True])
def test_train__mixed_precision_works_without_a_gpu(write_tiny_config, tmp_path, in_config):
    options = {'train_cfg.max_iters': 1}
    full = train(
        load_config(write_tiny_config(extra=NO_VALIDATION), options),
        work_dir=tmp_path / 'f',
        seed=0,
    )
    cfg = load_config(write_tiny_config(extra=NO_VALIDATION), options)
    if in_config:
        cfg.optim_wrapper.type, cfg.optim_wrapper.loss_scale = 'AmpOptimWrapper', 'dynamic'
    half = train(cfg, work_dir=tmp_path / 'h', seed=0, amp=not in_config)
    differ = [_losses(run.work_dir)[1] for run in (full, half)]
    assert differ[0] != differ[1]
    assert np.isclose(*differ, rtol=0.02)


def test_train__amp_with_another_wrapper_is_refused(write_tiny_config, tmp_path):
    cfg = load_config(write_tiny_config())
    cfg.optim_wrapper.type = 'ApexOptimWrapper'
    with pytest.raises(ConfigError, match=r'--amp works with .* the config has ApexOptimWrapper'):
        train(cfg, work_dir=tmp_path, amp=True)


def test_train__number_of_classes_that_only_the_data_tells(
    write_tiny_config, tmp_path, tiny_dataset
):
    (tmp_path / 'classes.yaml').write_text('classes: [a, b, c]\n')
    extra = f"""
train_dataloader = dict(dataset=dict(
    _delete_=True, type='FolderDataset', data_root={str(tiny_dataset)!r}, classes_file='{tmp_path}/classes.yaml',
    data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
    pipeline=[dict(type='LoadImage')]))
"""
    with pytest.raises(ConfigError, match=r'num_classes=10 .* 3 classes; set it to 3'):
        train(load_config(write_tiny_config(extra=extra)), work_dir=tmp_path / 'work')


@pytest.mark.parametrize('key', ['train_dataloader', 'optim_wrapper', 'model'])
def test_train__names_what_is_lacking(write_tiny_config, tmp_path, key):
    cfg = load_config(write_tiny_config())
    cfg[key] = None
    with pytest.raises(ConfigError, match=f'training needs {key} in'):
        train(cfg, work_dir=tmp_path)


def test_train__work_dir_that_is_a_file(write_tiny_config, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OutputError, match='cannot write to the output folder'):
        train(load_config(write_tiny_config()), work_dir=tmp_path / 'file' / 'work')


def test_train__the_terminal_stays_quiet_and_the_log_file_has_everything(
    write_tiny_config, tmp_path, capfd
):
    train(load_config(write_tiny_config()), work_dir=tmp_path / 'work')
    out, err = capfd.readouterr()
    assert err == ''
    assert 13 > len(out.splitlines()) > 6
    assert 'System environment' not in out
    log = next((tmp_path / 'work').glob('*/*.log')).read_text()
    for part in (
        'System environment',
        "type='SwinSegmentor'",
        'per class results',
        'Saving checkpoint at',
    ):
        assert part in log


def test_evaluate__figures_are_those_of_the_validation(write_tiny_config, tmp_path, tiny_run):
    result = evaluate(
        load_config(write_tiny_config()), tiny_run / 'iter_4.pth', work_dir=tmp_path / 'work'
    )
    lines = next(tiny_run.glob('*/vis_data/scalars.json')).read_text().splitlines()
    validations = [line for line in map(json.loads, lines) if 'mIoU' in line]
    assert validations[-1]['step'] == 4
    assert result == {key: validations[-1][key] for key in ('aAcc', 'mIoU', 'mAcc')}
    assert result.report.classes == CLASSES
    assert result.images == 2
    written = json.loads((tmp_path / 'work' / 'metrics.json').read_text())
    assert written['headline'] == result
    assert written['checkpoint'] == str(tiny_run / 'iter_4.pth')
    assert written['protocol']['text'] == str(result.protocol)


@pytest.mark.parametrize('tta', [False, True])
@pytest.mark.parametrize('mode', ['whole', 'slide'])
def test_evaluate__equals_stock_mmseg(write_tiny_config, tmp_path, tiny_run, mode, tta):
    """The same checkpoint through mmseg's own segmentor, layers, metric and loop."""
    options = {}
    if mode == 'slide':
        options = {'model.test_cfg': dict(mode='slide', crop_size=(48, 48), stride=(32, 32))}
    cfg = load_config(write_tiny_config(), options)
    ours = evaluate(cfg, tiny_run / 'iter_4.pth', tta=tta, work_dir=tmp_path / 'ours')

    stock = copy.deepcopy(cfg)
    stock.model.type, stock.model.backbone.type = 'EncoderDecoder', 'SwinTransformer'
    stock.model.decode_head.type = 'UPerHead'
    stock.test_evaluator = dict(type=IoUMetric.__name__, iou_metrics=['mIoU'])
    stock.custom_hooks, stock.work_dir = [], str(tmp_path / 'stock')
    stock.load_from = str(tiny_run / 'iter_4.pth')
    if tta:
        stock.test_dataloader.dataset.pipeline = stock.tta_pipeline
        stock.tta_model.module, stock.model = stock.model, stock.tta_model
    stock.experiment_name = f'stock_{mode}_{tta}'
    if tta:
        # mmengine loads a checkpoint of the segmentor into the wrapper around it, so not at all.
        state = torch.load(stock.load_from, weights_only=True)['state_dict']
        torch.save({'state_dict': {f'module.{k}': v for k, v in state.items()}}, tmp_path / 'm.pth')
        stock.load_from = None
        runner = Runner.from_cfg(stock)
        runner.model.load_state_dict(
            torch.load(tmp_path / 'm.pth', weights_only=True)['state_dict']
        )
    else:
        runner = Runner.from_cfg(stock)
    theirs = runner.test()
    assert ours == {key: pytest.approx(value, abs=0.011) for key, value in theirs.items()}


def test_evaluate__out_takes_the_json(write_tiny_config, tmp_path, tiny_run):
    evaluate(
        load_config(write_tiny_config()),
        tiny_run / 'iter_4.pth',
        out=tmp_path / 'out',
        work_dir=tmp_path / 'work',
    )
    assert (tmp_path / 'out' / 'metrics.json').is_file()
    assert not (tmp_path / 'work' / 'metrics.json').exists()


def test_evaluate__needs_no_training_set(write_tiny_config, tmp_path, tiny_run):
    cfg = load_config(
        write_tiny_config(extra="train_dataloader = dict(dataset=dict(data_root='gone'))")
    )
    assert evaluate(cfg, tiny_run / 'iter_4.pth', work_dir=tmp_path)['mIoU'] >= 0


def test_evaluate__leaves_the_config_of_the_training_in_its_folder(write_tiny_config, tmp_path):
    cfg = load_config(write_tiny_config(extra=NO_VALIDATION))
    result = train(cfg, work_dir=tmp_path / 'work')
    before = (tmp_path / 'work' / 'tiny.py').read_text()
    evaluate(cfg, result.last, work_dir=tmp_path / 'work')
    assert (tmp_path / 'work' / 'tiny.py').read_text() == before


def test_evaluate__refuses_a_backbone_alone(write_tiny_config, tmp_path, tiny_run):
    state = read_checkpoint(tiny_run / 'iter_4.pth')['state_dict']
    torch.save({k: v for k, v in state.items() if k.startswith('backbone.')}, tmp_path / 'b.pth')
    with pytest.raises(CheckpointError, match='does not fit the whole model'):
        evaluate(load_config(write_tiny_config()), tmp_path / 'b.pth', work_dir=tmp_path / 'work')


def test_evaluate__refuses_other_classes_of_the_same_number(write_tiny_config, tmp_path, tiny_run):
    checkpoint = read_checkpoint(tiny_run / 'iter_4.pth')
    checkpoint['meta']['dataset_meta']['classes'] = tuple(reversed(CLASSES))
    torch.save(checkpoint, tmp_path / 'other.pth')
    expected = (
        rf'classes that differ .*; class 0 is {CLASSES[-1]} in it and {CLASSES[0]} in the set'
    )
    with pytest.raises(CheckpointError, match=expected):
        evaluate(
            load_config(write_tiny_config()), tmp_path / 'other.pth', work_dir=tmp_path / 'work'
        )


def test_evaluate__tta_needs_its_model(write_tiny_config, tmp_path, tiny_run):
    cfg = load_config(write_tiny_config(extra='tta_model = None'))
    with pytest.raises(ConfigError, match='--tta needs tta_model'):
        evaluate(cfg, tiny_run / 'iter_4.pth', tta=True, work_dir=tmp_path)
