"""The decode head alone, and the convolution of a feature pyramid inside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from swinseg.benchmark.options import Options
from swinseg.benchmark.pairs import build_pair, draw_image, names_of
from swinseg.benchmark.results import Row, Table
from swinseg.benchmark.suites.stock_and_ours import rows_of, table_of
from swinseg.models.ops.upsampled_conv import pyramid_conv3x3


@dataclass(frozen=True)
class HeadOptions(Options):
    """Options of the suite.

    Attributes:
        variants: of the model, which sets the channels of the levels.
        config: instead of the variants' configs.
        sizes: sides of the image in pixels; the finest level has a quarter of each.
        dtypes: float32, or autocast to another one.
    """

    variants: tuple[str, ...] = ('T',)
    config: str | None = None
    sizes: tuple[int, ...] = (512,)
    dtypes: tuple[str, ...] = ('float32', 'bfloat16')


def run(options: HeadOptions) -> Iterator[Table]:
    """Measure and yield the tables."""
    for dtype in options.dtypes:
        rows: list[Row] = []
        for variant in names_of(options.variants, options.config):
            pair = build_pair(variant, options.config, device=options.device)
            for side in options.sizes:
                case = f'{variant}, {side} x {side}'
                rows += _head(
                    options, pair.stock.decode_head, pair.ours.decode_head, side, dtype, case
                )
                rows += _pyramid(options, pair.stock.decode_head, side, dtype, case)
        yield table_of('Decode head', rows, dtype=dtype)


def _levels(options: Options, channels: Sequence[int], side: int) -> list[Tensor]:
    """Draw maps at strides 4, 8, 16, 32; channels-last in memory, as tokens are."""
    return [
        draw_image(1, width, -(-side // stride), -(-side // stride), seed=stride)
        .to(options.device)
        .contiguous(memory_format=torch.channels_last)
        for width, stride in zip(channels, (4, 8, 16, 32), strict=True)
    ]


def _head(options: Options, stock: Any, ours: Any, side: int, dtype: str, case: str) -> list[Row]:
    levels = _levels(options, stock.in_channels, side)
    # What each backbone gives its own head: mmseg's copies to rows of one channel.
    contiguous = [x.contiguous() for x in levels]
    return rows_of(
        options,
        lambda: stock(contiguous),
        lambda: ours(levels),
        dtype=dtype,
        case=f'head, {case}',
    )


def _pyramid(options: Options, head: Any, side: int, dtype: str, case: str) -> list[Row]:
    convolution = head.fpn_bottleneck.conv
    weight, bias = convolution.weight, convolution.bias
    levels = _levels(options, [convolution.out_channels] * 4, side)
    contiguous = [x.contiguous() for x in levels]
    return rows_of(
        options,
        lambda: _plain(contiguous, weight, bias),
        lambda: pyramid_conv3x3(levels, weight, bias, align_corners=False),
        dtype=dtype,
        case=f'convolution of the pyramid, {case}',
    )


def _plain(maps: Sequence[Tensor], weight: Tensor, bias: Tensor | None) -> Tensor:
    """The convolution as mmseg computes it: everything resized to the finest map, and concatenated."""
    finest, *coarser = maps
    resized = [
        F.interpolate(x, size=finest.shape[2:], mode='bilinear', align_corners=False)
        for x in coarser
    ]
    return F.conv2d(torch.cat([finest, *resized], dim=1), weight, bias, padding=1)
