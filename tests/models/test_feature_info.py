"""What backbones give to heads, told without computing it."""

from __future__ import annotations

import pytest
import torch
from mmseg.registry import MODELS
from torch import nn

from swinseg.models import SwinBackbone
from swinseg.models.feature_info import FeatureInfo, feature_info, image_channels

SWIN = dict(embed_dims=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8), window_size=4)
RESNET = dict(
    type='mmseg.ResNetV1c', depth=18, num_stages=4, out_indices=(0, 1, 2, 3), dilations=(1, 1, 2, 4),
    strides=(1, 2, 1, 1), norm_cfg=dict(type='BN'), contract_dilation=True,
)  # fmt: skip
FPN = dict(type='mmseg.FPN', in_channels=[16, 32, 64, 128], out_channels=24, num_outs=4)


class _Counting(nn.Module):
    """A backbone whose maps depend on the pixels."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)

    def forward(self, image):
        return [self.conv(image)[:, : int(image.abs().sum()) + 1]]


@pytest.mark.parametrize('out_indices', [(0, 1, 2, 3), (1, 3)])
def test_swin__publishes_what_it_returns(out_indices):
    backbone = SwinBackbone(**SWIN, out_indices=out_indices).eval()
    with torch.inference_mode():
        maps = backbone(torch.zeros(1, 3, 64, 64))
    assert feature_info(backbone) == [FeatureInfo(x.shape[1], 64 // x.shape[2]) for x in maps]
    assert list(backbone.feature_info) == feature_info(backbone)


def test_resnet__is_looked_at_and_left_as_it_is():
    backbone = MODELS.build(RESNET)
    backbone.layer1.eval()
    state = {key: value.clone() for key, value in backbone.state_dict().items()}
    modes = [module.training for module in backbone.modules()]
    generator = torch.get_rng_state()
    assert feature_info(backbone) == [(64, 4), (128, 8), (256, 8), (512, 8)]
    assert image_channels(backbone) == 3
    assert [module.training for module in backbone.modules()] == modes
    assert torch.equal(torch.get_rng_state(), generator)
    for key, value in backbone.state_dict().items():
        assert value.device.type == 'cpu'
        assert torch.equal(value, state[key]), key


def test_neck__gives_what_the_heads_see():
    expected = [(24, 4), (24, 8), (24, 16), (24, 32)]
    assert feature_info(SwinBackbone(**SWIN), MODELS.build(FPN)) == expected
    narrow = MODELS.build({**FPN, 'in_channels': [16, 32, 64, 120]})
    assert feature_info(SwinBackbone(**SWIN), narrow) is None  # it cannot take these maps


def test_what_needs_numbers__cannot_be_told():
    assert feature_info(_Counting()) is None
    assert feature_info(nn.Identity()) is None
    assert image_channels(nn.Identity()) is None
