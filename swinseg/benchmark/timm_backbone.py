"""timm's Swin Transformer V2 as a backbone of mmseg's segmentors: what a user without this package joins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from swinseg.checkpoints import to_mmseg
from swinseg.errors import BenchmarkError

# What timm's windows are fitted to, the size of the configs. Maps of other sizes are computed, too, but one that
# is no larger than a window is shifted here, where ours is not: with a window of 8 images of up to 256 pixels.
_SIDE = 512


@MODELS.register_module()
class TimmSwinV2(BaseModule):
    """timm's network, and the norms of its outputs as mmseg's ``SwinTransformer`` has them.

    Args:
        embed_dims: as of ``SwinV2Backbone``, and so are all others.
        depths: likewise.
        num_heads: likewise.
        window_size: likewise.
        pretrained_window_sizes: likewise.
        drop_path_rate: likewise.
        with_cp: likewise.
        init_cfg: None.

    Raises:
        BenchmarkError: timm is not installed.
    """

    def __init__(
        self,
        embed_dims: int,
        depths: Sequence[int],
        num_heads: Sequence[int],
        window_size: int,
        pretrained_window_sizes: Sequence[int] | None = None,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        init_cfg: None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        try:
            from timm.models.swin_transformer_v2 import SwinTransformerV2
        except ImportError as error:
            raise BenchmarkError(
                "SwinV2Backbone is compared with timm's, which is not installed; pip install timm"
            ) from error
        self.body: Any = SwinTransformerV2(
            img_size=_SIDE,
            dynamic_img_size=True,
            num_classes=0,
            embed_dim=embed_dims,
            depths=tuple(depths),
            num_heads=tuple(num_heads),
            window_size=window_size,
            pretrained_window_sizes=tuple(pretrained_window_sizes or [window_size] * len(depths)),
            drop_path_rate=drop_path_rate,
        )
        self.body.norm = nn.Identity()
        self.body.set_grad_checkpointing(with_cp)
        self.num_features = [embed_dims << stage for stage in range(len(depths))]
        for i, channels in enumerate(self.num_features):
            self.add_module(f'norm{i}', nn.LayerNorm(channels))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Compute one (B, C, H, W) for each stage from (B, 3, height, width), sides multiples of the patch's."""
        x = self.body.patch_embed(image)
        outputs = []
        for i, layer in enumerate(self.body.layers):
            x = layer(x)
            outputs.append(getattr(self, f'norm{i}')(x).permute(0, 3, 1, 2).contiguous())
        return outputs

    def state_of_ours(self) -> dict[str, Tensor]:
        """Return the weights in the names of ``SwinV2Backbone``."""
        norms = {key: value for key, value in self.state_dict().items() if key.startswith('norm')}
        return {**to_mmseg(self.body.state_dict(), 'timm'), **norms}
