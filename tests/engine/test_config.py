"""Configs: what is read, what is refused, and what the refusal says."""

from __future__ import annotations

import copy
import importlib.util
import re
from pathlib import Path

import mmseg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from swinseg.engine.config import (
    ConfigError,
    check_config,
    dataset_classes,
    load_config,
    parse_options,
)

MMSEG_CONFIGS = Path(mmseg.__file__).parent / '.mim' / 'configs'


def test_load_config__is_what_mmengine_reads(write_tiny_config):
    path = write_tiny_config()
    assert load_config(path).to_dict() == Config.fromfile(path).to_dict()


@pytest.mark.parametrize(
    'path',
    [
        pytest.param(path, id=path.stem)
        # Every tenth of the 680: all kinds of models, data sets, schedules and augmentations.
        for path in sorted(MMSEG_CONFIGS.glob('[!_]*/*.py'))[::10]
        + sorted(MMSEG_CONFIGS.glob('swin/swin-*-pre*.py'))
        if not re.search(
            r'convnext|mask2?former|poolformer|san-|albu|dnl_', str(path)
        )  # other packages
    ],
)
def test_load_config__accepts_mmseg_own_configs(path):
    if 'levir' in path.name and importlib.util.find_spec('albumentations') is None:
        pytest.skip('needs albumentations')
    assert load_config(path).model.type


def test_load_config__finds_the_misspelled_key_in_mmseg():
    # 'wd_mult' of mmseg 1.2.2's dnlnet is read by nothing: weight decay is not what its author meant.
    path = next(MMSEG_CONFIGS.glob('dnlnet/dnl_r50-d8_4xb2-80k_cityscapes-769x769.py'))
    with pytest.raises(ConfigError, match=r'custom_keys\.theta\.wd_mult'):
        load_config(path)


def test_load_config__names_files_that_are_nearly_called_so(write_tiny_config):
    path = write_tiny_config()
    with pytest.raises(ConfigError) as caught:
        load_config(path.with_name('tinny.py'))
    assert f'no config file {path.with_name("tinny.py")}; did you mean {path}' in str(caught.value)


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        ('a = 1\nmodel = dict(\n', r'broken\.py, line 2: .*not valid Python'),
        ('a = 1\n\nmodel = dict(type=undefined)\n', r'broken\.py, line 3: .*NameError'),
        ("_base_ = './no_such_base.py'\n", r'broken\.py: .*no_such_base\.py'),
        ("_base_ = ['./one.py', './two.py']\n", r"Duplicate keys: \{'same'\}"),
        ("custom_imports = dict(imports=['no_such_module'])\n", r'ImportError.*no_such_module'),
    ],
)
def test_load_config__says_where_a_file_fails(tmp_path, content, expected):
    (tmp_path / 'broken.py').write_text(content)
    (tmp_path / 'one.py').write_text('same = 1')
    (tmp_path / 'two.py').write_text('same = 2')
    with pytest.raises(ConfigError, match=expected) as caught:
        load_config(tmp_path / 'broken.py')
    assert '\n' not in str(caught.value)


def test_load_config__names_the_base_file_that_fails(tmp_path):
    (tmp_path / 'base.py').write_text('x = 1\ny = 1 / 0\n')
    (tmp_path / 'leaf.py').write_text("_base_ = './base.py'\n")
    with pytest.raises(ConfigError, match=r'base\.py, line 2: .*ZeroDivisionError'):
        load_config(tmp_path / 'leaf.py')


def test_load_config__refuses_what_is_no_config(tmp_path):
    (tmp_path / 'config.txt').write_text('model = 1')
    with pytest.raises(ConfigError, match=r'a config is a \.py file'):
        load_config(tmp_path / 'config.txt')
    with pytest.raises(ConfigError, match='no config file'):
        load_config(tmp_path)


