"""Attention inside windows without a copy of the feature map: gather, attend, put back, chunk by chunk.

Shapes: T = B * H * W tokens of all images, C channels, N tokens per window, n windows of one chunk, h heads,
D = C / h channels of a head, K kinds of windows (four if shifted, else one).

A scale that is a number is that of Liu et al. 2021, on the products of queries and keys. A scale that is a tensor
is that of Liu et al. 2022 (equation 2), one for each head on their cosines: what a chunk has gathered is divided
by its lengths while it is in the cache, so nothing of it is written out or kept for the gradient.

Queries, keys and values are computed and the output is projected in the order of the image, where there is
no padding: at 512 x 512 that spares 7% to 42% of these two matrix products. Only the three arrays go through
the index, a chunk that fits a processor's cache at a time.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from swinseg.models.swin.window_geometry import WindowChunk, WindowPlan
from swinseg.models.tracing import is_traced, may_need_gradient
from swinseg.precision import without_autocast

# Bytes of queries, keys and values gathered at once. On a CPU a chunk should stay in a core's cache; measured
# best between 0.5 and 2 MB. Elsewhere it only bounds the memory.
_CHUNK_BYTES_PER_CPU_THREAD = 2**20
_CHUNK_BYTES_ELSEWHERE = 2**28

# The shortest length that queries and keys are divided by, as in the published code (``F.normalize``).
_EPS = 1e-12


def windows_per_chunk(qkv: Tensor, tokens_per_window: int) -> int | None:
    """Return how many windows of ``qkv`` (..., 3C) to process at once; None while it is traced."""
    if is_traced():
        return None
    on_cpu = qkv.device.type == 'cpu'
    limit = (
        _CHUNK_BYTES_PER_CPU_THREAD * torch.get_num_threads() if on_cpu else _CHUNK_BYTES_ELSEWHERE
    )
    return max(4, limit // (tokens_per_window * qkv.shape[-1] * qkv.element_size()))


def attend(
    qkv: Tensor,
    padding: Tensor | None,
    bias: Tensor | None,
    plan: WindowPlan,
    *,
    num_heads: int,
    scale: float | Tensor,
) -> Tensor:
    """Attend within the windows of a plan: ``softmax(scale * q k^T + bias) v``, equation 4 of the paper.

    With a tensor as the scale ``q k^T`` are cosines: queries and keys are divided by their lengths, or by 1e-12
    where they are shorter.

    The gradient is computed from the inputs alone: nothing of the size of the scores outlives the call.
    It cannot be differentiated a second time.

    Args:
        qkv: (T, 3C) contiguous; query, key and value of each token, heads next to each other in each.
        padding: (3C,), what the places that hold no token have instead; None for zeros.
        bias: (K, h, N, N) or (K, 1, N, N), added to the scores of each kind of window; None for nothing.
        plan: which token goes where.
        num_heads: h.
        scale: factor on the products of queries and keys; or (h,), factors on their cosines.

    Returns:
        (T, C) in the order of ``qkv`` and of its dtype.
    """
    needs_gradient = torch.is_grad_enabled() and any(
        isinstance(x, Tensor) and x.requires_grad for x in (qkv, padding, bias, scale)
    )
    if needs_gradient and not is_traced():
        return _WindowAttention.apply(qkv, padding, bias, plan, num_heads, scale)
    return _attend(qkv, padding, bias, plan, num_heads, scale)


def _attend(
    qkv: Tensor,
    padding: Tensor | None,
    bias: Tensor | None,
    plan: WindowPlan,
    num_heads: int,
    scale: float | Tensor,
) -> Tensor:
    if bias is not None and not may_need_gradient():
        # A bias that could have a gradient, even one that nobody asks for, rules the CPU's kernel out.
        bias = bias.detach()
    tokens, channels = qkv.shape[0], qkv.shape[1] // 3
    # One row more: where the places that hold no token go.
    out = qkv.new_empty(tokens + 1, channels)
    for chunk in plan.chunks:
        windows = _gather(qkv, padding, chunk)
        if isinstance(scale, Tensor):
            windows = _with_directions(windows, scale)
        q, k, v = _split(windows, plan.tokens_per_window, num_heads).unbind(0)
        attended = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=None if bias is None else bias[chunk.kind][None],
            scale=1.0 if isinstance(scale, Tensor) else scale,
        )  # (n, h, N, D), laid out as (n, N, h, D)
        out.index_copy_(0, chunk.targets, attended.transpose(1, 2).reshape(-1, channels))
    return out[:tokens]


def _gather(tokens: Tensor, padding: Tensor | None, chunk: WindowChunk) -> Tensor:
    """Return (n * N, channels): rows of ``tokens``, and ``padding`` or zeros where there is no token."""
    windows = tokens.index_select(0, chunk.sources)
    if chunk.filled is not None:
        windows[chunk.filled] = tokens.new_zeros(()) if padding is None else padding
    return windows


def _split(windows: Tensor, tokens_per_window: int, num_heads: int) -> Tensor:
    """View gathered rows (n * N, 3C) as (3, n, h, N, D): queries, keys and values."""
    head_dim = windows.shape[-1] // (3 * num_heads)
    return windows.view(-1, tokens_per_window, 3, num_heads, head_dim).permute(2, 0, 3, 1, 4)


def _with_directions(windows: Tensor, scale: Tensor) -> Tensor:
    """Divide the queries and keys of gathered rows (n * N, 3C) by their lengths; multiply queries by (h,)."""
    parts = windows.view(len(windows), 3, len(scale), -1)
    factor = _inverse_length(parts[:, :2])
    factor = torch.stack([factor[:, 0] * scale[:, None], factor[:, 1]], 1)
    if may_need_gradient() or is_traced():
        return torch.cat([(parts[:, :2] * factor).to(windows.dtype), parts[:, 2:]], 1).flatten(1)
    parts[:, :2].mul_(factor)  # the gathered rows are nobody else's
    return windows


def _inverse_length(x: Tensor) -> Tensor:
    """Return 1 over the length along the last axis, (..., 1) in float32 at least; see :func:`attend`."""
    wide = torch.promote_types(x.dtype, torch.float32)
    return (
        torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=wide).clamp(min=_EPS).reciprocal()
    )


class _WindowAttention(torch.autograd.Function):
    """:func:`_attend` with a backward pass that recomputes the scores of a chunk at a time.

    The backward of the gather is the scatter and the other way round, where autograd would add into every row
    (slowly, and on CUDA in no fixed order); and of scores and weights nothing is kept from the forward pass.
    """

    @staticmethod
    def forward(
        ctx: Any,
        qkv: Tensor,
        padding: Tensor | None,
        bias: Tensor | None,
        plan: WindowPlan,
        num_heads: int,
        scale: float | Tensor,
    ) -> Tensor:
        is_cosine = isinstance(scale, Tensor)
        ctx.save_for_backward(qkv, padding, bias, scale if is_cosine else None)
        ctx.plan, ctx.num_heads, ctx.factor = plan, num_heads, None if is_cosine else scale
        return _attend(qkv, padding, bias, plan, num_heads, scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        qkv, padding, bias, cosine_scale = ctx.saved_tensors
        plan = ctx.plan
        scale = ctx.factor if cosine_scale is None else cosine_scale
        grad = grad.to(qkv.dtype)
        # Sums over all windows are kept in float32 at least.
        wide = torch.promote_types(qkv.dtype, torch.float32)
        grad_padding = None if padding is None else torch.zeros_like(padding, dtype=wide)
        grad_bias = None if bias is None else torch.zeros_like(bias, dtype=wide)
        grad_scale = None if cosine_scale is None else torch.zeros_like(cosine_scale, dtype=wide)
        grad_qkv = qkv.new_empty(qkv.shape[0] + 1, qkv.shape[1])
        with without_autocast(qkv.device):
            for chunk in plan.chunks:
                grad_windows, grad_scores, grad_of_scale = _backward_of_chunk(
                    qkv, padding, bias, grad, chunk, plan.tokens_per_window, ctx.num_heads, scale
                )
                grad_qkv.index_copy_(0, chunk.targets, grad_windows)
                if grad_bias is not None:
                    grad_bias[chunk.kind] += grad_scores.sum(0).sum_to_size(grad_bias.shape[1:])
                if grad_scale is not None and grad_of_scale is not None:
                    grad_scale += grad_of_scale
                if grad_padding is not None and chunk.filled is not None:
                    grad_padding += grad_windows[chunk.filled].sum(0, dtype=wide)
        return (
            grad_qkv[:-1],
            None if grad_padding is None else grad_padding.to(padding.dtype),
            None if grad_bias is None else grad_bias.to(bias.dtype),
            None,
            None,
            None if grad_scale is None else grad_scale.to(cosine_scale.dtype),
        )


def _backward_of_chunk(
    qkv: Tensor,
    padding: Tensor | None,
    bias: Tensor | None,
    grad: Tensor,
    chunk: WindowChunk,
    tokens_per_window: int,
    num_heads: int,
    scale: float | Tensor,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the gradients of a chunk's gathered rows (n * N, 3C), biased scores (n, h, N, N) and scale (h,)."""
    # Contiguous matrices of (N, D), which batched matrix products read fastest.
    parts = _split(_gather(qkv, padding, chunk), tokens_per_window, num_heads).contiguous()
    per_head = parts.shape[1:]
    inverse = factor = None
    if isinstance(scale, Tensor):
        inverse = _inverse_length(parts[:2])
        parts[:2].mul_(inverse)
        factor, scale = scale.to(inverse.dtype)[:, None, None], 1.0
    directions = parts[:2]  # of queries and keys, where these are cosines
    q, k, v = parts.flatten(1, 2).unbind(0)  # each (n * h, N, D)
    if factor is not None:
        q = (directions[0] * factor).to(parts.dtype).flatten(0, 1)
    grad_out = (
        _gather(grad, None, chunk)
        .view(-1, tokens_per_window, num_heads, per_head[-1])
        .transpose(1, 2)
        .reshape(q.shape)
    )
    scores = torch.bmm(q, k.transpose(1, 2)).view(-1, num_heads, *[tokens_per_window] * 2)
    if bias is None:
        weights = scores.mul_(scale).softmax(-1)
    else:
        weights = torch.add(bias[chunk.kind], scores, alpha=scale).softmax(-1)
    # The gradient of the softmax: w * (g - sum(w * g)).
    weighted = torch.bmm(grad_out, v.transpose(1, 2)).view_as(scores) * weights
    grad_scores = weighted.addcmul_(weights, weighted.sum(-1, keepdim=True), value=-1)
    grad_products = grad_scores.to(q.dtype).flatten(0, 1)
    grad_windows = torch.empty_like(
        parts.permute(1, 3, 0, 2, 4), memory_format=torch.contiguous_format
    )  # (n, N, 3, h, D)
    places = grad_windows.permute(2, 0, 3, 1, 4)
    places[0] = torch.bmm(grad_products, k).mul_(scale).view(per_head)
    places[1] = torch.bmm(grad_products.transpose(1, 2), q).mul_(scale).view(per_head)
    places[2] = torch.bmm(weights.to(q.dtype).flatten(0, 1).transpose(1, 2), grad_out).view(
        per_head
    )
    grad_scale = None
    if factor is not None and inverse is not None:
        # Of what is divided by its length only the part across its direction counts.
        along = (places[:2] * directions).sum(-1, keepdim=True, dtype=inverse.dtype)
        grad_scale = along[0].sum((0, 2, 3))
        across = places[:2] - directions * along
        across[0] *= factor
        places[:2] = across * inverse
    return grad_windows.flatten(2).flatten(0, 1), grad_scores, grad_scale
