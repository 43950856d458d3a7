"""The simple feature pyramid of plain Vision Transformers (Li et al. 2022, "Exploring Plain Vision Transformer
Backbones for Object Detection", section 3).

Shapes: B images; the backbone's last map has C channels and h x w pixels; each level has D channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from swinseg.errors import ArchitectureError, quoted
from swinseg.models.swin.arguments import is_whole

_FACTORS = (4.0, 2.0, 1.0, 0.5)


class _ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        normed = F.layer_norm(
            x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps
        )
        return normed.permute(0, 3, 1, 2)


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Four maps of four sizes from the last map of a backbone, each by itself; a ``neck`` for ViTs.

    Transposed convolutions (4: two of stride 2 with layer norm and GELU between them; 2: one), nothing (1) or max
    pooling (1/2), then a 1x1 and a 3x3 convolution, each with layer norm. With a stride of 16 the levels have
    the strides 4, 8, 16 and 32. As in the paper there is no norm before it.

    Args:
        in_channels: channels C of the backbone's last map.
        out_channels: channels D of each level.
        scale_factors: size of each level as a multiple of the map's, finest first, of 4, 2, 1 and 0.5.

    Raises:
        ArchitectureError: an argument is none of these.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 256,
        scale_factors: Sequence[float] = _FACTORS,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if not is_whole(in_channels, least=4) or in_channels % 4:
            raise ArchitectureError(
                'in_channels of SimpleFeaturePyramid must be the channels of one map, a multiple of 4, found '
                f'{quoted(in_channels)}'
            )
        if not is_whole(out_channels, least=1):
            raise ArchitectureError(
                'out_channels of SimpleFeaturePyramid must be a whole number from 1 on, found '
                f'{quoted(out_channels)}'
            )
        factors = list(scale_factors) if isinstance(scale_factors, Sequence) else []
        if not factors or any(factor not in _FACTORS for factor in factors):
            raise ArchitectureError(
                f'scale_factors of SimpleFeaturePyramid must be some of {_FACTORS}, found '
                f'{quoted(scale_factors)}'
            )
        self.levels = nn.ModuleList(_level(in_channels, out_channels, factor) for factor in factors)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Turn the last of ``maps``, (B, C, h, w), into one (B, D, ceil(f * h), ceil(f * w)) for each factor f."""
        x = maps[-1]
        return [level(x) for level in self.levels]


def _level(in_channels: int, out_channels: int, factor: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    width = in_channels
    if factor == 0.5:
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
    while factor > 1:
        if layers:
            layers += [_ChannelNorm(width), nn.GELU()]
        layers.append(nn.ConvTranspose2d(width, width // 2, 2, stride=2))
        width, factor = width // 2, factor / 2
    return nn.Sequential(
        *layers,
        nn.Conv2d(width, out_channels, 1, bias=False),
        _ChannelNorm(out_channels),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        _ChannelNorm(out_channels),
    )