MISSPELLED = [
    ('model = dict(backbone=dict(embed_dim=96))', 'model.backbone.embed_dim', 'embed_dims'),
    ('model = dict(decode_head=dict(channel=96))', 'model.decode_head.channel', 'channels'),
    ('model = dict(auxillary_head=None)', 'model.auxillary_head', 'auxiliary_head'),
    (
        'model = dict(data_preprocessor=dict(bgr2rgb=True))',
        'model.data_preprocessor.bgr2rgb',
        'bgr_to_rgb',
    ),
    ('model = dict(test_cfg=dict(mod="slide"))', 'model.test_cfg.mod', 'mode'),
    (
        'model = dict(decode_head=dict(loss_decode=dict(loss_wieght=1)))',
        'loss_decode.loss_wieght',
        'loss_weight',
    ),
    (
        'model = dict(backbone=dict(init_cfg=dict(type="Pretrained", checkpont="x")))',
        'checkpont',
        'checkpoint',
    ),
    ('train_dataloader = dict(batchsize=2)', 'train_dataloader.batchsize', 'batch_size'),
    (
        'train_dataloader = dict(dataset=dict(dataroot="x"))',
        'train_dataloader.dataset.dataroot',
        'data_root',
    ),
    (
        'train_dataloader = dict(dataset=dict(data_prefix=dict(img_pth="x")))',
        'data_prefix.img_pth',
        'img_path',
    ),
    (
        'train_dataloader = dict(sampler=dict(shufle=True))',
        'train_dataloader.sampler.shufle',
        'shuffle',
    ),
    (
        'train_dataloader = dict(dataset=dict(pipeline=[dict(type="RandomCrop", cropsize=(8, 8))]))',
        'train_dataloader.dataset.pipeline.0.cropsize',
        'crop_size',
    ),
    (
        'train_dataloader = dict(dataset=dict(pipeline=[dict(type="RandomResize", scale=1, keepratio=True)]))',
        'pipeline.0.keepratio',
        'keep_ratio',
    ),
    (
        'optim_wrapper = dict(optimizer=dict(weigth_decay=0.1))',
        'optimizer.weigth_decay',
        'weight_decay',
    ),
    ('optim_wrapper = dict(clip_gradd=dict(max_norm=1))', 'optim_wrapper.clip_gradd', 'clip_grad'),
    (
        'optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(norm=dict(decay_mul=0))))',
        'custom_keys.norm.decay_mul',
        'decay_mult',
    ),
    ('param_scheduler = [dict(type="PolyLR", powr=1.0)]', 'param_scheduler.0.powr', 'power'),
    ('train_cfg = dict(max_iter=9)', 'train_cfg.max_iter', 'max_iters'),
    (
        'default_hooks = dict(checkpoint=dict(max_keep_ckpt=1))',
        'checkpoint.max_keep_ckpt',
        'max_keep_ckpts',
    ),
    (
        'default_hooks = dict(checkpont=dict(type="CheckpointHook"))',
        'default_hooks.checkpont',
        'checkpoint',
    ),
    (
        'custom_hooks = [dict(type="ProgressHook", intervall=3)]',
        'custom_hooks.0.intervall',
        'interval',
    ),
    ('val_evaluator = dict(iou_metric=["mIoU"])', 'val_evaluator.iou_metric', 'iou_metrics'),
    ('visualizer = dict(vis_backend=[])', 'visualizer.vis_backend', 'vis_backends'),
    ('env_cfg = dict(cudnn_benchmarks=True)', 'env_cfg.cudnn_benchmarks', 'cudnn_benchmark'),
    ('randomness = dict(sead=1)', 'randomness.sead', 'seed'),
    ('auto_scale_lr = dict(enabled=True)', 'auto_scale_lr.enabled', 'enable'),
    ('log_processor = dict(by_epochs=True)', 'log_processor.by_epochs', 'by_epoch'),
    ('train_dataloder = dict()', 'train_dataloder', 'train_dataloader'),
    ('optim_warpper = dict()', 'optim_warpper', 'optim_wrapper'),
    (
        'model = dict(backbone=dict(type="SwinBackbon"))',
        'model.backbone.type=SwinBackbon',
        'SwinBackbone',
    ),
    ('model = dict(decode_head=dict(type="UperNetHead"))', 'type=UperNetHead', 'UPerNetHead'),
    ('custom_hooks = [dict(type="CurveHook")]', 'custom_hooks.0.type=CurveHook', 'CurvesHook'),
    (
        'train_dataloader = dict(dataset=dict(pipeline=[dict(type="RandomFlop")]))',
        'pipeline.0.type=RandomFlop',
        'RandomFlip',
    ),
    ('optim_wrapper = dict(optimizer=dict(type="AddamW"))', 'optimizer.type=AddamW', 'AdamW'),
]


