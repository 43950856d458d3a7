"""The Swin Transformer backbone (Liu et al. 2021, "Swin Transformer: Hierarchical Vision Transformer using
Shifted Windows"), with the parameter names and the numbers of mmsegmentation 1.2.2's ``SwinTransformer``; and what
it has in common with the second version, :mod:`swinseg.models.swin.backbone_v2`.

Shapes: B images, H x W tokens at the stage in question, C channels, M the window's side. Tokens travel as
(B, H, W, C); the outputs are (B, C, H, W).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmengine.model.weight_init import constant_init, trunc_normal_, trunc_normal_init
from mmseg.registry import MODELS
from torch import Tensor, nn

from swinseg.checkpoints.loading import load_backbone_weights
from swinseg.errors import ArchitectureError, quoted
from swinseg.models.feature_info import FeatureInfo, swin_layer_groups
from swinseg.models.swin.arguments import check_swin_arguments
from swinseg.models.swin.attention import (
    Attention,
    ShiftedWindowAttention,
    ShiftedWindows,
    WindowAttention,
)
from swinseg.models.swin.blocks import (
    PatchEmbed,
    PatchMerging,
    SwinBlock,
    SwinStage,
)


class SwinBase(BaseModule):
    """A backbone of stages of blocks, with patch merging between them: an image in, feature maps out.

    Args:
        attention_options: what only one version has, by name, to be checked with the others and given to each
            attention as :meth:`options_of_attention` says.

    The other arguments are those that :class:`SwinBackbone` and
    :class:`~swinseg.models.swin.backbone_v2.SwinV2Backbone` share.
    """

    block_type: ClassVar[type[SwinBlock]] = SwinBlock
    attention_type: ClassVar[type[ShiftedWindowAttention]] = ShiftedWindowAttention
    merge_norm_last: ClassVar[bool] = False
    """Whether the norm of patch merging comes behind its reduction."""

    def __init__(
        self,
        *,
        pretrain_img_size: int | Sequence[int],
        in_channels: int,
        embed_dims: int,
        patch_size: int,
        window_size: int,
        mlp_ratio: float,
        depths: Sequence[int],
        num_heads: Sequence[int],
        strides: Sequence[int],
        out_indices: Sequence[int],
        qkv_bias: bool,
        patch_norm: bool,
        drop_rate: float,
        attn_drop_rate: float,
        drop_path_rate: float,
        use_abs_pos_embed: bool,
        act_cfg: dict | None,
        norm_cfg: dict | None,
        with_cp: bool,
        frozen_stages: int,
        init_cfg: dict | None,
        attention_options: Mapping[str, Any],
    ) -> None:
        act_cfg = act_cfg or dict(type='GELU')
        norm_cfg = norm_cfg or dict(type='LN')
        check_swin_arguments(
            dict(
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
                drop_rate=drop_rate,
                attn_drop_rate=attn_drop_rate,
                drop_path_rate=drop_path_rate,
                frozen_stages=frozen_stages,
                **attention_options,
            ),
            owner=type(self).__name__,
        )
        super().__init__(init_cfg=init_cfg)
        self.in_channels = in_channels
        self.depths = tuple(depths)
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.num_features = [embed_dims * 2**i for i in range(len(depths))]
        self.use_abs_pos_embed = use_abs_pos_embed

        self.patch_embed = PatchEmbed(
            in_channels, embed_dims, patch_size, norm_cfg if patch_norm else None
        )
        pretrain_height, pretrain_width = _sides(pretrain_img_size)
        if use_abs_pos_embed:
            self.position_grid = (pretrain_height // patch_size, pretrain_width // patch_size)
            self.absolute_pos_embed = nn.Parameter(
                torch.zeros(1, self.position_grid[0] * self.position_grid[1], embed_dims)
            )
        self.drop_after_pos = nn.Dropout(drop_rate)

        drop_path_rates = torch.linspace(0, drop_path_rate, sum(depths), device='cpu').tolist()
        self.stages = nn.ModuleList()
        for i, (depth, channels) in enumerate(zip(depths, self.num_features, strict=True)):
            blocks = [
                self.block_type(
                    channels,
                    int(mlp_ratio * channels),
                    attention=self.attention_type(
                        window_size,
                        window_size // 2 if j % 2 == 1 else 0,
                        embed_dims=channels,
                        num_heads=num_heads[i],
                        qkv_bias=qkv_bias,
                        attn_drop_rate=attn_drop_rate,
                        proj_drop_rate=drop_rate,
                        **self.options_of_attention(attention_options, i),
                    ),
                    drop_rate=drop_rate,
                    drop_path_rate=drop_path_rates[sum(depths[:i]) + j],
                    act_cfg=act_cfg,
                    norm_cfg=norm_cfg,
                    with_cp=with_cp,
                )
                for j in range(depth)
            ]
            is_last = i == len(depths) - 1
            merging = PatchMerging(
                channels,
                2 * channels,
                norm_cfg if patch_norm else None,
                norm_last=self.merge_norm_last,
            )
            self.stages.append(SwinStage(blocks, None if is_last else merging))
        for i in self.out_indices:
            self.add_module(f'norm{i}', build_norm_layer(norm_cfg, self.num_features[i])[1])
        self._freeze()

    @staticmethod
    def options_of_attention(options: Mapping[str, Any], stage: int) -> Mapping[str, Any]:
        """Return what the attention of a stage takes of the arguments that only one version has."""
        return options

    @property
    def feature_info(self) -> tuple[FeatureInfo, ...]:
        """Channels and stride of each of the maps that ``forward`` returns, in its order."""
        return tuple(
            FeatureInfo(channels=self.num_features[i], stride=self.patch_embed.patch_size * 2**i)
            for i in self.out_indices
        )

    def layer_groups(self) -> list[tuple[str, ...]]:
        """Return names of modules, layer by layer; see :func:`~swinseg.models.feature_info.swin_layer_groups`."""
        return swin_layer_groups(self.depths)

    def fsdp_units(self) -> list[nn.Module]:
        """Return the blocks and mergings, which are called as a whole and touched in no other way."""
        return [each for each in self.modules() if isinstance(each, SwinBlock | PatchMerging)]

    def forward(self, image: Tensor) -> list[Tensor]:
        """Compute the feature maps.

        Args:
            image: (B, in_channels, height, width), any size, normalized as in pretraining.

        Returns:
            One (B, C * 2**i, H_i, W_i) for each stage i of ``out_indices``, H_0 = ceil(height / 4) and each
            further one half of that, rounded up; in channels-last memory format.
        """
        x = self._embed(image)
        outputs = []
        last = max(self.out_indices)
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in self.out_indices:
                outputs.append(getattr(self, f'norm{i}')(x).permute(0, 3, 1, 2))
            if i == last:
                break
            merging = stage.downsample
            assert isinstance(merging, PatchMerging)  # all stages but the last have one
            x = merging(x)
        return outputs

    @torch.no_grad()
    def attention_weights(self, image: Tensor, *, stage: int, block: int) -> Tensor:
        """Return what attends to what in one block, for attention maps.

        Args:
            image: (B, in_channels, height, width), as ``forward`` takes it.
            stage: stage, counted from 0.
            block: block of that stage, counted from 0; with ``'cyclic'`` every second one is shifted.

        Returns:
            (B, nW, heads, N, N): :meth:`ShiftedWindowAttention.weights` tells the order of the windows.

        Raises:
            IndexError: there is no such block.
        """
        x = self._embed(image)
        for earlier in self.stages[:stage]:
            assert isinstance(earlier, SwinStage)
            assert isinstance(earlier.downsample, PatchMerging)  # only the last has none
            x = earlier.downsample(earlier(x))
        holder = self.stages[stage]
        assert isinstance(holder, SwinStage)
        for earlier in holder.blocks[:block]:
            x = earlier(x)
        chosen = holder.blocks[block]
        assert isinstance(chosen, SwinBlock)
        return chosen.attention_weights(x)

    def _embed(self, image: Tensor) -> Tensor:
        x = self.patch_embed(image)  # (B, H, W, C)
        if self.use_abs_pos_embed:
            x = x + self._position_embedding((x.shape[1], x.shape[2]))
        return self.drop_after_pos(x)

    def _position_embedding(self, size: tuple[int, int]) -> Tensor:
        embedding = self.absolute_pos_embed.view(1, *self.position_grid, -1)
        if size == self.position_grid:
            return embedding
        resized = F.interpolate(
            embedding.permute(0, 3, 1, 2), size=size, mode='bicubic', align_corners=False
        )
        return resized.permute(0, 2, 3, 1)

    def init_weights(self) -> None:
        """Load the weights that ``init_cfg`` names, or draw random ones (normal, std 0.02, cut at 2 std).

        Raises:
            CheckpointError: the file cannot be read or does not fill this backbone.
        """
        if self.init_cfg is not None:
            load_backbone_weights(
                self,
                self.init_cfg['checkpoint'],
                minimum=self.init_cfg.get('minimum', 0.99),
                inflate=self.init_cfg.get('inflate', True),
            )
            return
        if self.use_abs_pos_embed:
            trunc_normal_(self.absolute_pos_embed, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_init(module, std=0.02, bias=0.0)
            elif isinstance(module, nn.LayerNorm):
                constant_init(module, val=1.0, bias=0.0)
            elif isinstance(module, WindowAttention):
                module.init_weights()

    def train(self, mode: bool = True) -> SwinBase:
        """Set the training mode and keep frozen stages in evaluation mode."""
        super().train(mode)
        self._freeze()
        return self

    def _freeze(self) -> None:
        if self.frozen_stages < 0:
            return
        frozen: list[nn.Module] = [self.patch_embed, self.drop_after_pos]
        if self.use_abs_pos_embed:
            self.absolute_pos_embed.requires_grad = False
        for i in range(self.frozen_stages):
            frozen.append(self.stages[i])
            if i in self.out_indices:
                frozen.append(getattr(self, f'norm{i}'))
        for module in frozen:
            module.eval()
            for parameter in module.parameters():
                parameter.requires_grad = False


@MODELS.register_module()
class SwinBackbone(SwinBase):
    """Swin Transformer as a backbone of a segmentor: an image in, feature maps of the chosen stages out.

    Arguments, parameters and buffers are those of mmseg's ``SwinTransformer``, so a config or a state dict
    of either fits the other. The three arguments that mmseg does not have are the paper's ablations:
    ``use_rel_pos_bias`` (with ``use_abs_pos_embed``: Table 4's position encodings), ``shifted_windows``
    (Table 4's "w/o shifting", and section 3.2's two ways of computing SW-MSA) and ``attention``.

    The variants of the paper (section 3.3):

    ======= ========== ============= ===============
    variant embed_dims depths        num_heads
    ======= ========== ============= ===============
    Swin-T  96         (2, 2, 6, 2)  (3, 6, 12, 24)
    Swin-S  96         (2, 2, 18, 2) (3, 6, 12, 24)
    Swin-B  128        (2, 2, 18, 2) (4, 8, 16, 32)
    Swin-L  192        (2, 2, 18, 2) (6, 12, 24, 48)
    ======= ========== ============= ===============

    Args:
        pretrain_img_size: side (or height, width) in pixels of the pretraining images; sets the size of the
            absolute position embedding, which is resized (bicubic) to other inputs.
        in_channels: channels of the image.
        embed_dims: channels C of the first stage; each stage doubles them.
        patch_size: side of a patch in pixels.
        window_size: side M of a window in tokens.
        mlp_ratio: hidden channels of the MLP as a multiple of C.
        depths: blocks of each stage.
        num_heads: attention heads of each stage.
        strides: reduction of each stage; the first must equal ``patch_size``, the others 2.
        out_indices: the stages to return, counted from 0.
        qkv_bias: whether query, key and value have a bias.
        qk_scale: factor on the query instead of ``head_dim ** -0.5``.
        patch_norm: whether patch embedding and patch merging have a norm.
        drop_rate: dropout of embeddings, projections and MLPs.
        attn_drop_rate: dropout of the attention weights.
        drop_path_rate: stochastic depth of the last block; the rate rises linearly from 0.
        use_abs_pos_embed: add a learned absolute position embedding.
        use_rel_pos_bias: add the relative position bias to the attention scores.
        shifted_windows: ``'cyclic'``, ``'padding'`` (the same function, slower) or ``'none'``.
        attention: ``'window'``, or ``'global'`` for attention among all tokens, at quadratic cost.
        act_cfg: activation of the MLPs.
        norm_cfg: norm layers.
        with_cp: recompute the blocks' activations in the backward pass instead of keeping them.
        frozen_stages: freeze the patch embedding and this many stages; -1 freezes nothing.
        pretrained: mmseg's older spelling of ``init_cfg=dict(type='Pretrained', checkpoint=...)``.
        init_cfg: ``dict(type='Pretrained', checkpoint=PATH_OR_URL, minimum=0.99)`` loads weights of any
            format that :mod:`swinseg.checkpoints` knows and fails when fewer than ``minimum`` of the
            parameters are found; None draws random weights. Weights of three channels also fill a patch embedding
            of other ``in_channels`` (:func:`swinseg.checkpoints.resize.inflate_kernel`), unless it has
            ``inflate=False``.

    Raises:
        ArchitectureError: arguments that no network can be built from, or that contradict each other.
    """

    def __init__(
        self,
        pretrain_img_size: int | Sequence[int] = 224,
        in_channels: int = 3,
        embed_dims: int = 96,
        patch_size: int = 4,
        window_size: int = 7,
        mlp_ratio: float = 4,
        depths: Sequence[int] = (2, 2, 6, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        strides: Sequence[int] = (4, 2, 2, 2),
        out_indices: Sequence[int] = (0, 1, 2, 3),
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        patch_norm: bool = True,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        use_abs_pos_embed: bool = False,
        use_rel_pos_bias: bool = True,
        shifted_windows: ShiftedWindows = 'cyclic',
        attention: Attention = 'window',
        act_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        with_cp: bool = False,
        frozen_stages: int = -1,
        pretrained: str | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        if pretrained is not None:
            if not isinstance(pretrained, str):
                raise ArchitectureError(
                    f'pretrained of SwinBackbone must be a path or an address, found {quoted(pretrained)}; leave '
                    'it out for random weights'
                )
            if init_cfg is not None:
                raise ArchitectureError(
                    'give either init_cfg or pretrained to SwinBackbone, not both'
                )
            init_cfg = dict(type='Pretrained', checkpoint=pretrained)
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
            attention_options=dict(
                qk_scale=qk_scale,
                use_rel_pos_bias=use_rel_pos_bias,
                shifted_windows=shifted_windows,
                attention=attention,
            ),
        )


def _sides(size: int | Sequence[int]) -> tuple[int, int]:
    """Return height and width of the pretraining images, given as one or two sides."""
    sides = [size] if isinstance(size, int) else size
    return sides[0], sides[-1]
