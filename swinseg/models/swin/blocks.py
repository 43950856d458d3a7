"""The parts of a Swin Transformer (Liu et al. 2021, 2022): patches, merging, MLPs, blocks and stages.

Shapes: B images, H x W tokens, C channels; feature maps are (B, H, W, C).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import build_activation_layer, build_norm_layer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from swinseg.models.swin import window_geometry as geometry
from swinseg.models.swin.attention import ShiftedWindowAttention
from swinseg.models.swin.drop_path import DropPath
from swinseg.models.tracing import is_traced, may_need_gradient


class PatchEmbed(nn.Module):
    """Cut the image into patches and embed each ("Patch Partition" and "Linear Embedding" of Fig. 3).

    Args:
        in_channels: channels of the image.
        embed_dims: channels C of a token.
        patch_size: side of a patch in pixels.
        norm_cfg: norm after the embedding, or None.
    """

    def __init__(
        self, in_channels: int, embed_dims: int, patch_size: int, norm_cfg: dict | None
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.projection = nn.Conv2d(
            in_channels, embed_dims, kernel_size=patch_size, stride=patch_size
        )
        self.norm = build_norm_layer(norm_cfg, embed_dims)[1] if norm_cfg else nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        """Embed (B, in_channels, height, width) as (B, H, W, C), H = ceil(height / patch_size)."""
        height, width = image.shape[2:]
        padded_height, padded_width = geometry.padded_size((height, width), self.patch_size)
        if (padded_height, padded_width) != (height, width):
            image = F.pad(image, (0, padded_width - width, 0, padded_height - height))
        # So the tokens come out with their channels side by side, and the norm need not copy them.
        image = image.contiguous(memory_format=torch.channels_last)
        return self.norm(self.projection(image).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """Halve the resolution: 2 x 2 neighboring tokens become one (section 3.1).

    The norm comes before the reduction; behind it in the second version (Liu et al. 2022).

    The 4C channels are ordered as ``nn.Unfold`` orders them (channel, then row, then column), which is
    mmseg's layout; the official code concatenates four blocks of C instead, and
    :mod:`swinseg.checkpoints.formats` reorders the weights.

    Args:
        in_channels: C.
        out_channels: usually 2C.
        norm_cfg: norm over the 4C channels, or None.
        norm_last: whether the norm is over the ``out_channels`` behind the reduction instead.
    """

    def __init__(
        self, in_channels: int, out_channels: int, norm_cfg: dict | None, *, norm_last: bool = False
    ) -> None:
        super().__init__()
        self.norm_last = norm_last
        channels = out_channels if norm_last else 4 * in_channels
        self.norm = build_norm_layer(norm_cfg, channels)[1] if norm_cfg else nn.Identity()
        self.reduction = nn.Linear(4 * in_channels, out_channels, bias=False)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        """Merge (B, H, W, C) to (B, ceil(H / 2), ceil(W / 2), out_channels)."""
        x = geometry.pad_to_multiple(x_BHWC, 2)
        batch, height, width, channels = x.shape
        x = x.view(batch, height // 2, 2, width // 2, 2, channels)
        # Two copies, first of whole tokens, then within each four of them: three times as fast as one.
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(batch, height // 2, width // 2, 4, channels)
        x = x.transpose(3, 4).flatten(3)
        return self.norm(self.reduction(x)) if self.norm_last else self.reduction(self.norm(x))


class MLP(nn.Module):
    """Two linear layers with an activation between them; named as mmcv's ``FFN`` names them.

    Args:
        embed_dims: C.
        hidden_dims: channels between the two layers.
        act_cfg: activation.
        drop_rate: dropout after each layer.
    """

    def __init__(
        self, embed_dims: int, hidden_dims: int, *, act_cfg: dict, drop_rate: float
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Sequential(
                nn.Linear(embed_dims, hidden_dims),
                build_activation_layer(act_cfg),
                nn.Dropout(drop_rate),
            ),
            nn.Linear(hidden_dims, embed_dims),
            nn.Dropout(drop_rate),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., C)."""
        first, *rest = self.layers
        assert isinstance(first, nn.Sequential)
        linear, *activated = first.children()
        hidden = linear(x)

        def project(hidden: Tensor) -> Tensor:
            for layer in (*activated, *rest):
                hidden = layer(hidden)
            return hidden

        if torch.is_grad_enabled() and hidden.requires_grad and not is_traced():
            # The largest tensors of a block are the four-fold channels before and behind the activation. Those
            # behind it are computed again for the gradient; the second matrix product is not. The state of the
            # random generator, for which the host would wait on a GPU, is kept only where numbers are drawn.
            draws = any(map(_draws_numbers, (*activated, *rest)))
            return checkpoint(project, hidden, use_reentrant=False, preserve_rng_state=draws)
        return project(hidden)


