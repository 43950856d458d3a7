"""Window attention of the second version (Liu et al. 2022): scaled cosines, and a continuous position bias.

Shapes: B images, H x W tokens, C channels, M the window's side, N = M * M tokens per window, nW windows per
image. Feature maps are (B, H, W, C), windows (B * nW, N, C).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swinseg.models.swin import window_geometry as geometry
from swinseg.models.swin.attention import ShiftedWindowAttention, WindowAttention
from swinseg.models.swin.window_geometry import Sides
from swinseg.precision import without_autocast

# "tau is set larger than 0.01" (section 3.2), the inverse of the scale; and where the published code begins.
_LARGEST_LOG_SCALE = math.log(1 / 0.01)
_FIRST_LOG_SCALE = math.log(10)
# The published code's, which the paper does not name: channels inside the MLP, and the largest bias.
_HIDDEN = 512
_LARGEST_BIAS = 16.0


class CosineWindowAttention(WindowAttention):
    """Multi-head self-attention by cosines inside each window (Liu et al. 2022, equations 2 to 4).

    ``softmax(cos(q, k) / tau + B) v`` with a learned ``1 / tau`` of at most 100 for each head, and a bias ``B`` of
    a small MLP on the logarithms of the distances, ``16 * sigmoid(MLP)``. The MLP holds for a window of any size,
    so no table is resized between pretraining and fine-tuning.

    The mask of shifted windows is -100 as in the published code, which the weights were trained with. Beside
    scores between -100 and 116 it is no hard bound: at the largest scale a masked pair can keep some weight.
    (transformers 5.23 adds the mask twice, and differs there.)

    Args:
        embed_dims: C.
        num_heads: heads; C must be a multiple.
        window_size: side M of a window.
        pretrained_window_size: side of the window in pretraining, which the distances are measured by; None for M.
        qkv_bias: whether query and value have a bias; the key has none, which would change no weight.
        attn_drop_rate: dropout of the attention weights.
        proj_drop_rate: dropout of the output.
    """

    relative_log_coordinates: Tensor

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        window_size: int,
        *,
        pretrained_window_size: int | None = None,
        qkv_bias: bool = True,
        attn_drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
    ) -> None:
        super().__init__(
            embed_dims,
            num_heads,
            window_size,
            qkv_bias=False,
            attn_drop_rate=attn_drop_rate,
            proj_drop_rate=proj_drop_rate,
            use_rel_pos_bias=False,
        )
        self.use_rel_pos_bias = True
        self.logit_scale = nn.Parameter(torch.full((num_heads, 1, 1), _FIRST_LOG_SCALE))
        self.cpb_mlp = nn.Sequential(
            nn.Linear(2, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, num_heads, bias=False)
        )
        self.q_bias = nn.Parameter(torch.zeros(embed_dims)) if qkv_bias else None
        self.v_bias = nn.Parameter(torch.zeros(embed_dims)) if qkv_bias else None
        coordinates = geometry.relative_log_coordinates(
            window_size, pretrained_window_size or window_size
        )
        # Not persistent: they follow from the arguments, and a file of another window fits.
        self.register_buffer('relative_log_coordinates', coordinates, persistent=False)
        self.register_buffer(
            'relative_position_index',
            geometry.relative_position_index(window_size),
            persistent=False,
        )
        # Scale and table of biases, once they are constants: see fold.
        self._folded: tuple[Tensor, Tensor] | None = None

    def relative_position_table(self) -> Tensor:
        """Return the bias of each difference of positions, ((2M - 1)^2, num_heads), in float32 at least."""
        if self._folded is not None:
            return self._folded[1]
        # The steps of half precision between 8 and 16 are up to 1/16: too coarse for what is added to scores.
        first, _, last = self.cpb_mlp
        assert isinstance(first, nn.Linear)
        assert isinstance(last, nn.Linear)
        wide = torch.promote_types(last.weight.dtype, torch.float32)
        with without_autocast(last.weight.device):
            x = F.linear(
                self.relative_log_coordinates.to(wide),
                first.weight.to(wide),
                first.bias.to(wide),
            )
            return _LARGEST_BIAS * F.linear(x.relu(), last.weight.to(wide)).sigmoid()

    def scale_of_heads(self) -> Tensor:
        """Return what the cosines of each head are multiplied by, (num_heads,), in float32 at least."""
        if self._folded is not None:
            return self._folded[0]
        wide = torch.promote_types(self.logit_scale.dtype, torch.float32)
        return self.logit_scale.flatten().to(wide).clamp(max=_LARGEST_LOG_SCALE).exp()

    def relative_position_bias(self) -> Tensor:
        """Return the bias of every pair of tokens, (num_heads, N, N)."""
        index = self.relative_position_index
        table = self.relative_position_table()
        return table[index.flatten()].view(*index.shape, -1).permute(2, 0, 1)

    def init_weights(self) -> None:
        """Set what is no weight or bias of a layer."""
        nn.init.constant_(self.logit_scale, _FIRST_LOG_SCALE)
        for bias in (self.q_bias, self.v_bias):
            if bias is not None:
                nn.init.zeros_(bias)

    @torch.no_grad()
    def fold(self) -> None:
        """Replace what is constant at inference by its value: the position MLP, the scale, and the three biases.

        The parameters are gone then, the values keep their precision when the module is moved to another, and
        ``qkv`` is a layer with a bias, which may be packed as any other.
        """
        if self._folded is not None:
            return
        self._folded = self.scale_of_heads(), self.relative_position_table()
        bias = self._projection_bias()
        if bias is not None:
            self.qkv.bias = nn.Parameter(bias, requires_grad=False)
        self.q_bias = self.v_bias = None
        del self.logit_scale, self.cpb_mlp

    def _project(self, x: Tensor) -> Tensor:
        if self.q_bias is None:
            return self.qkv(x)
        return F.linear(x, self.qkv.weight, self._projection_bias())

    def _projection_bias(self) -> Tensor | None:
        if self.q_bias is None or self.v_bias is None:
            return self.qkv.bias
        return torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])

    def _score_scale(self) -> float | Tensor:
        return self.scale_of_heads()

    def _position_tensors(self) -> tuple[Tensor, ...]:
        return tuple(self.cpb_mlp.parameters()) if self._folded is None else self._folded[1:]

    def _scores(self, q: Tensor, k: Tensor) -> Tensor:
        scale = self.scale_of_heads()[:, None, None].to(q.dtype)
        return (scale * F.normalize(q, dim=-1)) @ F.normalize(k, dim=-1).transpose(-2, -1)


class ShiftedCosineAttention(ShiftedWindowAttention):
    """W-MSA or SW-MSA of the second version on a feature map: pad, shift, cut, attend, and put back.

    The order is that of the first version, pad, then roll, then mask, but a window is no larger than the map, and
    the only window along an axis is not shifted (:func:`~swinseg.models.swin.window_geometry.fitted`): the
    published networks were trained so. With a window of 24 a crop of 512 x 512 has 16 x 16 tokens in the last
    stage: filled up to 24 x 24 more than half of what attends would be padding, which no pretraining has seen.

    Where libraries differ from this, on the same weights:

    - Microsoft's code and Hugging Face's decide by the size for which the network is built, on its shorter side
      and its height, and for both axes; this decides by each map, along each axis. At the size of their
      configuration, if it is square, they agree.
    - timm decides along each axis, by the size for which it is built, and rolls before it pads: at sizes that the
      window does not divide tokens of opposite borders attend to each other there.
    - torchvision does not shift the only window either, but fills it up: it agrees down to maps of one window.
    """

    window_attention = CosineWindowAttention

    def placement(self, size: tuple[int, int]) -> tuple[Sides, Sides]:
        """Return the sides of the windows on a map of (H, W) tokens, and how far they are displaced."""
        return geometry.fitted(size, self.window_size, self.shift_size)
