"""The UPerNet decode head (Xiao et al. 2018, "Unified Perceptual Parsing for Scene Understanding"), with the
parameter names and the numbers of mmsegmentation 1.2.2's ``UPerHead``.

Shapes: B images; level i of the backbone has C_i channels and H_i x W_i pixels, level 0 the finest; D is
the head's width (``channels``), K the number of classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn


def resize_to(x: Tensor, like: Tensor, *, align_corners: bool) -> Tensor:
    """Resize (B, C, h, w) bilinearly to the height and width of ``like``."""
    size = like.shape[2:]
    if x.shape[2:] == size:
        return x
    return F.interpolate(x, size=size, mode='bilinear', align_corners=align_corners)


class PyramidPooling(nn.ModuleList):
    """The pyramid pooling module of PSPNet (Zhao et al. 2017): averages over grids of several sizes.

    Args:
        pool_scales: sides of the grids.
        in_channels: channels of the input.
        channels: channels D of each output.
        align_corners: how the outputs are resized back.
        **conv_options: ``conv_cfg``, ``norm_cfg``, ``act_cfg`` of mmcv's ``ConvModule``.
    """

    def __init__(
        self,
        pool_scales: Sequence[int],
        in_channels: int,
        channels: int,
        *,
        align_corners: bool,
        **conv_options: Any,
    ) -> None:
        super().__init__(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(scale),
                ConvModule(in_channels, channels, 1, **conv_options),
            )
            for scale in pool_scales
        )
        self.align_corners = align_corners

    def forward(self, x: Tensor) -> list[Tensor]:
        """Pool (B, C, H, W) to one (B, D, H, W) for each scale."""
        return [resize_to(pool(x), x, align_corners=self.align_corners) for pool in self]


@MODELS.register_module()
class UPerNetHead(BaseDecodeHead):
    """Feature pyramid with pyramid pooling on top, fused at the finest resolution.

    Args:
        pool_scales: grid sides of the pyramid pooling.
        **head_options: as mmseg's ``BaseDecodeHead`` takes them: ``in_channels`` and ``in_index`` (one entry
            for each level, finest first), ``channels``, ``num_classes``, ``norm_cfg``, ``dropout_ratio``,
            ``align_corners``, ``loss_decode``, ``ignore_index`` and so on.
    """

    def __init__(self, pool_scales: Sequence[int] = (1, 2, 3, 6), **head_options: Any) -> None:
        super().__init__(input_transform='multiple_select', **head_options)
        conv_options = dict(conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
        *finer_channels, top_channels = self.in_channels
        width = self.channels
        self.psp_modules = PyramidPooling(
            pool_scales, top_channels, width, align_corners=self.align_corners, **conv_options
        )
        self.bottleneck = ConvModule(
            top_channels + len(pool_scales) * width, width, 3, padding=1, **conv_options
        )
        self.lateral_convs = nn.ModuleList(
            ConvModule(channels, width, 1, **conv_options) for channels in finer_channels
        )
        self.fpn_convs = nn.ModuleList(
            ConvModule(width, width, 3, padding=1, **conv_options) for _ in finer_channels
        )
        self.fpn_bottleneck = ConvModule(
            len(self.in_channels) * width, width, 3, padding=1, **conv_options
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Classify each pixel of the finest level.

        Args:
            features: the backbone's outputs, (B, C_i, H_i, W_i), finest first.

        Returns:
            (B, K, H_0, W_0) logits.
        """
        return self.cls_seg(self.fuse(self._transform_inputs(features)))

    def fuse(self, levels: Sequence[Tensor]) -> Tensor:
        """Build the pyramid and fuse it to (B, D, H_0, W_0)."""
        pyramid = self._top_down(
            [conv(x) for conv, x in zip(self.lateral_convs, levels[:-1], strict=True)], levels[-1]
        )
        finest = pyramid[0]
        return self.fpn_bottleneck(
            torch.cat(
                [resize_to(x, finest, align_corners=self.align_corners) for x in pyramid], dim=1
            )
        )

    def _top_down(self, laterals: list[Tensor], top: Tensor) -> list[Tensor]:
        """Return the pyramid, finest first: each level with what the coarser ones add to it."""
        x = self.bottleneck(torch.cat([top, *self.psp_modules(top)], dim=1))
        pyramid = [x]
        for lateral, conv in zip(reversed(laterals), reversed(self.fpn_convs), strict=True):
            x = lateral + resize_to(x, lateral, align_corners=self.align_corners)
            pyramid.append(conv(x))
        return pyramid[::-1]
