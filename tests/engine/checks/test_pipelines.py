"""What a pipeline leaves, compared with what comes after it; and datasets that do not say what they are."""

from __future__ import annotations

from typing import ClassVar

import pytest
from mmcv.transforms import BaseTransform
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.registry import DefaultScope
from mmseg.datasets import BaseSegDataset, MultiImageMixDataset
from mmseg.models import SegDataPreProcessor
from mmseg.registry import TRANSFORMS
from torch import nn

from swinseg.datasets.building import check_dataset_settings, pipelines_of
from swinseg.datasets.sampling import SeededDataset
from swinseg.engine import ConfigError
from swinseg.engine.checks.pipelines import check_padding

LOAD = [dict(type='LoadImage'), dict(type='LoadLabel')]
PACK = [dict(type='RandomFlip', prob=0.5), dict(type='PackSegInputs')]
CROPS = {
    'ours': dict(
        type='RandomResizeCrop', scale=(96, 72), ratio_range=(0.5, 2.0), crop_size=(48, 64), keep_ratio=True
    ),
    "mmseg's": dict(type='RandomCrop', crop_size=(48, 64)),
    "mmcv's": dict(type='CenterCrop', crop_size=(64, 48)),
    'a resize': dict(type='Resize', scale=(64, 48)),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _in_the_scope_of_mmseg():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@TRANSFORMS.register_module()
class _Enlarge(BaseTransform):
    """Does what nobody knows."""

    def transform(self, results):
        return results


class _Stock(BaseSegDataset):
    METAINFO: ClassVar = dict(classes=('a', 'b'), palette=[[0, 0, 0], [255, 0, 0]])

    def load_data_list(self):
        return [dict(img_path='a.png', seg_map_path='a.png', label_map=None, seg_fields=[])]


class _OldNames(_Stock):
    METAINFO: ClassVar = dict(CLASSES=('a', 'b'), PALETTE=[[0, 0, 0], [255, 0, 0]])


def dataset(*steps, **options):
    return _Stock(pipeline=[*LOAD, *steps, *PACK], **options)


def preprocessor(size=(48, 64), **options):
    return SegDataPreProcessor(size=size, **options)


@pytest.mark.parametrize('crop', CROPS.values(), ids=CROPS)
@pytest.mark.parametrize(
    'wrap',
    [
        lambda inner: inner,
        SeededDataset,
        lambda inner: SeededDataset(RepeatDataset(inner, times=2)),
        lambda inner: SeededDataset(ConcatDataset([dataset(), inner])),
        lambda inner: MultiImageMixDataset(
            ConcatDataset([inner]), pipeline=[dict(type='RandomFlip', prob=0.5)]
        ),
    ],
)
def test_crop_and_size__are_compared_through_wrappers(wrap, crop):
    data = wrap(dataset(crop))
    check_padding(data, preprocessor(), ignored={'decode_head': 255})
    sentence = (
        r'gives 48 x 64 pixels .* data_preprocessor\.size is 96 x 96: 67% of each batch is padding, .* set '
        r'size=\(48, 64\) of data_preprocessor, or crop_size=\(96, 96\)'
    )
    with pytest.raises(ConfigError, match=sentence):
        check_padding(data, preprocessor((96, 96)), ignored={})
    with pytest.raises(ConfigError, match='does not cut them, and a smaller image does not fit'):
        check_padding(data, preprocessor((32, 32)), ignored={})


def test_crop_and_size__of_steps_that_mix_images():
    last = dict(type='Resize', scale=(96, 96))
    mixed = MultiImageMixDataset(ConcatDataset([dataset(CROPS['ours'])]), pipeline=[last])
    check_padding(mixed, preprocessor((96, 96)), ignored={})
    with pytest.raises(ConfigError, match='gives 96 x 96 pixels'):
        check_padding(mixed, preprocessor(), ignored={})


@pytest.mark.parametrize(
    'steps',
    [
        [CROPS['ours'], dict(type='Pad', size=(96, 96))],
        [CROPS['ours'], dict(type='_Enlarge')],
        [dict(type='RandomApply', transforms=[CROPS['ours']])],
        [CROPS["mmseg's"], dict(type='Resize', scale_factor=2.0)],
        [],
    ],
)
def test_crop_and_size__only_where_the_size_is_known(steps):
    check_padding(dataset(*steps), preprocessor((96, 96)), ignored={})


def test_size_divisor__goes_with_any_crop_and_none_with_no_batch():
    data = dataset(CROPS['ours'])
    check_padding(data, preprocessor(None, size_divisor=32), ignored={'decode_head': 255})
    check_padding(data, nn.Identity(), ignored={'decode_head': 0})
    with pytest.raises(ConfigError, match=r'neither size nor size_divisor, .* size=\(512, 512\)'):
        check_padding(data, preprocessor(None), ignored={})


@pytest.mark.parametrize(('label', 'ignore_index'), [(255, 0), (0, 255), (12, 255), (255, 254)])
def test_padding__must_not_count(label, ignore_index):
    data, ignored = dataset(CROPS['ours']), {'decode_head': label, 'auxiliary_head': ignore_index}
    with pytest.raises(
        ConfigError,
        match=rf'seg_pad_val={label}, which auxiliary_head does not .* set seg_pad_val=',
    ):
        check_padding(data, preprocessor(seg_pad_val=label), ignored=ignored)
    check_padding(data, preprocessor(seg_pad_val=label), ignored={'a': label, 'masks': None})


@pytest.mark.parametrize(
    ('step', 'sentence'),
    [
        (
            dict(type='RandomRotate', prob=1.0, degree=9.0, seg_pad_val=254),
            'RandomRotate .* seg_pad_val=254, which',
        ),
        (
            dict(type='Pad', size=(9, 9), pad_val=dict(img=0, seg=1)),
            r"Pad gives .* label pad_val\['seg'\]=1, which",
        ),
    ],
)
def test_padding__of_a_step_must_not_count_either(step, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check_padding(dataset(step), preprocessor(), ignored={'decode_head': 255})
    check_padding(dataset(dict(type='Pad', size=(9, 9))), preprocessor(), ignored={'a': 255})


@pytest.mark.parametrize('rule', [False, True])
@pytest.mark.parametrize('place', ['plain', 'inside', 'for tests'])
def test_zero_label__is_the_datasets_to_reduce(rule, place):
    step = dict(type='LoadAnnotations', reduce_zero_label=not rule)
    steps = {
        'plain': [step],
        'inside': [dict(type='RandomApply', transforms=[step])],
        'for tests': [dict(type='TestTimeAug', transforms=[[step], [dict(type='PackSegInputs')]])],
    }[place]
    data = SeededDataset(dataset(*steps, reduce_zero_label=rule))
    with pytest.raises(
        ConfigError, match=f'LoadAnnotations has reduce_zero_label={not rule}, but _Stock has'
    ):
        check_dataset_settings(data)
    check_dataset_settings(dataset(dict(type='LoadAnnotations'), reduce_zero_label=rule))
    check_dataset_settings(
        dataset(dict(type='LoadAnnotations', reduce_zero_label=rule), reduce_zero_label=rule)
    )


@pytest.mark.parametrize(
    ('data', 'sentence'),
    [
        (lambda: BaseSegDataset(lazy_init=True), r'BaseSegDataset names no .* write metainfo=dict\('),
        (lambda: RepeatDataset(_OldNames(), 2), r'_OldNames names no .* METAINFO = dict\(classes=.*small letters'),
        (lambda: _Stock(metainfo=dict(classes=('b',))), r"has one class, 'b', .* classes=\['background', 'b'\]"),
    ],
)  # fmt: skip
def test_classes__must_be_named(data, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check_dataset_settings(data())


def test_pipelines__of_a_joined_dataset():
    joined = SeededDataset(ConcatDataset([dataset(), dataset(CROPS['ours'])]))
    lengths = [(type(leaf), len(steps)) for leaf, steps in pipelines_of(joined)]
    assert lengths == [(_Stock, 4), (_Stock, 5)]
