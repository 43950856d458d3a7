"""Configs whose types are classes, lazy ones among them: each way that a config takes treats them as names."""

from __future__ import annotations

import functools

import pytest
import torch
from mmcv.transforms import LoadImageFromFile, Resize, TestTimeAug
from mmengine.config import Config
from mmengine.config.lazy import LazyObject
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmseg.datasets.transforms import LoadAnnotations, PackSegInputs
from mmseg.models import SegTTAModel

from swinseg import Predictor
from swinseg.config.registered_types import spell_types
from swinseg.datasets import FolderDataset
from swinseg.datasets.check.of_config import check_dataset
from swinseg.engine import ConfigError, load_config, train
from swinseg.engine.evaluating import _set_test_time_augmentation
from swinseg.engine.training import _set_precision
from swinseg.evaluation.report import Protocol
from swinseg.models import SwinSegmentor
from swinseg.predictor.pipeline import Pipeline

LAZY = """
from mmengine.config import read_base

with read_base():
    from .base import *

from mmcv.transforms import LoadImageFromFile, RandomFlip, Resize, TestTimeAug
from mmengine.hooks import EMAHook
from mmengine.optim import OptimWrapper
from mmengine.runner import IterBasedTrainLoop
from mmseg.datasets import PackSegInputs
from mmseg.models import SegDataPreProcessor, SegTTAModel
from torch.optim import AdamW

from swinseg.datasets import ADE20K, ResumableSampler
from swinseg.datasets.transforms.loading import LoadLabel
from swinseg.models import SwinBackbone, SwinSegmentor, UPerNetHead

model.update(type=SwinSegmentor)
model.data_preprocessor.update(type=SegDataPreProcessor)
model.backbone.update(type=SwinBackbone)
model.decode_head.update(type=UPerNetHead)
tta_model = dict(type=SegTTAModel)
tta_pipeline = [
    dict(type=LoadImageFromFile),
    dict(
        type=TestTimeAug,
        transforms=[
            [dict(type=Resize, scale=scale, keep_ratio=True) for scale in ((192, 48), (256, 64))],
            [dict(type=RandomFlip, prob=prob) for prob in (0.0, 1.0)],
            [dict(type=LoadLabel)],
            [dict(type=PackSegInputs)],
        ],
    ),
]
test_dataloader.dataset.update(
    type=ADE20K,
    pipeline=[
        dict(type=LoadImageFromFile),
        dict(type=Resize, scale=(256, 64), keep_ratio=True),
        dict(type=LoadLabel),
        dict(type=PackSegInputs),
    ],
)
train_dataloader.sampler.update(type=ResumableSampler)
train_cfg = dict(type=IterBasedTrainLoop, max_iters=2, val_interval=2)
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=AdamW, lr=1e-3))
custom_hooks = [dict(type=EMAHook, momentum=0.1)]
"""


@pytest.fixture
def lazy_config(tmp_path, write_tiny_config):
    """A lazy config whose base is the tiny one, written out."""
    tiny = Config.fromfile(write_tiny_config())
    tiny.dump(str(tmp_path / 'base.py'))
    path = tmp_path / 'lazy.py'
    path.write_text(LAZY)
    return path


def test_lazy_config__is_checked_trained_and_used(lazy_config, tmp_path, tiny_dataset):
    cfg = load_config(lazy_config, ['optim_wrapper.clip_grad.max_norm=1.0'])
    done = train(cfg, work_dir=tmp_path / 'work', seed=0, check=False)
    # The checkpoint brings a config of names, and so does the work directory.
    image = next((tiny_dataset / 'images' / 'validation').iterdir())
    labels = Predictor.from_checkpoint(done.last)(image).labels
    assert labels.shape[0] == 64
    written = load_config(tmp_path / 'work' / 'lazy.py')
    assert written.model.backbone.type == 'SwinBackbone'
    assert written.optim_wrapper.optimizer.type == 'AdamW'


def test_lazy_config__misspelled_keys_and_types_are_found(lazy_config):
    text = lazy_config.read_text()
    lazy_config.write_text(text.replace('type=UPerNetHead', 'type=UPerNetHead, chnnels=8'))
    with pytest.raises(ConfigError, match=r'decode_head\.chnnels .* did you mean channels\?'):
        load_config(lazy_config)
    lazy_config.write_text(text.replace('import EMAHook', 'import EMHook as EMAHook'))
    with pytest.raises(
        ConfigError, match=r'type=mmengine\.hooks\.EMHook cannot be imported: .*lazy\.py'
    ):
        load_config(lazy_config)


class _Own:
    """A class that no registry has."""


