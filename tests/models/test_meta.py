"""Models on the meta device, which has shapes and no values: built, counted and run where no memory would do."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from support.mmseg_pairs import TINY, VARIANTS, build_segmentor
from swinseg import prepare_for_inference
from swinseg.models.complexity import count_multiply_adds
from swinseg.models.feature_info import feature_info, fsdp_units, image_channels, layer_groups

ODD_SIZES = [(1, 1), (33, 47), (101, 203), (224, 225)]


@pytest.fixture(autouse=True)
def mmseg_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def build(backbone, *, device='meta', **segmentor):
    normalization = dict(mean=[123.7, 116.3, 103.5], std=[58.4, 57.1, 57.4])
    with torch.device(device):
        return build_segmentor(
            stock=False,
            backbone=backbone,
            num_classes=150,
            data_preprocessor=dict(type='SegDataPreProcessor', size=(64, 64), **normalization),
            **segmentor,
        )


@pytest.mark.parametrize(
    ('variant', 'parameters', 'units'),
    [('T', 60, 15), ('S', 81, 27), ('B', 121, 27), ('L', 234, 27)],
)
def test_build__takes_no_memory_and_is_counted(variant, parameters, units):
    """FSDP shards blocks and patch mergings."""
    model = build(VARIANTS[variant])
    tensors = [*model.parameters(), *model.buffers()]
    assert all(each.is_meta for each in tensors)
    assert round(sum(each.numel() for each in model.parameters()) / 1e6) == parameters
    assert len(fsdp_units(model.backbone)) == units
    assert image_channels(model.backbone) == 3
    assert count_multiply_adds(model, (64, 64)) > 1e9


def test_meta__tells_what_a_real_model_does():
    on_meta, real = build(TINY, channels=32), build(TINY, channels=32, device='cpu')
    assert count_multiply_adds(on_meta, (96, 128)) == count_multiply_adds(real, (96, 128))
    assert feature_info(on_meta.backbone) == feature_info(real.backbone)
    assert layer_groups(on_meta.backbone) == layer_groups(real.backbone)
    names = [
        [name for name, module in model.backbone.named_modules() if module in units]
        for model in (on_meta, real)
        for units in [fsdp_units(model.backbone)]
    ]
    assert names[0] == names[1]
    assert names[0]


@pytest.mark.parametrize('size', ODD_SIZES)
@pytest.mark.parametrize('with_cp', [False, True])
def test_training_step__at_odd_sizes(size, with_cp):
    model = build({**TINY, 'with_cp': with_cp, 'drop_path_rate': 0.2}, channels=32).train()
    labels = PixelData(data=torch.empty(1, *size, dtype=torch.int64, device='meta'))
    samples = [SegDataSample(gt_sem_seg=labels, metainfo=dict(img_shape=size))] * 2
    features = model.backbone(torch.empty(2, 3, *size, device='meta'))
    strides = (4, 8, 16, 32)
    assert [tuple(each.shape[2:]) for each in features] == [
        tuple(-(-side // stride) for side in size) for stride in strides
    ]
    losses = model.loss(torch.empty(2, 3, *size, device='meta'), samples)
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    weight = model.backbone.patch_embed.projection.weight
    assert weight.grad.is_meta
    assert weight.grad.shape == weight.shape


@pytest.mark.parametrize('size', ODD_SIZES)
@pytest.mark.parametrize('dtype', [None, torch.float32, torch.float16])
def test_forward__at_odd_sizes(size, dtype):
    model = build(TINY, channels=32).eval()
    if dtype is not None:
        model = prepare_for_inference(model, dtype)
    with torch.no_grad():
        logits = model.decode_head(model.backbone(torch.empty(1, 3, *size, device='meta')))
    assert (logits.device.type, logits.dtype) == ('meta', torch.float32)
    assert tuple(logits.shape) == (1, 150, *(-(-side // 4) for side in size))


@pytest.mark.parametrize(
    'test_cfg', [dict(mode='whole'), dict(mode='slide', crop_size=(64, 64), stride=(48, 48))]
)
@pytest.mark.parametrize('original', [(101, 203), (77, 150)])
def test_predict__gives_shapes(test_cfg, original):
    model = build(TINY, channels=32, test_cfg=ConfigDict(test_cfg)).eval()
    meta = dict(img_shape=(101, 203), ori_shape=original, pad_shape=(101, 203))
    image = torch.empty(1, 3, 101, 203, device='meta')
    with torch.no_grad():
        (found,) = model.predict(image, [SegDataSample(metainfo=meta)])
    assert found.pred_sem_seg.data.is_meta
    assert tuple(found.pred_sem_seg.data.shape) == (1, *original)
