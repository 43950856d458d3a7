"""Multiply-adds of attention and of whole models, from formulas and by counting."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from swinseg.errors import ArchitectureError
from swinseg.models.feature_info import image_channels
from swinseg.models.swin.attention import ShiftedWindowAttention


def attention_multiply_adds(height: int, width: int, channels: int, *, window: int | None) -> int:
    """Return the multiply-adds of one attention layer on height x width tokens (Liu et al. 2021).

    Equation (1), global MSA: ``4 h w C^2 + 2 (h w)^2 C``; equation (2), W-MSA: ``4 h w C^2 + 2 M^2 h w C``.
    Both leave the softmax out, and equation (2) takes height and width as multiples of M.

    Args:
        height: tokens per column.
        width: tokens per row.
        channels: C.
        window: side M of a window; None for global attention.
    """
    tokens = height * width
    projections = 4 * tokens * channels**2
    keys_per_query = tokens if window is None else window**2
    return projections + 2 * tokens * keys_per_query * channels


def count_multiply_adds(
    model: nn.Module, size: tuple[int, int], *, in_channels: int | None = None
) -> int:
    """Count the multiply-adds of matrix products and convolutions in one forward pass of a single image.

    The model runs on shapes alone (meta tensors), so any size costs no memory and no time to speak of.
    Norms, activations, softmax and resizing are not counted, as in the paper; convolutions are counted as direct
    ones. swinseg's own layers need fewer than mmseg's for the same result, so the two counts differ.

    Args:
        model: any module that takes a (1, in_channels, height, width) tensor; it is copied.
        size: (height, width) in pixels.
        in_channels: channels of the image; None for those that the model, or its backbone, takes.

    Raises:
        ArchitectureError: ``in_channels`` is not given, and nothing tells it.
    """
    if in_channels is None:
        in_channels = image_channels(getattr(model, 'backbone', model))
    if in_channels is None:
        raise ArchitectureError(
            f'{type(model).__name__} does not tell how many channels of an image it takes; give in_channels'
        )
    return _count(model, torch.empty(1, in_channels, *size, device='meta'))


def _count(module: nn.Module, meta_input: Tensor) -> int:
    on_meta = copy.deepcopy(module).to('meta').eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        on_meta(meta_input)
    # The counter reports a multiply-add as two operations.
    return counter.get_total_flops() // 2


@dataclass(frozen=True)
class AttentionCost:
    """What one attention layer costs on side x side tokens.

    Attributes:
        attention: ``'W-MSA'`` or ``'MSA'``.
        side: tokens per row and column.
        by_equation: multiply-adds of equation (2) or (1).
        counted: multiply-adds counted in the layer itself.
        seconds: shortest measured time of a forward pass; None where its scores would not fit.
    """

    attention: str
    side: int
    by_equation: int
    counted: int
    seconds: float | None

    @property
    def patches(self) -> int:
        """Tokens in all."""
        return self.side**2


def attention_costs(
    sides: Sequence[int],
    *,
    channels: int = 96,
    num_heads: int = 3,
    window: int = 7,
    score_limit: int = 2**28,
    repeats: int = 3,
) -> list[AttentionCost]:
    """Count and measure W-MSA and MSA over a range of sizes.

    Args:
        sides: tokens per row and column, multiples of ``window``.
        channels: C.
        num_heads: heads.
        window: side M of a window.
        score_limit: largest number of attention scores that is measured (four bytes each).
        repeats: how often each is measured.

    Raises:
        ArchitectureError: a side is no multiple of the window.
    """
    for side in sides:
        if side % window:
            raise ArchitectureError(
                f'sides must be multiples of the window {window}, found {side}; '
                f'try {max(1, round(side / window)) * window}'
            )
    costs = []
    for name in ('W-MSA', 'MSA'):
        is_global = name == 'MSA'
        layer = ShiftedWindowAttention(
            window,
            0,
            shifted_windows='cyclic',
            attention='global' if is_global else 'window',
            embed_dims=channels,
            num_heads=num_heads,
            use_rel_pos_bias=not is_global,
        ).eval()
        for side in sides:
            keys_per_query = side**2 if is_global else window**2
            fits = num_heads * side**2 * keys_per_query <= score_limit
            costs.append(
                AttentionCost(
                    attention=name,
                    side=side,
                    by_equation=attention_multiply_adds(
                        side, side, channels, window=None if is_global else window
                    ),
                    counted=_count(layer, torch.empty(1, side, side, channels, device='meta')),
                    seconds=_shortest_time(layer, side, channels, repeats) if fits else None,
                )
            )
    return costs


def growth_exponent(patches: Sequence[int], cost: Sequence[float]) -> float:
    """Return p of ``cost = a * patches ** p``, the slope of a least-squares line on logarithmic axes.

    Args:
        patches: at least two different sizes.
        cost: what each costs, positive.
    """
    x = torch.tensor(patches, dtype=torch.float64).log()
    y = torch.tensor(cost, dtype=torch.float64).log()
    x = x - x.mean()
    return float((x * (y - y.mean())).sum() / x.square().sum())


def format_model_costs(model: nn.Module, sides: Sequence[int]) -> str:
    """Return a table of the multiply-adds of a segmentor, its backbone and its head for square images.

    Args:
        model: a segmentor with a ``backbone``.
        sides: sides of the images in pixels.
    """
    rows = [f'{"image":>13} {"multiply-adds (G)":>18} {"backbone":>10} {"head":>10}']
    for side in sides:
        total = count_multiply_adds(model, (side, side)) / 1e9
        backbone = count_multiply_adds(model.get_submodule('backbone'), (side, side)) / 1e9
        image = f'{side} x {side}'
        rows.append(f'{image:>13} {total:>18.1f} {backbone:>10.1f} {total - backbone:>10.1f}')
    return '\n'.join(rows)


def format_attention_costs(costs: Sequence[AttentionCost]) -> str:
    """Return a table of :func:`attention_costs` with the exponent of each kind's growth below it."""
    rows = [
        f'{"attention":>9} {"patches":>11} {"equation (G)":>13} {"counted (G)":>12} {"seconds":>9}'
    ]
    for cost in costs:
        patches = f'{cost.side} x {cost.side}'
        seconds = 'too large' if cost.seconds is None else f'{cost.seconds:.4f}'
        rows.append(
            f'{cost.attention:>9} {patches:>11} {cost.by_equation / 1e9:>13.3f} '
            f'{cost.counted / 1e9:>12.3f} {seconds:>9}'
        )
    for name in dict.fromkeys(cost.attention for cost in costs):
        # The smallest maps are mostly projections and overhead; the larger half shows the law.
        ordered = sorted((c for c in costs if c.attention == name), key=lambda cost: cost.side)
        large = ordered[len(ordered) // 2 :]
        if len(large) > 1:
            power = growth_exponent([c.patches for c in large], [c.counted for c in large])
            rows.append(f'{name} grows as patches ** {power:.2f}')
    return '\n'.join(rows)


def _shortest_time(layer: nn.Module, side: int, channels: int, repeats: int) -> float:
    tokens = torch.randn(1, side, side, channels)
    times = []
    with torch.inference_mode():
        layer(tokens)
        for _ in range(repeats):
            start = time.perf_counter()
            layer(tokens)
            times.append(time.perf_counter() - start)
    return min(times)