def test_spell_types__puts_names_in_the_place_of_classes():
    content = dict(
        model=dict(type=SwinSegmentor, heads=(dict(type=_Own),)),
        optimizer=dict(type=torch.optim.AdamW),
        steps=[dict(type=LazyObject('swinseg.datasets').ADE20K)],
        named=dict(type='mmseg.UPerHead'),
        other=dict(type=int, kind=SwinSegmentor),
        partial=dict(type=functools.partial(int)),
    )
    cfg = Config(content)
    spell_types(cfg)
    assert cfg.model.type == 'SwinSegmentor'
    assert cfg.model.heads[0].type == f'{__name__}._Own'
    assert cfg.optimizer.type == 'AdamW'
    assert cfg.steps[0].type == 'ADE20K'
    assert cfg.named.type == 'mmseg.UPerHead'
    assert cfg.other.to_dict() == dict(type=int, kind=SwinSegmentor)
    assert isinstance(cfg.partial.type, functools.partial)


def test_spell_types__refuses_a_class_without_a_path():
    class Local:
        pass

    with pytest.raises(
        ConfigError, match=r'<locals>\.Local is a class inside of a function, .* register it'
    ):
        spell_types(Config(dict(model=dict(type=Local))))


@pytest.mark.parametrize('kind', ['OptimWrapper', 'mmengine.OptimWrapper', OptimWrapper])
def test_set_precision__takes_classes_and_paths(kind):
    cfg = Config(dict(optim_wrapper=dict(type=kind)))
    _set_precision(cfg, amp=False)
    assert cfg.optim_wrapper.type is kind
    _set_precision(cfg, amp=True)
    assert cfg.optim_wrapper.type in ('AutocastOptimWrapper', 'AmpOptimWrapper')


@pytest.mark.skipif(torch.cuda.is_available(), reason='is for a CPU')
def test_set_precision__mmengines_wrapper_as_a_class():
    cfg = Config(dict(optim_wrapper=dict(type=AmpOptimWrapper, loss_scale='dynamic')))
    _set_precision(cfg, amp=False)
    assert cfg.optim_wrapper == dict(type='AutocastOptimWrapper', dtype='bfloat16')


@pytest.mark.parametrize('kind', [SwinSegmentor, 'SwinSegmentor', 'swinseg.models.SwinSegmentor'])
@pytest.mark.parametrize('wrapper', [SegTTAModel, 'SegTTAModel', 'mmseg.SegTTAModel'])
def test_set_test_time_augmentation__takes_the_wrapper_that_keeps_few_scores(kind, wrapper):
    loader = dict(dataset=dict(pipeline=[]))
    cfg = Config(
        dict(
            model=dict(type=kind),
            tta_model=dict(type=wrapper),
            tta_pipeline=[],
            test_dataloader=loader,
        )
    )
    _set_test_time_augmentation(cfg)
    assert cfg.model.type == 'SwinTTAModel'
    assert cfg.model.module.type is kind


STEPS = [dict(type=LoadImageFromFile), dict(type=Resize, scale=(256, 64), keep_ratio=True),
         dict(type=LoadAnnotations), dict(type=PackSegInputs)]  # fmt: skip
NAMED = [{**step, 'type': step['type'].__name__} for step in STEPS]
PATHS = [
    {**step, 'type': f'{step["type"].__module__}.{step["type"].__qualname__}'} for step in STEPS
]


@pytest.mark.parametrize('steps', [STEPS, NAMED, PATHS], ids=['classes', 'names', 'paths'])
def test_pipeline__knows_loaders_of_images_and_labels(steps, tiny_dataset):
    image = next((tiny_dataset / 'images' / 'validation').iterdir())
    augment = dict(type=TestTimeAug, transforms=[[steps[1]], [steps[2]], [steps[3]]])
    pipeline = Pipeline(steps, [steps[0], augment])
    packed = pipeline.pack(pipeline.load(image))
    assert packed['inputs'].shape[1] == 64
    assert len(pipeline.augmentations()) == 1


@pytest.mark.parametrize('steps', [STEPS, NAMED, PATHS], ids=['classes', 'names', 'paths'])
def test_protocol__reads_steps(steps):
    cfg = dict(model=dict(), test_dataloader=dict(dataset=dict(pipeline=steps)))
    assert Protocol.from_config(cfg).scale == (256, 64)


@pytest.mark.parametrize('kind', [FolderDataset, 'FolderDataset', 'swinseg.datasets.FolderDataset'])
def test_check_dataset__knows_datasets_of_ours(write_tiny_config, kind):
    """One of ours lists its files later, so that a pair that is not there is one finding of several."""
    cfg = load_config(write_tiny_config())
    dataset = cfg.val_dataloader.dataset
    dataset.update(type=kind, classes=dataset.pop('metainfo').classes, img_suffix='.jpg')
    report = check_dataset(cfg, splits=['val'], workers=1)
    assert 'cannot-be-built' not in [finding.code for finding in report.findings]