@pytest.mark.parametrize(
    ('mistake', 'place', 'suggestion'), MISSPELLED, ids=[m[1] for m in MISSPELLED]
)
def test_load_config__suggests_the_nearest_key(write_tiny_config, mistake, place, suggestion):
    with pytest.raises(ConfigError) as caught:
        load_config(write_tiny_config(extra=mistake))
    message = str(caught.value)
    assert place in message
    assert re.search(rf'(did you mean|write) {suggestion}\b', message), message
    assert '\n' not in message


@pytest.mark.parametrize(
    'fine',
    [
        'my_variable = dict(whatever=1)',
        'crop_size = (8, 8)',
        'norm = dict(type="BN")',
        'model = dict(decode_head=dict(norm_cfg=dict(type="SyncBN", requires_grad=False)))',
        'model = dict(decode_head=dict(act_cfg=dict(type="LeakyReLU", negative_slope=0.1)))',
        'optim_wrapper = dict(clip_grad=dict(max_norm=1.0, norm_type=2), accumulative_counts=2)',
        'optim_wrapper = dict(clip_grad=dict(type="value", clip_value=1.0))',
        'optim_wrapper = dict(paramwise_cfg=dict(norm_decay_mult=0.0))',
        'optim_wrapper = dict(type="AmpOptimWrapper", dtype="float16", loss_scale="dynamic")',
        'custom_hooks = [dict(type="EMAHook", priority="LOW", momentum=1e-4)]',
        'custom_hooks = [dict(type="EarlyStoppingHook", monitor="mIoU", patience=3)]',
        'param_scheduler = [dict(type="CosineAnnealingLR", T_max=9, by_epoch=False)]',
        'train_cfg = dict(_delete_=True, by_epoch=True, max_epochs=3)',
        'train_dataloader = dict(pin_memory=True, drop_last=True, collate_fn=dict(type="pseudo_collate"))',
        'train_dataloader = dict(dataset=dict(indices=3))',
        'vis_backends = [dict(type="WandbVisBackend", init_kwargs=dict(project="x"))]',
        'model = dict(auxiliary_head=None)',
        'model = dict(test_cfg=dict(mode="slide", crop_size=(64, 64), stride=(32, 32)))',
        'model = dict(backbone=dict(init_cfg=dict(type="Pretrained", checkpoint="x.pth", minimum=0.5)))',
    ],
)
def test_load_config__accepts_what_mmengine_reads(write_tiny_config, fine):
    load_config(write_tiny_config(extra=fine))


def test_load_config__unknown_type_without_neighbour(write_tiny_config):
    with pytest.raises(
        ConfigError, match=r'is not registered; is the module that defines it imported\?'
    ):
        load_config(write_tiny_config(extra='model = dict(backbone=dict(type="Zyzzyva"))'))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_check_config__finds_every_lost_letter(write_tiny_config, data):
    cfg = load_config(write_tiny_config())
    parts = [
        cfg.model.backbone, cfg.model.decode_head, cfg.model.auxiliary_head, cfg.model.data_preprocessor,
        cfg.train_dataloader, cfg.train_dataloader.dataset, cfg.optim_wrapper.optimizer, cfg.train_cfg,
        cfg.param_scheduler[1],
    ]  # fmt: skip
    part = data.draw(st.sampled_from(parts))
    key = data.draw(st.sampled_from([key for key in part if key != 'type' and len(key) > 3]))
    lost = data.draw(st.integers(0, len(key) - 1))
    misspelled = key[:lost] + key[lost + 1 :]
    part[misspelled] = part.pop(key)
    with pytest.raises(ConfigError, match=rf'\b{misspelled} in the config .*\b{key}\b'):
        check_config(cfg)


def test_check_config__does_not_change_the_config(write_tiny_config):
    cfg = load_config(write_tiny_config())
    before = copy.deepcopy(cfg.to_dict())
    check_config(cfg)
    assert cfg.to_dict() == before


