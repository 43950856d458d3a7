"""The second Swin Transformer as a backbone (Liu et al. 2022, "Swin Transformer V2: Scaling Up Capacity and
Resolution"), with the numbers of its authors' code, in this package's names.

Shapes: B images, H x W tokens at the stage in question, C channels, M the window's side. Tokens travel as
(B, H, W, C); the outputs are (B, C, H, W).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.model.weight_init import constant_init
from mmseg.registry import MODELS

from swinseg.models.swin.backbone import SwinBase
from swinseg.models.swin.blocks import PostNormBlock
from swinseg.models.swin.cosine_attention import ShiftedCosineAttention


@MODELS.register_module()
class SwinV2Backbone(SwinBase):
    """Swin Transformer V2 as a backbone of a segmentor: an image in, feature maps of the chosen stages out.

    It differs from :class:`~swinseg.models.swin.backbone.SwinBackbone` in three ways: attention by scaled cosines
    with a continuous position bias, norms behind the branches of a block, and the norm of patch merging behind its
    reduction. How windows are placed is told by
    :class:`~swinseg.models.swin.cosine_attention.ShiftedCosineAttention`.

    The published variants:

    ======== ========== ============= ================ ==========================================================
    variant  embed_dims depths        num_heads        window_size, pretrained_window_sizes
    ======== ========== ============= ================ ==========================================================
    SwinV2-T 96         (2, 2, 6, 2)  (3, 6, 12, 24)   8; or 16, (16, 16, 16, 8)
    SwinV2-S 96         (2, 2, 18, 2) (3, 6, 12, 24)   8; or 16, (16, 16, 16, 8)
    SwinV2-B 128        (2, 2, 18, 2) (4, 8, 16, 32)   8; or 16, (16, 16, 16, 8); or 16 or 24, (12, 12, 12, 6)
    SwinV2-L 192        (2, 2, 18, 2) (6, 12, 24, 48)  16 or 24, (12, 12, 12, 6)
    ======== ========== ============= ================ ==========================================================

    The last stage of a network that was trained on images of 256 x 256 had 8 x 8 tokens, and so a window of 8
    where the others had 16; images of 192 x 192, with 12, left it 6. Distances there are measured by that window.

    Args:
        pretrain_img_size: as of ``SwinBackbone``.
        in_channels: channels of the image.
        embed_dims: channels C of the first stage; each stage doubles them.
        patch_size: side of a patch in pixels.
        window_size: side M of a window in tokens.
        pretrained_window_sizes: side of the window of each stage in pretraining, by which the position bias
            measures distances; 0, or None for all, is ``window_size``. Set it to fine-tune with another window.
        mlp_ratio: hidden channels of the MLP as a multiple of C.
        depths: blocks of each stage.
        num_heads: attention heads of each stage.
        strides: reduction of each stage; the first must equal ``patch_size``, the others 2.
        out_indices: the stages to return, counted from 0.
        qkv_bias: whether query and value have a bias.
        patch_norm: whether patch embedding and patch merging have a norm.
        drop_rate: dropout of embeddings, projections and MLPs.
        attn_drop_rate: dropout of the attention weights.
        drop_path_rate: stochastic depth of the last block; the rate rises linearly from 0.
        use_abs_pos_embed: add a learned absolute position embedding.
        act_cfg: activation of the MLPs.
        norm_cfg: norm layers.
        with_cp: recompute the blocks' activations in the backward pass instead of keeping them.
        frozen_stages: freeze the patch embedding and this many stages; -1 freezes nothing.
        init_cfg: as of ``SwinBackbone``.

    Raises:
        ArchitectureError: arguments that no network can be built from, or that contradict each other.
    """

    block_type = PostNormBlock
    attention_type = ShiftedCosineAttention
    merge_norm_last = True

    def __init__(
        self,
        pretrain_img_size: int | Sequence[int] = 256,
        in_channels: int = 3,
        embed_dims: int = 96,
        patch_size: int = 4,
        window_size: int = 8,
        pretrained_window_sizes: Sequence[int] | None = None,
        mlp_ratio: float = 4,
        depths: Sequence[int] = (2, 2, 6, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        strides: Sequence[int] = (4, 2, 2, 2),
        out_indices: Sequence[int] = (0, 1, 2, 3),
        qkv_bias: bool = True,
        patch_norm: bool = True,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        use_abs_pos_embed: bool = False,
        act_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        with_cp: bool = False,
        frozen_stages: int = -1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            pretrain_img_size=pretrain_img_size,
            in_channels=in_channels,
            embed_dims=embed_dims,
            patch_size=patch_size,
            window_size=window_size,
            mlp_ratio=mlp_ratio,
            depths=depths,
            num_heads=num_heads,
            strides=strides,
            out_indices=out_indices,
            qkv_bias=qkv_bias,
            patch_norm=patch_norm,
            drop_rate=drop_rate,
            attn_drop_rate=attn_drop_rate,
            drop_path_rate=drop_path_rate,
            use_abs_pos_embed=use_abs_pos_embed,
            act_cfg=act_cfg,
            norm_cfg=norm_cfg,
            with_cp=with_cp,
            frozen_stages=frozen_stages,
            init_cfg=init_cfg,
            attention_options=dict(pretrained_window_sizes=pretrained_window_sizes),
        )

    @staticmethod
    def options_of_attention(options: Mapping[str, Any], stage: int) -> Mapping[str, Any]:
        """Return the side of the window of a stage in pretraining."""
        sizes = options['pretrained_window_sizes']
        return dict(pretrained_window_size=None if sizes is None else sizes[stage])

    def init_weights(self) -> None:
        """Load the weights that ``init_cfg`` names, or draw random ones, with which a block changes nothing.

        Those are the published ones: normal, std 0.02, cut at 2 std; and zeros in the norms that end a branch.

        Raises:
            CheckpointError: the file cannot be read or does not fill this backbone.
        """
        super().init_weights()
        if self.init_cfg is not None:
            return
        for module in self.modules():
            if isinstance(module, PostNormBlock):
                for norm in (module.norm1, module.norm2):
                    constant_init(norm, val=0.0, bias=0.0)
