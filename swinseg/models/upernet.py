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

from swinseg.models.ops.packed_layers import PackedPyramidConv
from swinseg.models.ops.upsampled_conv import pyramid_conv3x3


def resize_to(x: Tensor, like: Tensor, *, align_corners: bool) -> Tensor:
    """Resize (B, C, h, w) bilinearly to the height and width of ``like``."""
    size = like.shape[2:]
    if x.shape[2:] == size:
        return x
    return F.interpolate(x, size=size, mode='bilinear', align_corners=align_corners)


def is_plain_conv(module: ConvModule) -> bool:
    """Tell whether a ``ConvModule`` is an ordinary convolution before norm and activation."""
    return (
        type(module.conv) is nn.Conv2d
        and module.order == ('conv', 'norm', 'act')
        and not module.with_spectral_norm
    )


def is_plain_conv3x3(module: ConvModule) -> bool:
    """Tell whether a ``ConvModule`` is an ordinary 3x3 convolution, padded by one, before norm and activation."""
    conv = module.conv
    return (
        is_plain_conv(module)
        and conv.kernel_size == (3, 3)
        and conv.padding == conv.dilation == conv.stride == (1, 1)
        and conv.groups == 1
        and conv.padding_mode == 'zeros'
    )


def convolve_pyramid(module: ConvModule, maps: Sequence[Tensor], *, align_corners: bool) -> Tensor:
    """Apply a 3x3 ``ConvModule`` to maps that belong side by side, without resizing and joining them first.

    Args:
        module: convolution, norm and activation.
        maps: (B, C_i, h_i, w_i), to be resized to the size of the first; their channels are the module's inputs.
        align_corners: how they are resized.

    Returns:
        (B, D, H, W), equal to ``module(cat(resized maps))`` to rounding.
    """
    if isinstance(module, PackedPyramidConv):
        return module(maps, align_corners=align_corners)
    if not is_plain_conv3x3(module):
        resized = [resize_to(x, maps[0], align_corners=align_corners) for x in maps]
        return module(torch.cat(resized, dim=1))
    conv = module.conv
    x = pyramid_conv3x3(maps, conv.weight, conv.bias, align_corners=align_corners)
    if module.with_norm:
        x = module.norm(x)
    return module.activate(x) if module.with_activation else x


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
        return [resize_to(y, x, align_corners=self.align_corners) for y in self.pooled(x)]

    def pooled(self, x: Tensor) -> list[Tensor]:
        """Pool (B, C, H, W) to one (B, D, scale, scale) for each scale."""
        return [pool(x) for pool in self]


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
        return self.cls_seg(self._forward_feature(features))

    def _forward_feature(self, features: Sequence[Tensor]) -> Tensor:
        """Return what is classified, (B, D, H_0, W_0); mmseg's K-Net asks its ``UPerHead`` for it by this name."""
        return self.fuse(self._transform_inputs(features))

    def fuse(self, levels: Sequence[Tensor]) -> Tensor:
        """Build the pyramid and fuse it to (B, D, H_0, W_0), channels-last in memory."""
        *finer, top = (x.contiguous(memory_format=torch.channels_last) for x in levels)
        laterals = [conv(x) for conv, x in zip(self.lateral_convs, finer, strict=True)]
        return convolve_pyramid(
            self.fpn_bottleneck, self._top_down(laterals, top), align_corners=self.align_corners
        )

    def _top_down(self, laterals: list[Tensor], top: Tensor) -> list[Tensor]:
        """Return the pyramid, finest first: each level with what the coarser ones add to it."""
        x = convolve_pyramid(
            self.bottleneck,
            [top, *self.psp_modules.pooled(top)],
            align_corners=self.align_corners,
        )
        pyramid = [x]
        for lateral, conv in zip(reversed(laterals), reversed(self.fpn_convs), strict=True):
            # Not in place on the lateral: its activation needs it for the gradient.
            resized = resize_to(x, lateral, align_corners=self.align_corners)
            x = lateral + x if resized is x else resized.add_(lateral)
            pyramid.append(convolve_pyramid(conv, [x], align_corners=self.align_corners))
        return pyramid[::-1]
