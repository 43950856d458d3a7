"""Stock mmseg models and swinseg's, with the same configuration and the same random weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

import torch
from mmengine.config import ConfigDict
from mmseg.models.backbones import SwinTransformer
from mmseg.registry import MODELS
from torch import nn

from swinseg.benchmark import pairs

VARIANTS = {
    'T': dict(embed_dims=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24), window_size=7),
    'S': dict(embed_dims=96, depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24), window_size=7),
    'B': dict(embed_dims=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32), window_size=12),
    'L': dict(embed_dims=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48), window_size=12),
}
TINY = dict(embed_dims=16, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), window_size=7)


def randomize(model: nn.Module, seed: int = 0) -> nn.Module:
    """Draw every parameter and statistic, so that a swapped or forgotten one shows in the output."""
    pairs.randomize(model, seed)
    return model


def build_segmentor(
    *, stock: bool, backbone: dict, channels: int = 512, num_classes: int = 150, **segmentor
) -> nn.Module:
    """Build backbone + UPerNet + auxiliary FCN, of mmseg's classes or of ours."""
    width = backbone['embed_dims']
    norm_cfg = dict(type='BN')
    config = dict(
        type='EncoderDecoder' if stock else 'SwinSegmentor',
        data_preprocessor=dict(type='SegDataPreProcessor', size=None),
        backbone={'type': 'SwinTransformer' if stock else 'SwinBackbone', **backbone},
        decode_head=dict(
            type='UPerHead' if stock else 'UPerNetHead',
            in_channels=[width, 2 * width, 4 * width, 8 * width],
            in_index=[0, 1, 2, 3],
            channels=channels,
            dropout_ratio=0.0,
            num_classes=num_classes,
            norm_cfg=norm_cfg,
            align_corners=False,
        ),
        auxiliary_head=dict(
            type='FCNHead',
            in_channels=4 * width,
            in_index=2,
            channels=channels // 2,
            num_convs=1,
            concat_input=False,
            dropout_ratio=0.0,
            num_classes=num_classes,
            norm_cfg=norm_cfg,
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.4),
        ),
        test_cfg=dict(mode='whole'),
    )
    config.update(segmentor)
    return MODELS.build(ConfigDict(config))


@contextlib.contextmanager
def without_drawing() -> Iterator[None]:
    """Leave what layers draw when they are built, 230 million weights in Swin-L, to others, or to nobody."""
    with contextlib.ExitStack() as stack:
        for name in ('uniform_', 'normal_'):
            stack.enter_context(
                mock.patch.object(torch.Tensor, name, lambda self, *_, **__: self.fill_(torch.nan))
            )
        yield


def build_pair(backbone: dict, **options) -> tuple[nn.Module, nn.Module]:
    """Return (stock, ours) with the same random weights, moved strictly in one direction and back."""
    with without_drawing():
        stock = build_segmentor(stock=True, backbone=backbone, **options)
        ours = build_segmentor(stock=False, backbone=backbone, **options)
    randomize(stock)
    ours.load_state_dict(stock.state_dict(), strict=True)
    stock.load_state_dict(ours.state_dict(), strict=True)
    return stock, ours


def build_backbone_pair(**options) -> tuple[nn.Module, nn.Module]:
    """Return mmseg's and our backbone with the same random weights."""
    from swinseg.models import SwinBackbone

    stock = randomize(SwinTransformer(**options))
    ours = SwinBackbone(**options)
    ours.load_state_dict(stock.state_dict(), strict=True)
    return stock, ours