def _draws_numbers(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Dropout):
        return layer.p > 0
    return isinstance(layer, nn.RReLU)


class SwinBlock(nn.Module):
    """One Swin Transformer block (equation 3): norm, window attention, norm, MLP, two shortcuts.

    Args:
        embed_dims: C.
        hidden_dims: channels inside the MLP.
        attention: the window attention.
        drop_rate: dropout of the MLP.
        drop_path_rate: stochastic depth of both branches.
        act_cfg: activation.
        norm_cfg: norm layers.
        with_cp: recompute the activations in the backward pass instead of keeping them.
    """

    def __init__(
        self,
        embed_dims: int,
        hidden_dims: int,
        *,
        attention: ShiftedWindowAttention,
        drop_rate: float,
        drop_path_rate: float,
        act_cfg: dict,
        norm_cfg: dict,
        with_cp: bool,
    ) -> None:
        super().__init__()
        self.with_cp = with_cp
        self.norm1 = build_norm_layer(norm_cfg, embed_dims)[1]
        self.attn = attention
        self.norm2 = build_norm_layer(norm_cfg, embed_dims)[1]
        self.ffn = MLP(embed_dims, hidden_dims, act_cfg=act_cfg, drop_rate=drop_rate)
        self.drop = DropPath(drop_path_rate)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        """Transform tokens; (B, H, W, C) in and out."""
        if self.with_cp and x_BHWC.requires_grad:
            return checkpoint(self._transform, x_BHWC, use_reentrant=False)
        return self._transform(x_BHWC)

    def attention_weights(self, x_BHWC: Tensor) -> Tensor:
        """Return :meth:`ShiftedWindowAttention.weights` for what ``forward`` takes, (B, nW, heads, N, N)."""
        return self.attn.weights(self.norm1(x_BHWC))

    def _transform(self, x: Tensor) -> Tensor:
        x = _add_shortcut(self.drop(self.attn(self.norm1(x))), x)
        return _add_shortcut(self.drop(self.ffn(self.norm2(x))), x)


class PostNormBlock(SwinBlock):
    """One block of the second version (Liu et al. 2022, section 3.2): each norm ends its branch.

    What is added to the shortcut then has one size at any depth, where that of the first version grows. The
    arguments are those of :class:`SwinBlock`.
    """

    def attention_weights(self, x_BHWC: Tensor) -> Tensor:
        """Return :meth:`ShiftedWindowAttention.weights` for what ``forward`` takes, (B, nW, heads, N, N)."""
        return self.attn.weights(x_BHWC)

    def _transform(self, x: Tensor) -> Tensor:
        x = _add_shortcut(self.drop(self.norm1(self.attn(x))), x)
        return _add_shortcut(self.drop(self.norm2(self.ffn(x))), x)


def _add_shortcut(branch: Tensor, x: Tensor) -> Tensor:
    if may_need_gradient() or branch.dtype != x.dtype:
        return x + branch
    return branch.add_(x)  # the branch is nobody else's


class SwinStage(nn.Module):
    """The blocks of one resolution and the patch merging after them (None in the last stage)."""

    def __init__(self, blocks: Sequence[SwinBlock], downsample: PatchMerging | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x_BHWC: Tensor) -> Tensor:
        """Run the blocks; (B, H, W, C) in and out. The caller merges patches."""
        for block in self.blocks:
            x_BHWC = block(x_BHWC)
        return x_BHWC
