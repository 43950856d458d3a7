"""What a config may say, and the nearest thing when it says something else."""

from __future__ import annotations

import copy
import importlib.util
import re
from pathlib import Path

import mmseg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swinseg.config.checking import check_config, dataset_classes
from swinseg.config.loading import load_config
from swinseg.errors import ConfigError

MMSEG_CONFIGS = Path(mmseg.__file__).parent / '.mim' / 'configs'


@pytest.mark.parametrize(
    'path',
    [
        pytest.param(path, id=path.stem)
        # Every tenth of the 680: all kinds of models, data sets, schedules and augmentations.
        for path in sorted(MMSEG_CONFIGS.glob('[!_]*/*.py'))[::10]
        + sorted(MMSEG_CONFIGS.glob('swin/swin-*-pre*.py'))
        if not re.search(
            r'convnext|mask2?former|poolformer|san-|albu|dnl_|ccnet_|psanet_|vpd_', path.name
        )  # other packages
    ],
)
def test_check_config__accepts_mmseg_own_configs(path):
    if 'levir' in path.name and importlib.util.find_spec('albumentations') is None:
        pytest.skip('needs albumentations')
    assert load_config(path).model.type


@pytest.mark.skipif(importlib.util.find_spec('mmdet') is not None, reason='mmdet is installed')
@pytest.mark.parametrize('kind', ['MaskFormerHead', 'Mask2FormerHead', 'mmseg.MaskFormerHead'])
def test_check_config__heads_of_mmdet(write_tiny_config, kind):
    head = f"model = dict(decode_head=dict(_delete_=True, type='{kind}', num_classes=10))"
    sentence = (
        rf'model\.decode_head\.type={kind} in .* needs mmdet, .* not installed.* another head'
    )
    with pytest.raises(ConfigError, match=sentence):
        load_config(write_tiny_config(extra=head))


def test_check_config__finds_the_misspelled_key_in_mmseg():
    # 'wd_mult' of mmseg 1.2.2's dnlnet is read by nothing: weight decay is not what its author meant.
    path = next(MMSEG_CONFIGS.glob('dnlnet/dnl_r50-d8_4xb2-80k_cityscapes-769x769.py'))
    with pytest.raises(ConfigError, match=r'custom_keys\.theta\.wd_mult'):
        load_config(path)


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
    (
        'training_hooks = dict(progress=dict(intervall=3))',
        'training_hooks.progress.intervall',
        'interval',
    ),
    ('training_hooks = dict(curve=None)', 'training_hooks.curve', 'curves'),
    ('training_hook = dict(curves=None)', 'training_hook', 'training_hooks'),
    ('optim_wrapper = dict(clip_grad=dict(max_nrom=1))', 'clip_grad.max_nrom', 'max_norm'),
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
def test_check_config__suggests_the_nearest_key(write_tiny_config, mistake, place, suggestion):
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
        'visualizer = dict(vis_backends=[dict(type="WandbVisBackend", init_kwargs=dict(project="x"))])',
        'model = dict(auxiliary_head=None)',
        'model = dict(test_cfg=dict(mode="slide", crop_size=(64, 64), stride=(32, 32)))',
        'model = dict(backbone=dict(init_cfg=dict(type="Pretrained", checkpoint="x.pth", minimum=0.5)))',
    ],
)
def test_check_config__accepts_what_mmengine_reads(write_tiny_config, fine):
    load_config(write_tiny_config(extra=fine))


def test_check_config__unknown_type_without_neighbor(write_tiny_config):
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
def test_check_config__number_of_classes_has_one_owner(write_tiny_config, head):
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
