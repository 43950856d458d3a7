"""A backbone of one's own: what it publishes is all that the package needs to know of it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModule
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.models.backbones import SwinTransformer
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from support.mmseg_pairs import TINY
from swinseg import prepare_for_inference
from swinseg.engine.distributed.fsdp import units_of
from swinseg.errors import ArchitectureError
from swinseg.inference import RasterError
from swinseg.models import SwinBackbone
from swinseg.models.complexity import count_multiply_adds
from swinseg.models.feature_info import (
    FeatureInfo,
    feature_info,
    fsdp_units,
    image_channels,
    layer_groups,
)
from swinseg.raster.image import ArrayImage
from swinseg.segment.scenes.scene import _checked_bands

RESNET = dict(
    type='mmseg.ResNetV1c',
    depth=18,
    num_stages=4,
    out_indices=(0, 1, 2, 3),
    norm_cfg=dict(type='BN'),
)


class PatchStages(BaseModule):
    """Two stages of linear patches. No weight of theirs tells the channels of the image."""

    in_channels = 4
    feature_info = (FeatureInfo(8, 4), FeatureInfo(16, 8))

    def __init__(self, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        # Registered in another order than they are computed.
        self.merge = nn.Linear(8 * 4, 16)
        self.mix = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.embed = nn.Linear(4 * 16, 8)

    def forward(self, image):
        fine = self.mix(_patches(image, 4, self.embed))
        return [fine, _patches(fine, 2, self.merge)]

    def layer_groups(self):
        return [('embed',), ('mix',), ('merge',)]

    def fsdp_units(self):
        return [self.mix, self.merge]


def _patches(x, side, layer):
    height, width = x.shape[2] // side, x.shape[3] // side
    tokens = nn.functional.unfold(x, side, stride=side).transpose(1, 2)
    return layer(tokens).transpose(1, 2).unflatten(2, (height, width))


@pytest.fixture(autouse=True)
def _registered():
    MODELS.register_module(module=PatchStages, force=True)
    yield
    del MODELS._module_dict['PatchStages']


def _model(backbone='PatchStages', in_channels=(8, 16), channels=4, **settings):
    backbone = dict(type=backbone) if isinstance(backbone, str) else backbone
    cfg = dict(
        type='SwinSegmentor',
        data_preprocessor=dict(
            type='SegDataPreProcessor', mean=[1.0] * channels, std=[50.0] * channels, size_divisor=16
        ),
        backbone=backbone,
        decode_head=dict(
            type='UPerNetHead', in_channels=list(in_channels), in_index=list(range(len(in_channels))), channels=8,
            num_classes=3, norm_cfg=dict(type='BN'), align_corners=False, dropout_ratio=0.0,
        ),
        test_cfg=dict(mode='whole'),
        **settings,
    )  # fmt: skip
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(ConfigDict(cfg))


def _batch(channels=4, size=(32, 48), count=1):
    generator = torch.Generator().manual_seed(1)
    image = torch.randint(256, (channels, *size), generator=generator, dtype=torch.uint8)
    label = torch.randint(3, (1, *size), generator=generator)
    meta = dict(ori_shape=size, img_shape=size, pad_shape=size)
    sample = SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=label))
    return {'inputs': [image] * count, 'data_samples': [sample] * count}


def test_published__trains_and_predicts():
    model = _model()
    data = model.data_preprocessor(_batch(count=2), True)
    loss, _ = model.parse_losses(model.loss(**data))
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    labels = model.eval().test_step(_batch())[0].pred_sem_seg.data
    assert labels.shape == (1, 32, 48)


def test_published__heads_and_images_are_compared_with_it():
    with pytest.raises(ArchitectureError, match=r'set in_channels=\[8, 16\] of decode_head'):
        _model(in_channels=(8, 24))
    with pytest.raises(ArchitectureError, match='takes images of 4 channels'):
        _model(channels=3)
    with pytest.raises(
        ArchitectureError, match='has 3 channels after loading, but the model takes 4'
    ):
        _model().eval().test_step(_batch(channels=3))


def test_published__is_prepared_for_inference():
    model = _model().eval()
    pixels = model.data_preprocessor(_batch(), False)['inputs']
    with torch.inference_mode():
        expected = model(pixels)
        torch.testing.assert_close(prepare_for_inference(model)(pixels), expected)
        half = prepare_for_inference(model, torch.bfloat16)(pixels)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, expected, atol=0.1, rtol=0.1)


def test_published__is_counted_and_bands_of_scenes_are_compared_with_it():
    model = _model()
    assert count_multiply_adds(model.backbone, (8, 8)) == 4 * 64 * 8 + 4 * 9 * 8 + 32 * 16
    image = ArrayImage(np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(RasterError, match='takes images of 4 bands, but 3 bands'):
        _checked_bands(SimpleNamespace(model=model), image, 'scene.tif')


def test_published__layers_have_their_rates():
    model = _model()
    settings = dict(
        type='OptimWrapper', constructor='LayerDecayConstructor', paramwise_cfg=dict(decay_rate=0.5),
        optimizer=dict(type='SGD', lr=8.0),
    )  # fmt: skip
    with DefaultScope.overwrite_default_scope('mmseg'):
        wrapper = build_optim_wrapper(model, Config(dict(o=settings)).o)
    rates = {id(g['params'][0]): g['lr'] for g in wrapper.optimizer.param_groups}
    found = {name: rates[id(p)] for name, p in model.named_parameters() if name.endswith('.bias')}
    expected = {'backbone.embed.bias': 1.0, 'backbone.mix.bias': 2.0, 'backbone.merge.bias': 4.0}
    assert {name: found.pop(name) for name in expected} == expected
    assert set(found.values()) == {8.0}


def test_published__units_are_sharded():
    model = _model()
    assert units_of(model) == [model.backbone.mix, model.backbone.merge]
    assert units_of(nn.Linear(1, 1)) == []


def test_swin__publishes_its_blocks():
    backbone = SwinBackbone(**TINY)
    units = fsdp_units(backbone)
    depths = [len(stage.blocks) for stage in backbone.stages]
    assert len(units) == sum(depths) + len(depths) - 1
    assert len(layer_groups(backbone)) == sum(depths) + 1
    assert image_channels(backbone) == backbone.in_channels == 3
    assert layer_groups(SwinTransformer(**TINY)) == layer_groups(backbone)


def test_resnet__gets_what_holds_where_nothing_is_published():
    model = _model(RESNET, in_channels=(64, 128, 256, 512), channels=3)
    backbone = model.backbone
    assert feature_info(backbone) == [(64, 4), (128, 8), (256, 16), (512, 32)]
    assert image_channels(backbone) == 3
    assert layer_groups(backbone) == [('stem',), ('layer1',), ('layer2',), ('layer3',), ('layer4',)]
    assert units_of(model) == []
    assert model.eval().test_step(_batch(channels=3, size=(64, 64)))[0].pred_sem_seg.shape == (
        64,
        64,
    )


def test_mobilenet__in_channels_of_its_last_layer_are_not_those_of_the_image():
    backbone = MODELS.build(dict(type='mmseg.MobileNetV2'))
    assert backbone.in_channels == 320
    assert image_channels(backbone) == 3


def test_nested_units__inner_ones_come_first():
    backbone = nn.Sequential(nn.Sequential(nn.Linear(1, 1)), nn.Linear(1, 1))
    backbone.fsdp_units = lambda: [backbone[0], backbone[0][0], backbone[1]]
    assert fsdp_units(backbone) == [backbone[1], backbone[0][0], backbone[0]]


@pytest.mark.parametrize(
    ('publish', 'ask', 'message'),
    [
        (dict(layer_groups=lambda: [('embd',)]), layer_groups, "layer_groups.. of PatchStages names 'embd'"),
        (dict(fsdp_units=lambda: [nn.ReLU()]), fsdp_units, 'must be modules inside it, found ReLU'),
        (dict(in_channels='RGB'), image_channels, "such as 3, found 'RGB'"),
    ],
)  # fmt: skip
def test_published__is_checked(publish, ask, message):
    backbone = PatchStages()
    vars(backbone).update(publish)
    with pytest.raises(ArchitectureError, match=message):
        ask(backbone)
