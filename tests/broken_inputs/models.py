"""Models that cannot be built or trained, and data that do not fit them."""

from __future__ import annotations

from collections.abc import Callable

from broken_inputs.place import CommandLine, Place

BINARY = """
data = dict(metainfo=dict(classes=('wall', 'building')))
train_dataloader = dict(dataset=data)
val_dataloader = dict(dataset=data)
test_dataloader = dict(dataset=data)
head = dict(num_classes=2, out_channels=1)
model = dict(decode_head=head, auxiliary_head=head)
"""
STOCK_STEPS = """
train_dataloader = dict(dataset=dict(pipeline=[
    dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', reduce_zero_label=False),
    dict(type='RandomCrop', crop_size=(48, 48)), dict(type='PackSegInputs'),
]))
"""
NO_LABELS = "dict(dataset=dict(pipeline=[dict(type='LoadImage'), dict(type='PackSegInputs')]))"
NO_CLASSES = """
train_dataloader = dict(dataset=dict(
    _delete_=True, type='BaseSegDataset', data_root={root!r},
    data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
    pipeline=_base_.train_pipeline,
))
"""


def _model(settings: str) -> Callable[[Place], CommandLine]:
    return _extra(f'model = dict({settings})')


def _extra(extra: str) -> Callable[[Place], CommandLine]:
    return lambda place: place.train(extra=extra)


def _no_classes(place: Place) -> CommandLine:
    return place.train(extra=NO_CLASSES.format(root=str(place.good_data)))


KINDS: dict[str, tuple[Callable[[Place], CommandLine], str]] = {
    'a window of no tokens': (
        _model('backbone=dict(window_size=0)'), r'window_size of SwinBackbone must be .* found 0'),
    'a negative number of channels': (
        _model('backbone=dict(embed_dims=-16)'), r'embed_dims of SwinBackbone must be .* found -16'),
    'a stage without blocks': (
        _model('backbone=dict(depths=[1, 0, 2, 1])'), r'depths of SwinBackbone must be .* found \[1, 0, 2, 1\]'),
    'everything dropped': (
        _model('backbone=dict(drop_path_rate=1.0)'), r'drop_path_rate of SwinBackbone must be .* found 1\.0'),
    'a map that is not there': (
        _model('decode_head=dict(in_index=[0, 1, 2, 4])'), r'asks for map 4, but SwinBackbone gives 4'),
    'channels of another backbone': (
        _model('backbone=dict(embed_dims=32)'), r'decode_head takes .* set in_channels=\[32, 64, 128, 256\]'),
    'a window that is one number': (
        _model("test_cfg=dict(mode='slide', crop_size=48, stride=32)"), r'write crop_size=\(48, 48\)'),
    'windows without stride': (
        _model("test_cfg=dict(mode='slide', crop_size=(48, 48))"), r"mode='slide' but no stride"),
    'a stride beyond the window': (
        _model("test_cfg=dict(mode='slide', crop_size=(48, 48), stride=(64, 64))"), r'the stride must be from 1'),
    'no window for an evaluation': (
        lambda place: place.test(extra="model = dict(test_cfg=dict(mode='slide', stride=(48, 48)))"),
        r"mode='slide' but no crop_size"),
    'a mean of four': (
        _model('data_preprocessor=dict(mean=[1.0, 2.0, 3.0, 4.0])'), r'mean .* has 4 numbers, .* 3 channels'),
    'a deviation of zero': (
        _model('data_preprocessor=dict(std=[0.0, 1.0, 1.0])'), r'std .* must be above 0'),
    'a mean of nan': (
        _model("data_preprocessor=dict(mean=[float('nan'), 1.0, 1.0])"), r'mean .* must be finite'),
    'size beside size_divisor': (
        _model('data_preprocessor=dict(size_divisor=32)'), r'both size=\(48, 48\) and size_divisor=32'),
    'crops smaller than the batch': (
        _model('data_preprocessor=dict(size=(96, 96))'), r'48 x 48 pixels .* 75% of each batch is padding'),
    'padding that is a class': (
        _model('decode_head=dict(ignore_index=0), auxiliary_head=dict(ignore_index=0)'),
        r'padding the label seg_pad_val=255, which decode_head does not ignore .* set seg_pad_val=0'),
    'one score and softmax': (_extra(BINARY), r'out_channels=1, .* set loss_decode=dict\(.* use_sigmoid=True\)'),
    'one class': (
        _extra("train_dataloader = dict(dataset=dict(metainfo=dict(classes=('wall',))))\n"
               'model = dict(decode_head=dict(num_classes=1), auxiliary_head=dict(num_classes=1))'),
        r"has one class, 'wall', and nothing to tell it from"),
    'no class names': (_no_classes, r'BaseSegDataset names no classes'),
    'the zero label reduced by nobody': (
        _extra(STOCK_STEPS), r'LoadAnnotations has reduce_zero_label=False, but ADE20K has'),
    'a validation without labels': (
        _extra(f'val_dataloader = {NO_LABELS}'), r'has no label to compare its prediction with'),
    'a test without labels': (
        lambda place: place.test(extra=f'test_dataloader = {NO_LABELS}'), r'has no label to compare'),
}  # fmt: skip
"""As in ``data.KINDS``."""
