"""Every config of the repository: it loads, its model builds, and its recipe is the published one."""

from __future__ import annotations

import ast
from pathlib import Path

import mmseg
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from support.stock_pipeline import stock_steps
from swinseg.config.training_length import with_end
from swinseg.engine import load_config
from swinseg.models.feature_info import feature_info

CONFIGS = Path(__file__).parents[1] / 'configs'
LEAVES = sorted(
    [*CONFIGS.glob('*.py'), *CONFIGS.glob('ablations/*.py'), *CONFIGS.glob('recipes/*.py')]
)
STOCK = Path(mmseg.__file__).parent / '.mim' / 'configs' / 'swin'
PAIRS = {
    't_ade20k': 'swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512',
    's_ade20k': 'swin-small-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512',
    'b_ade20k': 'swin-base-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512',
    'l_ade20k': 'swin-large-patch4-window7-in22k-pre_upernet_8xb2-160k_ade20k-512x512',
    'b_22k_ade20k': 'swin-base-patch4-window7-in22k-pre_upernet_8xb2-160k_ade20k-512x512',
    'b_22k_w12_ade20k': 'swin-base-patch4-window12-in22k-384x384-pre_upernet_8xb2-160k_ade20k-512x512',
}
# What our backbone takes for granted, or calls differently.
SAME_BY_DEFAULT = {
    'type', 'patch_norm', 'use_abs_pos_embed', 'mlp_ratio', 'patch_size', 'strides', 'out_indices', 'qkv_bias',
    'qk_scale', 'drop_rate', 'attn_drop_rate', 'act_cfg', 'norm_cfg', 'pretrain_img_size',
}  # fmt: skip


def _name(path: Path) -> str:
    return str(path.relative_to(CONFIGS).with_suffix(''))


def _pair(name: str) -> tuple[Config, Config]:
    ours = load_config(CONFIGS / f'upernet_swin_{name}.py')
    return ours, Config.fromfile(STOCK / f'{PAIRS[name]}.py')


def test_leaves__are_there():
    expected = (
        't_ade20k s_ade20k b_ade20k l_ade20k b_22k_ade20k_640 l_22k_ade20k_640 t_mini t_camvid'
    )
    assert {f'upernet_swin_{name}' for name in expected.split()} <= {path.stem for path in LEAVES}


@pytest.mark.parametrize('path', LEAVES, ids=_name)
def test_leaf__loads_and_its_model_builds(path):
    cfg = load_config(path)
    init_default_scope('mmseg')
    # On the meta device a model has shapes but no memory: Swin-L would take a gigabyte.
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    channels = [
        info.channels
        for info in feature_info(model.backbone, model.neck if model.with_neck else None)
    ]
    assert list(cfg.model.decode_head.in_channels) == channels
    assert cfg.model.auxiliary_head.in_channels == channels[cfg.model.auxiliary_head.in_index]
    assert all(
        width % heads == 0
        for width, heads in zip(
            channels, cfg.model.backbone.get('num_heads', channels), strict=True
        )
    )


@pytest.mark.parametrize('path', sorted((CONFIGS / '_base_/datasets').glob('*.py')), ids=_name)
def test_dataset__bands_and_range_are_those_of_every_pipeline(path, tmp_path):
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = '{path}'\nbands = ['red', 'nir']\nvalue_range = [0, 4000]\n")
    cfg = load_config(child)
    for pipeline in (
        cfg.train_dataloader.dataset.pipeline,
        cfg.val_dataloader.dataset.pipeline,
        cfg.test_dataloader.dataset.pipeline,
        cfg.tta_pipeline,
    ):
        assert pipeline[0].bands == ['red', 'nir']
        assert pipeline[0].value_range == [0, 4000]


@pytest.mark.parametrize('path', LEAVES, ids=_name)
def test_leaf__is_short_and_says_what_it_reproduces(path):
    text = path.read_text()
    assert text.startswith('#')
    assert len(text.splitlines()) < 40
    assert ast.get_docstring(ast.parse(text)) is None  # mmengine would take it for a setting


@pytest.mark.parametrize('name', PAIRS)
def test_recipe__network_is_that_of_mmseg(name):
    ours, stock = _pair(name)
    backbone = ours.model.backbone
    for key, value in stock.model.backbone.items():
        if key == 'init_cfg':
            assert backbone.init_cfg.checkpoint == value.checkpoint
        elif key in backbone or key not in SAME_BY_DEFAULT:
            assert backbone[key] == value or key == 'type', key
    for head in ('decode_head', 'auxiliary_head'):
        expected = {**stock.model[head], 'type': ours.model[head].type, 'norm_cfg': ours.model.norm_cfg
                    if 'norm_cfg' in ours.model else ours.model[head].norm_cfg}  # fmt: skip
        assert {**ours.model[head]} == expected
    assert (
        stock.model.decode_head.norm_cfg.type == 'SyncBN'
    )  # ours becomes it where several processes train
    assert ours.model.decode_head.norm_cfg.type == 'BN'
    assert ours.model.data_preprocessor == stock.model.data_preprocessor
    assert ours.model.test_cfg == stock.model.test_cfg