@pytest.mark.parametrize('head', ['decode_head', 'auxiliary_head'])
def test_load_config__number_of_classes_has_one_owner(write_tiny_config, head):
    path = write_tiny_config(extra=f'model = dict({head}=dict(num_classes=150))')
    with pytest.raises(
        ConfigError, match=rf'model\.{head}\.num_classes=150 .* 10 classes; set it to 10'
    ):
        load_config(path)


@pytest.mark.parametrize(
    ('dataset', 'expected'),
    [
        (dict(type='ADE20K'), 150),
        (dict(type='ADE20KDataset'), 150),
        (dict(type='ADE20K', metainfo=dict(classes=('wall', 'sky'))), 2),
        (dict(type='FolderDataset', classes=['a', 'b', 'c']), 3),
        (dict(type='RepeatDataset', times=3, dataset=dict(type='CityscapesDataset')), 19),
        (dict(type='ConcatDataset', datasets=[dict(type='PascalVOCDataset')]), 21),
        (dict(type='FolderDataset', classes_file='classes.yaml'), None),
    ],
)
def test_dataset_classes__cases(dataset, expected):
    classes = dataset_classes(dataset)
    assert (None if classes is None else len(classes)) == expected


def test_parse_options__values():
    options = ['a.b=1', 'c=(2,3)', 'd=[x,y]', 'e=None', 'f=a=b', 'g=True', 'h=1e-3']
    assert parse_options(options) == {
        'a.b': 1, 'c': (2, 3), 'd': ['x', 'y'], 'e': None, 'f': 'a=b', 'g': True, 'h': 1e-3,
    }  # fmt: skip


@pytest.mark.parametrize('option', ['model.backbone.window_size', '=3', ''])
def test_parse_options__needs_pairs(option):
    with pytest.raises(ConfigError, match='takes pairs'):
        parse_options([option])


def test_load_config__options(write_tiny_config):
    path = write_tiny_config()
    cfg = load_config(
        path,
        [
            'model.backbone.window_size=7',
            'train_dataloader.dataset.pipeline.3.crop_size=(32,32)',
            'model.backbone.with_cp=True',  # not in the file, but SwinBackbone takes it
            'load_from=weights.pth',
        ],
    )
    assert cfg.model.backbone.window_size == 7
    assert cfg.train_dataloader.dataset.pipeline[3].crop_size == (32, 32)
    assert cfg.model.backbone.with_cp is True
    assert cfg.load_from == 'weights.pth'
    assert load_config(path, {'model.backbone.window_size': 7}).model.backbone.window_size == 7


def test_load_config__option_data_root_reaches_every_dataset(write_tiny_config):
    cfg = load_config(write_tiny_config(), ['data_root=/elsewhere'])
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == '/elsewhere'


def test_load_config__option_data_root_reaches_wrapped_datasets(write_tiny_config):
    extra = """
train_dataloader = dict(dataset=dict(_delete_=True, type='RepeatDataset', times=2,
                                     dataset=dict(type='ADE20K', data_root='here')))
model = dict(decode_head=dict(num_classes=150), auxiliary_head=dict(num_classes=150))
"""
    cfg = load_config(write_tiny_config(extra=extra), ['data_root=/elsewhere'])
    assert cfg.train_dataloader.dataset.dataset.data_root == '/elsewhere'


@pytest.mark.parametrize(
    ('option', 'expected'),
    [
        (
            'model.backbone.windw_size=7',
            r'has no windw_size; did you mean model\.backbone\.window_size\?',
        ),
        ('modle.backbone.window_size=7', r'the config has no modle; did you mean model\?'),
        ('model.backbon.window_size=7', r'did you mean model\.backbone\?'),
        ('train_dataloader.batchsize=7', r'did you mean train_dataloader\.batch_size\?'),
        (
            'train_dataloader.dataset.pipeline.9.crop_size=7',
            r'list of 6, so 9 must be a number from 0 to 5',
        ),
        ('train_dataloader.dataset.pipeline.x=7', r'x must be a number'),
        ('data_root.x=7', r'data_root is .* and contains no x'),
        ('data_rot=/data', r'did you mean data_root\?'),
        ('zyzzyva=1', r'the config has no zyzzyva$'),
    ],
)
def test_load_config__option_that_leads_nowhere(write_tiny_config, option, expected):
    with pytest.raises(ConfigError, match=expected):
        load_config(write_tiny_config(), [option])
