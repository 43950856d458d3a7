"""Mistakes that only the classes notice that a config is built into: one sentence with the place."""

from __future__ import annotations

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmseg.registry import HOOKS, MODELS

from swinseg.config.build_errors import refused_arguments
from swinseg.engine import ConfigError, evaluate, load_config, train

SCHEDULERS = (
    '[dict(type="LinearLR", by_epoch=False, begin={}, end={}), '
    'dict(type="LinearLR", by_epoch=False, begin={}, end={})]'
)
EMA = 'custom_hooks = [dict(type="CurvesHook"), dict(type="EMAHook", momentum=3)]'


@pytest.mark.parametrize(
    ('extra', 'sentence'),
    [
        (
            f'param_scheduler = {SCHEDULERS.format(0, 9, 30, 20)}',
            r'LinearLR refuses param_scheduler\.1 of .*\.py: end should be larger .*begin=30, end=20',
        ),
        (
            f'param_scheduler = {SCHEDULERS.format(9, 9, 9, 9)}',
            r'LinearLR refuses param_scheduler of .*begin=9, end=9',
        ),
        ('optim_wrapper = dict(optimizer=dict(lr=-1.0))', r'AdamW refuses optim_wrapper\.optimizer of'),
        ('optim_wrapper = dict(accumulative_counts=0)', r'OptimWrapper refuses optim_wrapper of'),
        ('optim_wrapper = dict(paramwise_cfg=dict(custom_keys=3))', r' refuses optim_wrapper of'),
        ('train_cfg = dict(max_iters="many")', r'train_cfg\.max_iters must be .*, not many'),
        ('train_dataloader = dict(batch_size=0)', r'refuses train_dataloader of .*batch_size=0'),
        ('train_dataloader = dict(num_workers=-1)', r'DataLoader refuses train_dataloader of'),
        ('val_dataloader = dict(num_workers=-1)', r'DataLoader refuses val_dataloader of'),
        ('default_hooks = dict(checkpoint=dict(save_best=5))', r'refuses default_hooks\.checkpoint of'),
        ('custom_hooks = [dict(type="CurvesHook", priority=101)]', r'refuses custom_hooks of .*priority'),
        (EMA, r'ExponentialMovingAverage refuses custom_hooks\.1 of .*momentum'),
        ('log_level = "LOUD"', r'refuses log_level of .*LOUD'),
        ('training_hooks = dict(progress=dict(priority=101))', r'refuses training_hooks of .*priority'),
        ('log_processor = dict(custom_cfg=3)', r'LogProcessor refuses log_processor of'),
        ('model = dict(decode_head=dict(in_index=[0]))', r'UPerNetHead refuses model\.decode_head of'),
        (
            'train_dataloader = dict(dataset=dict(pipeline=[dict(type="LoadImage"), '
            'dict(type="RandomFlip", prob=7)]))',
            r'RandomFlip refuses train_dataloader\.dataset\.pipeline\.1 of',
        ),
    ],
)  # fmt: skip
def test_train__names_the_place_of_a_refused_value(write_tiny_config, tmp_path, extra, sentence):
    cfg = load_config(write_tiny_config(extra=extra))
    with pytest.raises(ConfigError, match=sentence) as caught:
        train(cfg, work_dir=tmp_path)
    assert '\n' not in str(caught.value)


def test_train__names_the_place_of_a_class_whose_package_is_missing(
    write_tiny_config, tmp_path, monkeypatch
):
    monkeypatch.setattr('mmseg.datasets.transforms.loading.gdal', None)
    pipeline = '[dict(type="LoadSingleRSImageFromFile"), dict(type="LoadLabel")]'
    cfg = load_config(
        write_tiny_config(extra=f'train_dataloader = dict(dataset=dict(pipeline={pipeline}))')
    )
    sentence = (
        r'^LoadSingleRSImageFromFile refuses train_dataloader\.dataset\.pipeline\.0 of .*: gdal is not installed; '
        r"install the package, .* LoadImage\(color_type='unchanged'\)"
    )
    with pytest.raises(ConfigError, match=sentence):
        train(cfg, work_dir=tmp_path)


class _NeedsAPackage(Hook):
    def __init__(self, error):
        raise error


@pytest.mark.parametrize(
    ('error', 'expected', 'sentence'),
    [
        (
            ImportError("No module named 'wandb'"),
            ConfigError,
            r"refuses .*'wandb'; install the package",
        ),
        (RuntimeError('gdal is not installed'), ConfigError, r'not installed; .* does without$'),
        (RuntimeError('out of luck'), RuntimeError, r'out of luck'),
    ],
)
def test_refused_arguments__a_package_that_is_missing(error, expected, sentence):
    HOOKS.register_module(module=_NeedsAPackage, force=True)
    cfg = Config(dict(custom_hooks=[]))
    with pytest.raises(expected, match=sentence), refused_arguments(cfg, 'custom_hooks'):
        HOOKS.build(dict(type='_NeedsAPackage', error=error))


def test_evaluate__names_the_place_of_a_refused_value(write_tiny_config, tmp_path, tiny_run):
    cfg = load_config(write_tiny_config(extra='test_dataloader = dict(num_workers=-1)'))
    with pytest.raises(ConfigError, match='DataLoader refuses test_dataloader of'):
        evaluate(cfg, next(tiny_run.glob('iter_4.pth')), work_dir=tmp_path)


@HOOKS.register_module()
class _HookThatFails(Hook):
    """Raises while the training runs, as a defect would."""

    def after_train_iter(self, *args, **kwargs):
        int('a defect')


def test_train__an_error_of_the_training_itself_keeps_its_type(write_tiny_config, tmp_path):
    cfg = load_config(write_tiny_config())
    cfg.custom_hooks = [dict(type='_HookThatFails')]
    with pytest.raises(ValueError, match='a defect') as caught:
        train(cfg, work_dir=tmp_path)
    assert not isinstance(caught.value, ConfigError)


def test_refused_arguments__an_error_in_a_line_of_swinseg_keeps_its_type(monkeypatch):
    def defect(*args, **kwargs):
        return exec(
            compile('int("a defect")', '', 'exec'), {'__name__': 'swinseg.models.swin.backbone'}
        )

    backbone = MODELS.get('SwinBackbone')
    monkeypatch.setattr(backbone, '__init__', defect)
    cfg = Config(dict(model=dict(type='SwinBackbone')))
    with pytest.raises(ValueError, match='a defect') as caught, refused_arguments(cfg, 'model'):
        MODELS.build(cfg.model)
    assert not isinstance(caught.value, ConfigError)
