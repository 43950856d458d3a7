"""The backbone, and W-MSA and SW-MSA of each of its stages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from swinseg.benchmark.options import Options
from swinseg.benchmark.pairs import Pair, build_pair, draw_image, names_of
from swinseg.benchmark.results import Row, Table
from swinseg.benchmark.suites.stock_and_ours import rows_of, table_of


@dataclass(frozen=True)
class AttentionOptions(Options):
    """Options of the suite.

    Attributes:
        variants: of the model.
        config: instead of the variants' configs.
        sizes: sides of the image in pixels.
        dtypes: float32, or autocast to another one.
    """

    variants: tuple[str, ...] = ('T',)
    config: str | None = None
    sizes: tuple[int, ...] = (512,)
    dtypes: tuple[str, ...] = ('float32', 'bfloat16')


def run(options: AttentionOptions) -> Iterator[Table]:
    """Measure and yield the tables."""
    for dtype in options.dtypes:
        rows: list[Row] = []
        for variant in names_of(options.variants, options.config):
            pair = build_pair(variant, options.config, device=options.device)
            for side in options.sizes:
                rows += _backbone(options, pair, side, dtype)
                rows += _stages(options, pair, side, dtype)
        yield table_of('Backbone and its attention', rows, dtype=dtype)


def _backbone(options: Options, pair: Pair, side: int, dtype: str) -> list[Row]:
    image = draw_image(1, 3, side, side, device=options.device)
    return rows_of(
        options,
        lambda: pair.stock.backbone(image),
        lambda: pair.ours.backbone(image),
        dtype=dtype,
        case=f'backbone, {pair.name}, {side} x {side}',
    )


def _stages(options: Options, pair: Pair, side: int, dtype: str) -> Iterator[Row]:
    stages = zip(pair.stock.backbone.stages, pair.ours.backbone.stages, strict=True)
    for index, (stock, ours) in enumerate(stages):
        tokens = -(-side // (4 * 2**index))
        channels = pair.stock.backbone.num_features[index]
        x_BHWC = draw_image(1, tokens, tokens, channels, device=options.device)
        # The first block of a stage has W-MSA, the second SW-MSA.
        for name, stock_block, our_block in zip(
            ('W-MSA', 'SW-MSA'), stock.blocks, ours.blocks, strict=False
        ):
            case = f'{name} of stage {index + 1}, {pair.name}, {side} x {side}'
            yield from _attention(options, stock_block.attn, our_block.attn, x_BHWC, dtype, case)


def _attention(
    options: Options, stock: Any, ours: Any, x_BHWC: Any, dtype: str, case: str
) -> list[Row]:
    size = x_BHWC.shape[1:3]
    x_BLC = x_BHWC.flatten(1, 2)
    return rows_of(
        options,
        lambda: stock(x_BLC, size).view_as(x_BHWC),
        lambda: ours(x_BHWC),
        dtype=dtype,
        case=case,
    )