@pytest.mark.parametrize('name', PAIRS)
def test_recipe__schedule_is_that_of_mmseg(name):
    ours, stock = _pair(name)
    assert ours.optim_wrapper.optimizer.pop('fused') is True  # another kernel for the same step
    assert ours.optim_wrapper == stock.optim_wrapper
    length = ours.train_cfg.max_iters
    schedule = [with_end(each, iterations=length, epochs=1) for each in ours.param_scheduler]
    assert schedule == stock.param_scheduler
    # Without `type`, so that a config on top of it may count epochs.
    assert ours.train_cfg.pop('by_epoch') is False
    assert stock.train_cfg.pop('type') == 'IterBasedTrainLoop'
    assert ours.train_cfg == stock.train_cfg
    assert ours.auto_scale_lr.base_batch_size == ours.train_dataloader.batch_size == 16
    assert stock.train_dataloader.batch_size * 8 == 16  # "8xb2"


@pytest.mark.parametrize('name', PAIRS)
@pytest.mark.parametrize('part', ['train', 'val'])
def test_recipe__augmentations_are_those_of_mmseg(name, part):
    ours, stock = (cfg[f'{part}_dataloader'].dataset.pipeline for cfg in _pair(name))
    ours = [stock_step for step in ours for stock_step in stock_steps(step)]
    assert [step['type'] for step in ours] == [step.type for step in stock]
    for mine, theirs in zip(ours, stock, strict=True):
        if not mine['type'].startswith('Load'):
            assert mine == theirs


def test_recipe__no_weight_decay_on_norms_and_position_tables():
    cfg = load_config(CONFIGS / 'upernet_swin_t_ade20k.py')
    cfg.model.backbone.init_cfg = None
    init_default_scope('mmseg')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    names = [name for name, _ in model.named_parameters()]
    assert len(groups) == len(names)
    undecayed = {n for n, group in zip(names, groups, strict=True) if group['weight_decay'] == 0}
    assert undecayed == {
        name for name in names if 'norm' in name or 'relative_position_bias_table' in name
    }
    assert all(group['lr'] == 6e-5 and group['betas'] == (0.9, 0.999) for group in groups)


def test_recipe__the_rate_rises_for_1500_steps_and_falls_to_zero():
    cfg = load_config(CONFIGS / 'upernet_swin_t_ade20k.py')
    # The same schedulers on a hundredth of the steps.
    for scheduler in cfg.param_scheduler:
        end = scheduler.get('end', cfg.train_cfg.max_iters)
        scheduler.begin, scheduler.end = scheduler.begin // 100, end // 100
    from mmengine.registry import PARAM_SCHEDULERS

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=6e-5)
    schedulers = [
        PARAM_SCHEDULERS.build({**scheduler, 'optimizer': optimizer})
        for scheduler in cfg.param_scheduler
    ]
    rates = []
    for _ in range(1600):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    assert rates[0] == pytest.approx(6e-11)
    assert max(rates) == pytest.approx(6e-5, rel=2e-3)
    assert abs(rates.index(max(rates)) - 15) <= 1
    # Linear: half way down at half the way.
    assert rates[15 + 1585 // 2] == pytest.approx(3e-5, rel=5e-3)
    assert optimizer.param_groups[0]['lr'] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize('name', ['b_22k_ade20k_640', 'l_22k_ade20k_640'])
def test_640__crop_window_and_scale_belong_together(name):
    cfg = load_config(CONFIGS / f'upernet_swin_{name}.py')
    assert cfg.model.data_preprocessor.size == (640, 640)
    assert cfg.model.test_cfg == dict(mode='slide', crop_size=(640, 640), stride=(426, 426))
    assert cfg.model.backbone.window_size == 12
    crop = next(s for s in cfg.train_dataloader.dataset.pipeline if s.type == 'RandomResizeCrop')
    assert crop.crop_size == (640, 640)
    resize = next(s for s in cfg.test_dataloader.dataset.pipeline if s.type == 'Resize')
    assert resize.scale == (2560, 640)


@pytest.mark.parametrize('path', LEAVES, ids=_name)
def test_leaf__pads_a_batch_to_the_crop(path):
    cfg = load_config(path)
    crops = [s.crop_size for s in cfg.train_dataloader.dataset.pipeline if 'crop_size' in s]
    assert crops == [tuple(cfg.model.data_preprocessor.size)]


def test_leaf__real_data(tmp_path):
    """The CamVid config reads the real set as it stands: every value of every label is a class or void."""
    import os

    root = os.environ.get('SWINSEG_TEST_DATA')
    if root is None:
        pytest.skip('SWINSEG_TEST_DATA is not set')
    from mmseg.registry import DATASETS

    from swinseg.datasets.check import list_split
    from swinseg.datasets.check.before_training import check_before_training

    def images_of(loader):
        split = list_split('train', DATASETS.build(loader.dataset))
        check_before_training([split], sample=20)
        return len(split.jobs)

    cfg = load_config(CONFIGS / 'upernet_swin_t_camvid.py', [f'data_root={root}/camvid'])
    init_default_scope('mmseg')
    counts = [images_of(loader) for loader in (cfg.train_dataloader, cfg.val_dataloader)]
    assert counts == [367, 101]
    cfg = load_config(CONFIGS / 'upernet_swin_t_ade20k.py', [f'data_root={root}/ade20k'])
    counts = [images_of(loader) for loader in (cfg.train_dataloader, cfg.val_dataloader)]
    assert counts == [6, 33]
